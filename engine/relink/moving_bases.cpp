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
  if (forward) {
    for (const auto& [path, generation] : staying_)
      if (generation != newest_) out.bases.emplace(path, generation);
    // What the record says of a directory holds for all below it, but for what it says of that itself.
    for (const auto& [path, generation] : moved_)
      if (has_staying_parent(path)) out.bases.emplace(path, newest_);
    return out;
  }
  for (const auto& [path, generation] : staying_)
    if (generation != record_.generation || has_staying_parent(path)) out.bases.emplace(path, generation);
  for (const auto& [path, generation] : moved_) out.bases.insert_or_assign(path, newest_);
  return out;
}

bool MovingBases::has_staying_parent(std::string_view path) const {
  while (!staying_.empty() && !path.empty()) {
    path = parent_path(path);
    if (staying_.contains(std::string(path))) return true;
  }
  return false;
}

}  // namespace vskel
