#include "engine/relink/moving_bases.h"

#include "engine/tree/relative_path.h"

namespace vskel {

void MovingBases::stay_after_all(const std::string& path, unsigned base) {
  moved_.erase(path);
  stay(path, base);
}

void MovingBases::stay_below_after_all(const std::string& path, unsigned base) {
  const std::string prefix = path + "/";
  for (auto* paths : {&moved_, &staying_}) {
    paths->erase(path);
    for (auto at = paths->lower_bound(prefix); at != paths->end() && at->first.starts_with(prefix);)
      at = paths->erase(at);
  }
  stay_below(path, base);
}

void MovingBases::stay_below(const std::string& path, unsigned base) {
  stay(path, base);
  const std::string prefix = path + "/";
  for (auto at = record_.bases.lower_bound(prefix); at != record_.bases.end() && at->first.starts_with(prefix); ++at)
    stay(at->first, at->second);
}

MovingBases::Decided MovingBases::decide() {
  // What nothing was to be said of is as the newest is, or nowhere any more.
  for (const auto& [path, generation] : record_.bases)
    if (!staying_.contains(path)) move(path, generation);
  // Steps that fail are put back by whoever carries them out.
  // An unknown base is one of the paths that differ today, not of those that the skel gets tomorrow.
  const bool forward = staying_.size() <= moved_.size() || record_.generation == newest_ || record_.generation == 0;
  Decided out{forward ? newest_ : record_.generation, {}};
  for (auto& [path, generation] : moved_) generation = newest_;
  std::map<std::string, unsigned> all = staying_;
  all.merge(moved_);
  // Parents come ahead of what is below them.
  for (const auto& [path, generation] : all)
    if (generation != inherited(out, path)) out.bases.emplace(path, generation);
  return out;
}

unsigned MovingBases::inherited(const Decided& decided, std::string_view path) {
  while (!decided.bases.empty() && !path.empty()) {
    path = parent_path(path);
    if (const auto found = decided.bases.find(std::string(path)); found != decided.bases.end()) return found->second;
  }
  return decided.generation;
}

}  // namespace vskel
