// What a tenant chose by update-alternatives(1), where an update changes what there is to choose from: its links have
// to lead to what is there when all is done.

#include <map>

#include "engine/packages/alternatives.h"
#include "engine/relink/own_file.h"
#include "engine/relink/planner.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

using sys::FileType;

std::string in_links(std::string_view name) { return joined_path(kAlternativeLinks, name); }

std::optional<std::string> target_of(const TreeNode* node) {
  if (node == nullptr || node->type() != FileType::symlink) return std::nullopt;
  return std::string(node->entry->link_target());
}

Result<std::optional<std::string>> target_at(const DirFd& dir, Name name) {
  const auto stat = TRY(sys::stat_if_there(dir, name));
  if (!stat || stat->type != FileType::symlink) return std::nullopt;
  return TRY(sys::read_link(dir, name));
}

}  // namespace

Result<> Planner::look_at_alternatives(const DirFd& root) {
  if (gate_ != Gate::open || options_.global_only) return {};
  const Path3 all = sides_.at(std::string(kAlternatives), record_.generation);
  if (!all.base_known || (all.base == nullptr && all.theirs == nullptr)) return {};
  std::map<std::string, std::pair<Path3, Path3>> changed;
  const Path3 all_links = sides_.at(std::string(kAlternativeLinks), record_.generation);
  for (const std::string_view name : sides_.names_in(all)) {
    const Path3 file = sides_.child(all, name), link = sides_.child(all_links, name);
    if (file.base != nullptr && (!file.unchanged() || !link.unchanged())) changed.emplace(name, std::pair(file, link));
  }
  if (changed.empty()) return {};
  const auto open = [&root](std::string_view path) -> Result<DirFd> {
    auto opened = sys::open_dirs(root, path);
    if (!opened && leads_nowhere(opened.error())) return DirFd();
    return opened;
  };
  const DirFd files = TRY(open(kAlternatives)), links = TRY(open(kAlternativeLinks));
  if (!files.open() || !links.open()) return {};
  for (const auto& [name, skels] : changed) TRY(look_at_alternative(skels.first, skels.second, files, links));
  return {};
}

Result<> Planner::look_at_alternative(const Path3& file, const Path3& link, const DirFd& files, const DirFd& links) {
  const std::string name(file.any().name());
  const Name single = *Name::check(name);
  const auto own = TRY(read_own_file(files, single, kMaxAlternative));
  const auto base = TRY(view_.text_of(file.base, kMaxAlternative));
  if (!own || !base) return {};
  const AlternativeSides sides{{*base, target_of(link.base)},
                               {TRY(view_.text_of(file.theirs, kMaxAlternative)), target_of(link.theirs)},
                               {own->bytes, TRY(target_at(links, single))}};
  if (file.theirs != nullptr && !sides.theirs.text) return {};
  const auto same = [&sides](const AlternativeSide& side) {
    return side.text == sides.mine.text && side.choice == sides.mine.choice;
  };
  if (same(sides.base) || same(sides.theirs)) return {};
  // Of a file that update-alternatives would not read, each path is one as any other.
  auto merged = merge_alternative(name, sides);
  if (!merged || (!merged->text && merged->links.empty())) return {};
  alternatives_.emplace(file.path, std::move(merged->text));
  for (auto& [further, target] : merged->links) alternatives_.emplace(in_links(further), std::move(target));
  return {};
}

Result<bool> Planner::plan_alternative(const Path3& place, const DirFd& dir, const Listed* mine) {
  const std::optional<std::string>& wanted = alternatives_.find(place.path)->second;
  const bool is_link = place.path.starts_with(kAlternativeLinks);
  if (mine != nullptr && mine->type != (is_link ? FileType::symlink : FileType::regular)) {
    settle(place, {Action::keep, 7, why::kChangedOnBothSides, false});
    return false;
  }
  std::optional<Step> step;
  if (mine == nullptr) {
    if (wanted) step = is_link ? new_link(nullptr, place.path, *wanted) : new_file(place.path, *wanted);
  } else if (!wanted) {
    step.emplace();
    step->kind = Step::Kind::remove;
    step->change = Change::removed;
    step->elsewhere = std::make_unique<Step::Elsewhere>(place.path);
    step->mine = identity_of(TRY(sys::stat(dir, mine->name)));  // update-alternatives writes no file in place
  } else if (is_link) {
    const sys::Stat stat = TRY(sys::stat(dir, mine->name));
    if (TRY(sys::read_link(dir, mine->name)) != *wanted) step = new_link(&stat, place.path, *wanted);
  } else if (const auto own = TRY(read_own_file(dir, mine->name, kMaxAlternative)); own && own->bytes != *wanted) {
    step = rewrite(*own, place.path, *wanted);
  }
  if (step) {
    step->base_generation = place.base_generation;
    changed_directories_.emplace(parent_path(place.path), 0);
    steps_.add(in_database(place.path) ? Turn::database : Turn::others, std::move(*step));
  }
  settle(place, {});
  return mine != nullptr && !wanted;
}

}  // namespace vskel
