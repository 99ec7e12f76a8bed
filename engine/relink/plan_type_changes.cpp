// Where one side is a directory and another is not. What hides other paths from the update tears it; but a directory of
// the tenant's whose place a link to another directory takes (usrmerge, dir_to_symlink) is emptied into that first, as
// dpkg-maintscript-helper(1) and usrmerge do.

#include <algorithm>

#include "engine/relink/planner.h"
#include "engine/tree/relative_path.h"

namespace vskel {

using sys::FileType;

Result<bool> Planner::plan_type_change(const Path3& place, const DirFd& dir, const Listed& mine) {
  const bool was_directory = place.was_directory(), their_directory = place.becomes_directory();
  if (was_directory && their_directory) {
    // The tenant put something else in the place of a directory: nothing passes through it.
    if (mine.type == FileType::symlink) {
      plan_blocked(place);
    } else if (!is_unchanged_below(place)) {
      tear(place, {Action::keep, 20, why::kTypeChanged, false});
    }
    return false;
  }
  Question question = question_for(place);
  Step step;
  step.kind = place.theirs == nullptr ? Step::Kind::remove : Step::Kind::put_over;
  step.change = place.theirs == nullptr ? Change::removed : Change::updated;
  std::vector<OwnEntry> own_entries;
  if (mine.type == FileType::directory) {
    const DirFd own = TRY(enter(dir, mine.name));
    if (!own.open()) {
      plan_blocked(place);
      return false;
    }
    const Observed observed = TRY(observer_.directory(own, place.base, place.theirs));
    question.mine = observed.node;
    step.mine = identity_of(observed.stat);
    if (was_directory) question.below = TRY(is_as_base(*place.base, own)) ? Below::as_base : Below::own_entries;
    const TreeNode* const target = place.theirs != nullptr ? directory_behind(*place.theirs) : nullptr;
    if (question.below == Below::own_entries && target != nullptr && gate_ == Gate::open &&
        TRY(find_own_entries(place.base, target, own, place.path, own_entries))) {
      question.below = Below::as_base;
      step.after_moves = true;
    }
  } else {
    auto observed = TRY(observer_.at(dir, mine.name, place.base, place.theirs));
    if (!observed) return false;
    if (observed->mounted) {
      plan_blocked(place);
      return false;
    }
    note(*observed, question, step, place);
  }
  const Decision decision = decide(question);
  if (decision.action == Action::replace || decision.action == Action::remove) {
    if (place.theirs != nullptr) count_shared_below(*place.theirs);
    if (step.after_moves) plan_moves(std::move(own_entries), place);
    add_step(place, std::move(step));
  }
  tear(place, decision);
  if (decision.action == Action::keep && their_directory) stay_below(place);
  return decision.action == Action::remove;
}

Result<bool> Planner::is_as_base(const TreeNode& base, const DirFd& dir) {
  const Observed own = TRY(observer_.directory(dir, &base, nullptr));
  if (!same_node(own.node, base_node(base, nullptr, owners_))) return false;
  const Listing listing = TRY(Listing::read(dir));
  if (listing.entries().size() != base.children().size()) return false;
  for (const Listed& listed : listing.entries()) {
    const TreeNode* const child = GenerationTree::child(base, listed.name.view());
    if (child == nullptr || child->type() != listed.type) return false;
    if (child->is_directory()) {
      const DirFd inner = TRY(enter(dir, listed.name));
      if (!inner.open() || !TRY(is_as_base(*child, inner))) return false;
      continue;
    }
    const auto observed = TRY(observer_.at(dir, listed.name, child, nullptr));
    if (!observed || observed->in_use || observed->mounted) return false;
    plan_.bytes_read += observed->bytes_read;
    if (!same_but_for_time(observed->node, base_node(*child, nullptr, owners_))) return false;
  }
  return true;
}

const TreeNode* Planner::directory_behind(const TreeNode& link) const {
  if (link.type() != FileType::symlink) return nullptr;
  const std::string& target = link.entry->link_target();
  std::string path = target.starts_with('/') ? std::string() : std::string(parent_path(link.path()));
  for (std::string_view rest = target; !rest.empty();) {
    const std::string_view component = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(rest.size(), component.size() + 1));
    if (component.empty() || component == ".") continue;
    path = component == ".." ? std::string(parent_path(path)) : joined_path(path, component);
    // A link on the way leads elsewhere than its name says.
    const TreeNode* const node = view_.newest().find(path);
    if (node == nullptr || !node->is_directory()) return nullptr;
  }
  const TreeNode* const node = view_.newest().find(path);
  return node != nullptr && !path.empty() ? node : nullptr;
}

Result<bool> Planner::find_own_entries(const TreeNode* base, const TreeNode* target, const DirFd& dir,
                                       const std::string& path, std::vector<OwnEntry>& out) {
  if (base != nullptr) {
    const Observed own = TRY(observer_.directory(dir, base, nullptr));
    if (!same_node(own.node, base_node(*base, nullptr, owners_))) return false;
  }
  const Listing listing = TRY(Listing::read(dir));
  for (const Listed& listed : listing.entries()) {
    const std::string_view name = listed.name.view();
    const std::string own_path = joined_path(path, name);
    const TreeNode* const was = base != nullptr ? GenerationTree::child(*base, name) : nullptr;
    const TreeNode* const there = target != nullptr ? GenerationTree::child(*target, name) : nullptr;
    if (was != nullptr && !was->is_directory()) {
      const auto observed = TRY(observer_.at(dir, listed.name, was, nullptr));
      if (!observed || observed->in_use || observed->mounted) return false;
      plan_.bytes_read += observed->bytes_read;
      if (!same_but_for_time(observed->node, base_node(*was, nullptr, owners_))) return false;
      continue;
    }
    const bool both_directories = listed.type == FileType::directory && there != nullptr && there->is_directory();
    if (was != nullptr || both_directories) {
      if (listed.type != FileType::directory) return false;
      const DirFd inner = TRY(enter(dir, listed.name));
      if (!inner.open()) return false;
      if (!TRY(find_own_entries(was, both_directories ? there : nullptr, inner, own_path, out))) return false;
      continue;
    }
    if (target == nullptr || there != nullptr || !TRY(is_free(*target, listed.name))) return false;
    const auto stat = TRY(sys::stat_if_there(dir, listed.name));
    if (!stat || stat->mount_root) return false;
    out.push_back({own_path, joined_path(target->path(), name), identity_of(*stat)});
  }
  return true;
}

Result<bool> Planner::is_free(const TreeNode& target, Name name) const {
  const auto dir = sys::open_dirs(*root_, target.path());
  // It comes with the update; but nothing of the tenant's may be in its way.
  if (!dir) return dir.error().code == ENOENT;
  return !TRY(sys::stat_if_there(*dir, name)).has_value();
}

void Planner::plan_moves(std::vector<OwnEntry> entries, const Path3& place) {
  for (OwnEntry& entry : entries) {
    Step step;
    step.kind = Step::Kind::move;
    step.change = Change::moved;
    step.mine = entry.mine;
    step.base_generation = place.base_generation;
    step.elsewhere = std::make_unique<Step::Elsewhere>(std::move(entry.from), std::move(entry.to));
    steps_.add(Turn::moves, std::move(step));
  }
}

}  // namespace vskel
