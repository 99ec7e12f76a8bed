// Base, theirs and mine are walked side by side, directory by directory. Most names of most vservers end at the first
// test: the directory entry carries the skel's inode number. What the skel did not change and does not share is not
// even looked at.

#include <algorithm>

#include "engine/packages/alternatives.h"
#include "engine/relink/database.h"
#include "engine/relink/planner.h"
#include "engine/seal/seal.h"
#include "engine/skel/account_files.h"
#include "engine/skel/database_leftovers.h"
#include "engine/skel/layout.h"
#include "engine/tree/relative_path.h"
#include "engine/vserver/record_tokens.h"

namespace vskel {

namespace {

using sys::FileType;

std::vector<const Listed*> by_name(const Listing& listing) {
  std::vector<const Listed*> sorted;
  sorted.reserve(listing.entries().size());
  for (const Listed& listed : listing.entries()) sorted.push_back(&listed);
  std::ranges::sort(sorted, {}, [](const Listed* listed) { return listed->name.view(); });
  return sorted;
}

bool is_static(const TreeNode* node) {
  return node != nullptr && !node->is_directory() && node->entry->part == Part::static_part;
}

}  // namespace

Result<std::size_t> Planner::plan_directory(const Path3& place, const DirFd& dir) {
  const Listing listing = TRY(Listing::read(dir));
  const std::vector<const Listed*> mine = by_name(listing);
  // A tenant's link goes to what an update leaves, whether the skel's moved or not.
  const bool merged = !alternatives_.empty() && (place.path == kAlternativeLinks || place.path == kAlternatives);
  const bool exceptions = merged || sides_.has_exceptions_in(place.path);
  std::size_t staying = mine.size();
  auto next = mine.begin();
  const auto plan_name = [&](std::string_view name, const TreeNode* base, const TreeNode* theirs) -> Result<> {
    // Names come in their order, so that mine are gone through once.
    while (next != mine.end() && (*next)->name.view() < name) ++next;
    const Listed* const found = next != mine.end() && (*next)->name.view() == name ? *next : nullptr;
    if (found != nullptr && !exceptions && goes_on_as_it_is(base, theirs, *found)) return {};
    const Path3 child = sides_.child(place, name, base, theirs);
    if (child.base == nullptr && child.theirs == nullptr) return {};
    if (TRY(plan_child(child, dir, found)) && found != nullptr) --staying;
    return {};
  };
  if (place.base == place.theirs && place.theirs != nullptr && !exceptions) {
    for (const TreeNode* child : place.theirs->children()) TRY(plan_name(child->name(), child, child));
    return staying;
  }
  for (const std::string_view name : sides_.names_in(place)) {
    const TreeNode* const base = place.base != nullptr ? GenerationTree::child(*place.base, name) : nullptr;
    const TreeNode* const theirs = place.theirs != nullptr ? GenerationTree::child(*place.theirs, name) : nullptr;
    TRY(plan_name(name, base, theirs));
  }
  return staying;
}

bool Planner::goes_on_as_it_is(const TreeNode* base, const TreeNode* theirs, const Listed& mine) {
  if (!options_.freeze.empty() || base == nullptr || theirs == nullptr || !base->as_newest) return false;
  if (mine.type == FileType::directory || theirs->is_directory()) return false;
  if (owners_.differ_for(*theirs)) return false;
  if (is_inode_of(*theirs, mine)) {
    if (options_.share != Share::hardlink || !is_to_be_shared(*theirs)) return false;
    ++plan_.shared_before;
    ++plan_.shared_now;
    return true;
  }
  return !is_to_be_shared(*theirs) && (theirs->entry->mode & kSetIdBits) == 0;
}

Result<bool> Planner::plan_child(const Path3& place, const DirFd& dir, const Listed* mine) {
  const bool their_directory = place.becomes_directory(), base_directory = place.was_directory();
  if (TRY(is_vservers_own(place, dir, mine))) return false;
  if (is_frozen(place)) {
    settle(place, decide(question_for(place, Obstacle::frozen)));
    if (their_directory || base_directory) stay_below(place);
    return false;
  }
  if (in_database(place.path) && is_database_leftover(place.any())) return false;
  if (is_account_lock(place.path)) return false;
  if (alternatives_.contains(place.path)) return plan_alternative(place, dir, mine);
  if (mine == nullptr) return plan_absent(place);
  if (is_bundle(place)) return plan_bundle(place, dir, *mine);
  const bool my_directory = mine->type == FileType::directory;
  if (my_directory && (their_directory || (base_directory && place.theirs == nullptr)))
    return plan_common_directory(place, dir, *mine);
  if (my_directory || their_directory) return plan_type_change(place, dir, *mine);
  return plan_file(place, dir, *mine);
}

Result<bool> Planner::has_filled(const TreeNode& theirs, const DirFd& dir, const Listed& mine) {
  const auto text = TRY(view_.text_of(&theirs, kMostStaticBytes));
  if (!text || mine.type != FileType::regular) return false;
  const auto pinned = TRY(sys::pin_if_there(dir, mine.name));
  if (!pinned || pinned->stat.type != FileType::regular || pinned->stat.size > kMostStaticBytes) return false;
  const std::string own = TRY(sys::read_whole(TRY(sys::open_pinned(*pinned)), kMostStaticBytes));
  return own == fill_tokens(*text, tokens_of(record_, options_.vservers)).text;
}

Result<> Planner::look_at_static(const Path3& place, const DirFd& dir, const Listed& mine) {
  const bool equal = place.theirs != nullptr && place.base->type() == place.theirs->type() &&
                     place.base->entry->content == place.theirs->entry->content &&
                     place.base->entry->link_target() == place.theirs->entry->link_target();
  const bool told = !equal && (place.theirs == nullptr || !TRY(has_filled(*place.theirs, dir, mine)));
  const auto why = place.theirs == nullptr ? why::kStaticRemoved : why::kStaticChanged;
  settle(place, told ? Decision{Action::keep, 0, why, false} : Decision{});
  return {};
}

Result<bool> Planner::is_vservers_own(const Path3& place, const DirFd& dir, const Listed* mine) {
  if (place.becomes_directory() || (place.theirs == nullptr && place.was_directory())) return false;
  const auto stays = [&]() -> Result<bool> {
    const bool was_static = is_static(place.base) && (place.theirs == nullptr || is_static(place.theirs));
    if (was_static && mine != nullptr && !place.unchanged() && !account_file_at(place.path))
      TRY(look_at_static(place, dir, *mine));
    else if (!place.unchanged())
      bases_.move(place.path, place.base_generation);
    return true;
  };
  if (is_static(place.theirs)) {
    // They follow entry by entry, see plan_accounts.cpp.
    if (account_file_at(place.path)) return stays();
    // One that came with an update, and that the vserver lacks, is added with its tokens filled in.
    if (mine == nullptr && place.base_known && place.base == nullptr) return false;
    // What was shared is somebody else's too: its place takes one of the vserver's own.
    const bool was_shared = place.base != nullptr && place.base->entry->part == Part::global_part;
    if (mine != nullptr && was_shared && !place.was_directory()) return false;
    return stays();
  }
  if (is_static(place.base)) return stays();
  if (!is_identity(place)) return false;
  // What must be each vserver's own: a skel that has it still is older than the rule.
  if (mine == nullptr && place.base == nullptr && place.base_known)
    settle(place, {Action::keep, 12, why::kIdentity, false});
  return true;
}

bool Planner::is_identity(const Path3& place) const {
  const Layout& layout = view_.layout();
  if (layout.left_out(place.path, place.any().type())) return true;
  const auto rule = layout.identity_of(place.path);
  return rule && rule->kind != IdentityKind::keep;
}

bool Planner::plan_absent(const Path3& place) {
  const bool both_directories = place.was_directory() && place.becomes_directory();
  Question question = question_for(place);
  // A reader took it over into the database, which goes along with theirs.
  if (in_database(place.path) && is_database_log(place.any().name())) question.base.reset();
  Decision decision = decide(question);
  // A directory that the tenant deleted stays deleted with all below it, and is told of once.
  if (both_directories && decision.row == 4 && !same_subtree(*place.base, *place.theirs))
    decision = {Action::keep, 8, why::kDeletedHere, false};
  if (decision.action == Action::add) {
    Step step;
    step.kind = Step::Kind::put_new;
    step.change = Change::added;
    add_step(place, std::move(step));
    count_shared_below(*place.theirs);
  }
  settle(place, decision);
  if (both_directories && decision.action == Action::keep) stay_below(place);
  return false;
}

Result<DirFd> Planner::enter(const DirFd& parent, Name name) const {
  auto opened = sys::open_dir(parent, name);
  if (!opened && leads_nowhere(opened.error())) return DirFd();
  DirFd dir = TRY(std::move(opened));
  // RESOLVE_NO_XDEV lets btrfs subvolumes pass; their device number tells.
  if (has_subvolumes_ && TRY(sys::stat(dir)).device != root_device_) return DirFd();
  return dir;
}

Result<bool> Planner::plan_common_directory(const Path3& place, const DirFd& parent, const Listed& mine) {
  const DirFd dir = TRY(enter(parent, mine.name));
  if (!dir.open()) {
    plan_blocked(place);
    return false;
  }
  if (place.theirs == nullptr) return plan_removed_directory(place, dir);
  if (!is_unchanged(place) && place.theirs->entry->part != Part::static_part) {
    Question question = question_for(place);
    const Observed observed = TRY(observer_.directory(dir, place.base, place.theirs));
    question.mine = observed.node;
    const Decision decision = decide(question);
    if (decision.action == Action::set_metadata) {
      Step step;
      step.kind = Step::Kind::set_metadata;
      step.change = Change::updated;
      step.mine = identity_of(observed.stat);
      add_step(place, std::move(step));
    }
    settle(place, decision);
  }
  // An unknown or absent base of the directory is one of all below it.
  Path3 below = place;
  if (place.base != nullptr && !place.base->is_directory()) below.base = nullptr;
  (void)TRY(plan_directory(below, dir));
  return false;
}

Result<bool> Planner::plan_removed_directory(const Path3& place, const DirFd& dir) {
  const std::size_t staying = TRY(plan_directory(place, dir));
  Question question = question_for(place);
  const sys::Stat stat = TRY(sys::stat(dir));
  question.mine = Node{stat.type, stat.mode, stat.uid, stat.gid, 0, 0};
  Decision decision = decide(question);
  if (decision.action == Action::remove_dir && staying > 0) decision = {Action::keep, 23, why::kNotEmpty, false};
  if (decision.action == Action::remove_dir) {
    Step step;
    step.kind = Step::Kind::remove_dir;
    step.change = Change::removed;
    step.mine = identity_of(stat);
    add_step(place, std::move(step));
  }
  settle(place, decision);
  return decision.action == Action::remove_dir;
}

void Planner::plan_blocked(const Path3& place) {
  if (is_unchanged_below(place)) return;
  tear(place, decide(question_for(place, Obstacle::blocked)));
  stay_below(place);
}

void Planner::plan_times(std::uint32_t bundle) {
  const auto add = [&](const TreeNode* theirs, Step::Kind kind) {
    if (theirs == nullptr || !theirs->is_directory()) return;
    Step step;
    step.kind = kind;
    step.change = Change::none;
    step.theirs = theirs;
    step.bundle = bundle;
    steps_.add(bundle != 0 ? Turn::bundles : Turn::times, std::move(step));
  };
  bool below_usr = false;
  for (const auto& [path, of] : changed_directories_) {
    below_usr = below_usr || path == "usr" || path.starts_with("usr/");
    // The root holds mount points besides.
    if (of == bundle && !path.empty()) add(view_.newest().find(path), Step::Kind::set_times);
  }
  // systemd(1) updates caches by the time of /usr (ConditionNeedsUpdate=), whatever was changed below it.
  if (bundle == 0 && below_usr) add(view_.newest().find("usr"), Step::Kind::renew);
}

}  // namespace vskel
