// Files, symlinks and devices: looked at as far as the question asks, and asked of the table.

#include "engine/relink/planner.h"

namespace vskel {

namespace {

using sys::FileType;

Decision decide_with_use(Question& question, bool in_use) {
  if (in_use) question.obstacle = Obstacle::in_use;
  return decide(question);
}

}  // namespace

bool Planner::is_inode_of(const TreeNode& theirs, const Listed& mine) const {
  return mine.type == FileType::regular && theirs.inode != 0 && mine.inode == theirs.inode &&
         root_device_ == view_.device();
}

bool Planner::is_to_be_shared(const TreeNode& theirs) const {
  if (theirs.type() != FileType::regular || theirs.entry->part != Part::global_part) return false;
  if (owners_.theirs.changes(theirs)) return false;
  if (options_.share == Share::hardlink) return theirs.linkable;
  return options_.share == Share::reflink && theirs.entry->size > 0;
}

Result<bool> Planner::plan_file(const Path3& place, const DirFd& dir, const Listed& mine) {
  const TreeNode* const theirs = place.theirs;
  const bool is_theirs = theirs != nullptr && is_inode_of(*theirs, mine);
  if (is_theirs) ++plan_.shared_before;
  if (is_theirs && options_.share == Share::hardlink && is_to_be_shared(*theirs)) {
    ++plan_.shared_now;
    if (!place.unchanged()) bases_.move(place.path, place.base_generation);
    return false;
  }
  const bool set_id =
      ((place.any().entry->mode | (place.base != nullptr ? place.base->entry->mode : 0)) & kSetIdBits) != 0;
  if (is_unchanged(place) && !is_theirs && (theirs == nullptr || !is_to_be_shared(*theirs))) {
    if (set_id) TRY(look_at_set_id(place, dir, mine));
    return false;
  }
  if (is_unchanged(place) && options_.share == Share::reflink && !is_theirs &&
      TRY(is_as_shared_as_can_be(*theirs, dir, mine.name)))
    return false;
  auto observed = TRY(observer_.at(dir, mine.name, place.base, theirs));
  if (!observed) return false;
  if (observed->mounted) {
    plan_blocked(place);
    return false;
  }
  Question question = question_for(place);
  Step step;
  note(*observed, question, step, place);
  const bool is_equal = theirs != nullptr && same_node(*question.mine, *question.theirs);
  if (is_equal) question.place = TRY(place_of(*theirs, *observed, is_theirs));
  if (is_equal && question.place == Place::as_it_should && is_to_be_shared(*theirs)) {
    if (!is_theirs) ++plan_.shared_before;
    ++plan_.shared_now;
  }
  // FIDEDUPERANGE compares and shares under the inode's lock: no writer is in its way, nor it in a writer's.
  const bool by_kernel = is_equal && options_.share == Share::reflink && !is_theirs;
  if (by_kernel) observed->in_use = step.in_use = false;
  const Decision decision = decide_with_use(question, observed->in_use);
  if (decision.action == Action::keep && TRY(plan_package_list(place, dir, mine))) return false;
  const bool acted = add_file_step(place, decision, *observed, std::move(step), is_theirs);
  settle(place, decision);
  if (options_.new_beside) TRY(lay_beside(place, dir, decision, *observed));
  const bool stays_old = set_id && !acted && theirs != nullptr && !is_equal;
  if ((stays_old || (set_id && theirs == nullptr && decision.action == Action::keep)) &&
      (observed->stat.mode & kSetIdBits) != 0)
    plan_.old_set_id.insert(place.path);
  return decision.action == Action::remove;
}

/// Of a file that the skel did not change: the map of its extents says, without a byte read, that nothing is to be
/// gained. What a writer has not yet brought to the disk is the tenant's change and stays his.
Result<bool> Planner::is_as_shared_as_can_be(const TreeNode& theirs, const DirFd& dir, Name name) {
  const auto stat = TRY(sys::stat_if_there(dir, name));
  if (!stat || stat->type != FileType::regular || stat->size != theirs.entry->size) return true;
  const auto wanted = TRY(sys::physical_extents(TRY(files_.open(theirs))));
  if (!wanted) return true;  // packed into metadata: there is nothing to share
  const auto file = sys::open_file(dir, name);
  if (!file || TRY(sys::physical_extents(*file)) != wanted) return false;
  ++plan_.shared_before;
  ++plan_.shared_now;
  return true;
}

void Planner::note(Observed& observed, Question& question, Step& step, const Path3& place) {
  observed.node = timed(observed.node);
  question.mine = observed.node;
  step.mine = identity_of(observed.stat);
  step.in_use = observed.in_use;
  step.proof = observed.proof_of_base;
  step.compared_under_lease = observed.compared_under_lease;
  step.base = place.base;
  plan_.bytes_read += observed.bytes_read;
}

/// Is an equal file shared already, in the way of this vserver?
Result<Place> Planner::place_of(const TreeNode& theirs, const Observed& observed, bool is_theirs) {
  if (theirs.type() != FileType::regular || theirs.entry->part != Part::global_part) return Place::as_it_should;
  if (!is_to_be_shared(theirs)) return is_theirs ? Place::its_own : Place::as_it_should;
  if (is_theirs) return options_.share == Share::hardlink ? Place::as_it_should : Place::its_own;
  // Which names of one inode become the skel's is the table's business; an older inode of the skel's is one as well.
  if (options_.share != Share::reflink || !observed.file) return Place::its_own;
  const auto extents = TRY(sys::physical_extents(TRY(files_.open(theirs))));
  if (!extents) return Place::as_it_should;  // packed into metadata: there is nothing to share
  return TRY(sys::physical_extents(*observed.file)) == extents ? Place::as_it_should : Place::its_own;
}

/// The step for a decision; true if there is one.
bool Planner::add_file_step(const Path3& place, const Decision& decision, const Observed& observed, Step step,
                            bool is_theirs) {
  Action action = decision.action;
  // What is in use is tried at the end: planned as if it were not.
  if (decision.why == why::kInUse) {
    Question again = question_for(place);
    again.mine = observed.node;
    action = decide(again).action;
  }
  switch (action) {
    case Action::share: {
      const bool in_place = options_.share == Share::reflink && !is_theirs;
      step.kind = in_place ? Step::Kind::share_extents : Step::Kind::put_over;
      step.change = is_to_be_shared(*place.theirs) ? Change::shared : Change::updated;
      step.proof = view_.is_skel_inode(observed.stat.inode) ? Proof::inode : Proof::theirs;
      break;
    }
    case Action::replace:
      step.kind = Step::Kind::put_over;
      step.change = Change::updated;
      break;
    case Action::remove:
      step.kind = Step::Kind::remove;
      step.change = Change::removed;
      break;
    default:
      return false;
  }
  if (!step.in_use && place.theirs != nullptr && is_to_be_shared(*place.theirs)) ++plan_.shared_now;
  if (!step.in_use && step.change == Change::shared && observed.stat.nlink == 1)
    plan_.bytes_saved += observed.stat.blocks * 512;
  if (observed.stat.nlink > 1 && observed.stat.type == FileType::regular && !view_.is_skel_inode(observed.stat.inode) &&
      step.kind != Step::Kind::share_extents)
    steps_.expect_names(observed.stat.inode, observed.stat.nlink);
  add_step(place, std::move(step));
  return true;
}

/// As the package manager of this root would name it.
std::string Planner::name_beside(std::string_view name) const {
  const auto has = [this](std::string_view path) { return view_.newest().find(path) != nullptr; };
  const bool rpm = !has("var/lib/dpkg") && (has("var/lib/rpm") || has("usr/lib/sysimage/rpm"));
  return std::string(name) + (rpm ? ".rpmnew" : ".dpkg-dist");
}

Result<> Planner::lay_beside(const Path3& place, const DirFd& dir, const Decision& decision, const Observed& observed) {
  const bool both_changed = decision.why == why::kChangedOnBothSides || decision.why == why::kAddedOnBothSides;
  if (decision.action != Action::keep || !both_changed || gate_ != Gate::open || bundle_ != 0) return {};
  const bool files =
      place.theirs != nullptr && place.theirs->type() == FileType::regular && observed.stat.type == FileType::regular;
  // What would be a shared inode its tenant could not take away.
  if (!files || !place.path.starts_with("etc/") || place.theirs->entry->part != Part::local_part) return {};
  const std::string beside = name_beside(place.theirs->name());
  const std::string path = joined_path(parent_path(place.path), beside);
  const auto name = Name::check(beside);
  if (!name) return {};
  if (TRY(sys::stat_if_there(dir, *name))) {
    const auto there = TRY(observer_.at(dir, *name, nullptr, place.theirs));
    // An earlier version that was laid here is as good as the tenant's: nothing says that he did not change it.
    if (!there || !same_but_for_time(there->node, theirs_node(*place.theirs, owners_)))
      plan_.kept.push_back({"/" + path, "stands where the skel's version would be laid; remove it for that"});
    return {};
  }
  Step step;
  step.kind = Step::Kind::put_new;
  step.change = Change::beside;
  step.base_generation = view_.newest().generation();
  step.theirs = place.theirs;
  step.elsewhere = std::make_unique<Step::Elsewhere>(path);
  steps_.add(Turn::others, std::move(step));
  return {};
}

/// A set-id file that stays as the tenant has it may be the hole that an update closed.
Result<> Planner::look_at_set_id(const Path3& place, const DirFd& dir, const Listed& mine) {
  const auto stat = TRY(sys::stat_if_there(dir, mine.name));
  if (!stat || stat->type != FileType::regular || (stat->mode & kSetIdBits) == 0 || place.theirs == nullptr) return {};
  const ManifestEntry& entry = *place.theirs->entry;
  // What has not changed since the record was written is as the record says; its ctime is not the tenant's to set.
  const bool seen = stat->ctime <= record_.written && !record_.set_id.contains(place.path);
  const bool same_owner =
      stat->uid == owners_.theirs.user(*place.theirs) && stat->gid == owners_.theirs.group(*place.theirs);
  const bool untouched =
      seen && stat->size == entry.size && stat->mtime == entry.mtime && same_owner && stat->mode == entry.mode;
  if (untouched) return {};
  const auto observed = TRY(observer_.at(dir, mine.name, nullptr, place.theirs));
  if (!observed || observed->mounted) return {};
  plan_.bytes_read += observed->bytes_read;
  if (!same_but_for_time(observed->node, theirs_node(*place.theirs, owners_))) plan_.old_set_id.insert(place.path);
  return {};
}

}  // namespace vskel
