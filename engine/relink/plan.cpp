#include "engine/relink/plan.h"

#include <algorithm>
#include <utility>

#include "engine/relink/database.h"
#include "engine/relink/planner.h"
#include "engine/skel/layout.h"

namespace vskel {

namespace {

bool is_library(std::string_view path) {
  if (path.starts_with("usr/")) path.remove_prefix(4);
  return path.starts_with("lib");
}

/// Would a closed gate stop any of it?
bool is_gated(const VserverPlan& plan) {
  return !plan.torn.empty() || std::ranges::any_of(plan.steps, [](const Step& step) {
    return step.change != Change::shared && step.change != Change::none;
  });
}

}  // namespace

Planner::Planner(const SkelView& view, const Record& record, const PlanOptions& options, Gate gate, MapIds map_ids)
    : view_(view),
      record_(record),
      options_(options),
      gate_(gate),
      map_ids_(map_ids),
      owners_{NodeOwners(view, record.ids), NodeOwners(view, record.ids)},
      databases_(database_paths(options.more_databases)),
      sides_(view, record),
      bases_(record, view.newest().generation()) {}

Result<VserverPlan> Planner::run(const DirFd& root) {
  root_ = &root;
  root_device_ = TRY(sys::stat(root)).device;
  has_subvolumes_ = TRY(sys::file_system(root)).type == "btrfs";
  TRY(plan_accounts(root));
  TRY(look_at_alternatives(root));
  (void)TRY(plan_directory(sides_.root(), root));
  settle_accounts();
  plan_.gate = gate_;
  if (plan_.torn.empty()) {
    settle_groups();
    plan_times(0);
    plan_.steps = steps_.take();
    TRY(look_at_owners(root));
  }
  std::ranges::sort(plan_.torn);
  if (!plan_.torn.empty()) {
    // Neither steps nor record: half of an update is none.
    plan_.steps.clear();
    plan_.kept = plan_.torn;
    plan_.generation = record_.generation;
    plan_.bases = record_.bases;
    plan_.old_set_id = record_.set_id;
    plan_.shared_now = plan_.shared_before;
    plan_.bytes_saved = 0;
    plan_.ids = record_.ids;
    plan_.accounts.clear();
    return std::move(plan_);
  }
  std::ranges::sort(plan_.kept);
  auto [generation, bases] = bases_.decide();
  plan_.generation = generation;
  plan_.bases = std::move(bases);
  return std::move(plan_);
}

Node Planner::timed(Node node) const {
  if (options_.ignore_mtime) node.mtime = {};
  return node;
}

Question Planner::question_for(const Path3& place, Obstacle obstacle) const {
  Question question;
  if (place.base != nullptr) question.base = timed(base_node(*place.base, place.theirs, owners_));
  if (place.theirs != nullptr) question.theirs = timed(theirs_node(*place.theirs, owners_));
  // As_newest says what numbers of nodes can't: for directories too.
  if (place.base != nullptr && place.base->as_newest && place.theirs != nullptr) {
    const Node then = std::exchange(*question.base, *question.theirs);
    question.base->uid = then.uid;
    question.base->gid = then.gid;
    question.base->xattrs = then.xattrs;
  }
  question.base_known = place.base_known;
  question.gate = gate_;
  question.obstacle = obstacle;
  return question;
}

bool Planner::is_unchanged(const Path3& place) const {
  return place.unchanged() && (place.theirs == nullptr || !owners_.differ_for(*place.theirs));
}

bool Planner::is_unchanged_below(const Path3& place) const {
  if (sides_.unchanged_below(place) && !owners_.differ_below(*place.theirs)) return true;
  return (!owners_.base.ids().empty() || !owners_.theirs.ids().empty()) && is_same_by_numbers(place);
}

bool Planner::is_same_by_numbers(const Path3& place) const {
  const Question question = question_for(place);
  if (!question.base_known || !question.base || !question.theirs) return false;
  if (!same_node(*question.base, *question.theirs)) return false;
  return !place.theirs->is_directory() || std::ranges::all_of(sides_.names_in(place), [&](std::string_view name) {
    const Path3 child = sides_.child(place, name);
    return (child.base == nullptr && child.theirs == nullptr) || is_same_by_numbers(child);
  });
}

bool Planner::in_database(std::string_view path) const { return is_below_any(databases_, path); }

bool Planner::is_frozen(const Path3& place) const {
  if (options_.databases == PackageDatabases::force && in_database(place.path)) return true;
  const bool directory = place.becomes_directory() || place.was_directory();
  if (options_.global_only && place.any().entry->part != Part::global_part && !directory) return true;
  return std::ranges::any_of(options_.freeze, [&](const std::string& glob) { return glob_matches(glob, place.path); });
}

void Planner::add_step(const Path3& place, Step step) {
  step.theirs = place.theirs;
  step.base = place.base;
  step.base_generation = place.base_generation;
  step.bundle = bundle_;
  const Turn turn = bundle_ != 0              ? Turn::bundles
                    : in_database(place.path) ? (step.is_of_directory() ? Turn::database_directories : Turn::database)
                    : step.is_of_directory()  ? Turn::directories
                    : step.after_moves        ? Turn::links
                    : is_library(place.path)  ? Turn::libraries
                                              : Turn::others;
  // Sharing exchanges names, too, and moves the time of their directory.
  if (step.kind != Step::Kind::set_metadata && step.kind != Step::Kind::share_extents)
    changed_directories_.emplace(parent_path(place.path), is_bundle(place) ? 0 : bundle_);
  // XFS gives a directory that gets another parent the time of that.
  if (step.brings_theirs() && place.becomes_directory()) changed_directories_.emplace(place.path, bundle_);
  steps_.add(turn, std::move(step));
}

void Planner::count_shared_below(const TreeNode& node) {
  if (!node.is_directory() && is_to_be_shared(node)) ++plan_.shared_now;
  for (const TreeNode* child : node.children()) count_shared_below(*child);
}

void Planner::settle(const Path3& place, const Decision& decision) {
  if (decision.action == Action::hold && gate_ == Gate::closed && !in_database(place.path)) plan_.held_back = true;
  bool moves = decision.base_moves;
  if (decision.action == Action::keep) {
    plan_.kept.push_back({"/" + place.path, std::string(decision.why)});
    kept_in_bundle_ = true;
    if (place.theirs != nullptr) plan_.conflicts.push_back(place.theirs);
    moves = options_.acknowledge && decision.why != why::kInUse;
    if (moves) acknowledged_.insert(place.path);
  }
  if (place.unchanged()) return;  // its base is the newest as it is
  if (moves)
    bases_.move(place.path, place.base_generation);
  else
    bases_.stay(place.path, place.base_generation);
}

void Planner::tear(const Path3& place, const Decision& decision) {
  // Where nobody knows what the skel had, nothing is updated that could be torn.
  const bool hides = place.theirs != nullptr && decision.action == Action::keep && decision.why != why::kInUse;
  if (hides && gate_ == Gate::open && place.base_known && bundle_ == 0)
    plan_.torn.push_back({"/" + place.path, std::string(decision.why)});
  settle(place, decision);
}

void Planner::stay_below(const Path3& place) {
  if (acknowledged_.contains(place.path)) return;
  bases_.stay_below(place.path, place.base_generation);
}

void Planner::settle_groups() {
  // A bundle that goes may tear groups of its own.
  for (Steps torn = steps_.take_torn_groups(); !torn.empty(); torn = steps_.take_torn_groups())
    for (const Step& step : torn) {
      if (step.bundle == 0)
        keep_torn_group(step);
      else
        drop_bundle(step.bundle, sides_.at(plan_.bundles[step.bundle - 1], step.base_generation));
    }
}

void Planner::keep_torn_group(const Step& step) {
  if (step.theirs != nullptr && is_to_be_shared(*step.theirs) && !step.in_use) --plan_.shared_now;
  if (step.change == Change::shared) return;  // equal: there is nothing to tell
  if ((step.mine.mode & kSetIdBits) != 0) plan_.old_set_id.insert(step.path());
  plan_.kept.push_back(
      {"/" + step.path(), std::string(step.theirs == nullptr ? why::kRemovedInSkel : why::kChangedOnBothSides)});
  if (step.theirs != nullptr) plan_.conflicts.push_back(step.theirs);
  if (!options_.acknowledge) bases_.stay_after_all(step.path(), step.base_generation);
}

Result<VserverPlan> plan_vserver(const SkelView& view, const Record& record, const DirFd& root,
                                 const PlanOptions& options) {
  const auto plan_with = [&](Gate gate) -> Result<VserverPlan> {
    const sys::Time since = sys::inode_clock();
    const DirFd own = TRY(sys::reopen(root));
    VserverPlan plan = TRY(Planner(view, record, options, gate, MapIds::as_recorded).run(own));
    if (plan.are_ids_stale) plan = TRY(Planner(view, record, options, gate, MapIds::anew).run(own));
    plan.since = since;
    return plan;
  };
  if (options.share_only) return plan_with(Gate::share_only);
  VserverPlan plan = TRY(plan_with(Gate::open));
  if (!options.locked.empty() && is_gated(plan)) {
    plan = TRY(plan_with(Gate::closed));
    plan.held_back = true;
    return plan;
  }
  // The gate is asked only where it would stop something: a run with nothing to do reads no database.
  if (options.databases == PackageDatabases::force || !is_gated(plan)) return plan;
  DatabaseLook look = TRY(look_at_databases(view, record, root, options.more_databases));
  if (look.untouched) {
    plan.bytes_read += look.bytes_read;
    return plan;
  }
  VserverPlan closed = TRY(plan_with(Gate::closed));
  // What is in the way may hide the very database, and with it all that waits.
  const bool hides_all = !plan.torn.empty() && !closed.held_back;
  if (hides_all) {
    plan.bytes_read += look.bytes_read;
    return plan;
  }
  plan = std::move(closed);
  plan.closed_by = std::move(look.changed);
  if (!look.packages.empty()) plan.closed_by += ": " + look.packages;
  plan.bytes_read += look.bytes_read;
  return plan;
}

}  // namespace vskel
