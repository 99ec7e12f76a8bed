// All vservers of a run share one view of the skel. They are taken a group at a time, planned in parallel, and applied
// as one operation; so memory and open intents do not grow with the fleet.

#include "engine/relink/relink.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "engine/relink/anywhere.h"
#include "engine/relink/apply.h"
#include "engine/relink/tool_locks.h"
#include "engine/seal/reflink.h"
#include "engine/skel/account_files.h"
#include "engine/skel/skel.h"
#include "engine/skel/skel_to_change.h"
#include "engine/sys/stopping.h"
#include "engine/tree/arena.h"
#include "engine/tree/remove.h"
#include "engine/tree/task_group.h"
#include "engine/txn/lock.h"
#include "engine/vserver/instances.h"
#include "engine/vserver/tenants.h"

namespace vskel {

namespace {

/// Vservers in flight for each worker,
constexpr std::size_t kGroupPerJob = 4;
/// but fewer where each may have a step for every path of a large skel.
constexpr std::size_t kMostPathsInFlight = std::size_t{1} << 20;

/// Why a vserver is left as it is, and what solves it.
std::string torn_line(const std::vector<KeptPath>& torn) {
  std::string line = printable(torn.front().path) + ": " + torn.front().why;
  if (torn.size() > 1) line += " (and " + std::to_string(torn.size() - 1) + " more)";
  if (account_file_at(std::string_view(torn.front().path).substr(1)))
    return line + "; without its users and groups nothing of the update is carried out: mend that first";
  return line +
         "; the update has to pass there: give the path back the type that it has in the skel, or exempt it by "
         "[relink] freeze";
}

/// One vserver on its way through the run.
struct Member {
  Record before;
  Planned planned;
  DirFd root;
  ToolLocks tool_locks;
  std::optional<Error> error;  ///< of looking at it
  RelinkedVserver report;
};

class Run {
 public:
  Run(const Store& store, const RelinkRequest& request, const Skel& skel, std::vector<Record> records)
      : store_(store), request_(request), skel_(skel), records_(std::move(records)) {}

  Result<RelinkReport> run(unsigned jobs) {
    TRY(choose_members());
    TRY(choose_sharing());
    std::set<unsigned> bases;
    for (const Member& member : members_) {
      bases.insert(member.before.generation);
      for (const auto& [path, generation] : member.before.bases) bases.insert(generation);
    }
    view_.emplace(TRY(SkelView::load(skel_, bases)));
    if (request_.anywhere) by_content_.emplace(*view_);
    const auto executor = TRY(make_executor(request_.engine, store_.vservers()));
    StagingShared shared{*view_,
                         {skel_, view_->newest().generation(), *executor, seal_, LiftedSeals(seal_), {}, nullptr},
                         store_.paths().vservers};
    if (request_.engine.progress != nullptr)
      request_.engine.progress->total = 2 * members_.size();  // to plan and to do
    const std::size_t fitting = kMostPathsInFlight / std::max<std::size_t>(1, view_->newest().size());
    const std::size_t group = std::clamp<std::size_t>(fitting, jobs, jobs * kGroupPerJob);
    // What was changed before this run has a ctime before the plans', and is not taken for a change of meanwhile.
    sys::wait_for_inode_clock_past(begun_);
    std::optional<sys::Unfinished> unfinished;  // what is done is to be told of
    for (std::size_t first = 0; first < members_.size(); first += group) {
      auto done = sys::may_go_on();
      if (done) done = run_group(shared, std::span(members_).subspan(first, std::min(group, members_.size() - first)));
      if (!done && !unfinished) return std::unexpected(std::move(done).error());
      if (!done) {
        fail_from(first, done.error());
        break;
      }
      if (changed_something_) unfinished.emplace();
    }
    RelinkReport report;
    report.skel = skel_.name().text();
    report.generation = view_->newest().generation();
    for (Member& member : members_) report.vservers.push_back(std::move(member.report));
    return report;
  }

 private:
  Result<> choose_members() {
    for (const VserverName& name : request_.vservers)
      if (std::ranges::find(records_, name.text(), &Record::name) == records_.end())
        return refuse("relink", name.text(), "no vserver of that name was made from skel " + skel_.name().text());
    for (const Record& record : records_) {
      const auto is_named = [&](const VserverName& name) { return name.text() == record.name; };
      if (!request_.vservers.empty() && std::ranges::none_of(request_.vservers, is_named)) continue;
      Member member;
      member.before = record;
      member.planned.record = record;
      member.report.name = record.name;
      member.report.from_generation = record.generation;
      members_.push_back(std::move(member));
    }
    return {};
  }

  /// --to, and the seal that goes with hard links: one skel's inodes have one seal.
  Result<> choose_sharing() {
    const bool dry_run = request_.engine.dry_run == DryRun::yes;
    const Share to = request_.to.value_or(Share::copy);
    if (request_.to == Share::reflink && !dry_run) TRY(require_reflinks(store_.staging()));
    if (const auto recorded = recorded_seal(records_)) {
      seal_ = *recorded;
      // What it does not hold would be in the open.
      if (seal_ == SealKind::guard && !dry_run) TRY(choose_seal(store_.staging(), seal_));
    } else if (to == Share::hardlink && !dry_run) {
      const auto chosen = TRY(choose_seal(store_.staging(), std::nullopt));
      if (!chosen)
        return fail("seal", store_.paths().vservers,
                    "no seal is to be had on this file system and kernel; use --to copy or reflink");
      if (chosen == SealKind::immutable) warn_of_immutable(store_.staging(), request_.engine);
      seal_ = *chosen;
    }
    if (!request_.to) return {};
    for (Member& member : members_) {
      member.planned.record.share = to;
      member.planned.record.seal = to == Share::hardlink ? seal_ : SealKind::none;
    }
    return {};
  }

  PlanOptions options_for(const Member& member) const {
    PlanOptions options;
    options.share = member.planned.record.share;
    options.share_only = request_.share_only;
    options.global_only = request_.global_only;
    options.anywhere = request_.anywhere;
    options.acknowledge = request_.acknowledge;
    options.new_beside = request_.new_beside;
    options.ignore_mtime = request_.ignore_mtime;
    options.databases = request_.databases;
    options.vservers = store_.paths().vservers;
    options.freeze = request_.settings.freeze;
    options.more_databases = request_.settings.pkgdb;
    return options;
  }

  Result<> plan(Member& member) {
    auto root = sys::open_dir(store_.vservers(), *Name::check(member.before.name));
    if (!root) {
      Error error = std::move(root).error();
      error.operation = "relink";
      return std::unexpected(std::move(error));
    }
    member.root = std::move(*root);
    PlanOptions options = options_for(member);
    const bool dry_run = request_.engine.dry_run == DryRun::yes;
    member.tool_locks = TRY(ToolLocks::take(member.root, dry_run ? TakeLocks::look_only : TakeLocks::yes));
    options.locked = member.tool_locks.held_by_another();
    const bool other_device = TRY(sys::stat(member.root)).device != view_->device();
    if (other_device && options.share == Share::hardlink)
      return fail("relink", store_.paths().vservers + "/" + member.before.name,
                  "it is on another file system than its skel, where no hard link leads; use --to reflink or copy");
    member.planned.plan = TRY(plan_vserver(*view_, member.before, member.root, options));
    if (by_content_) TRY(plan_anywhere(*view_, *by_content_, member.root, options, member.planned.plan));
    member.planned.record.generation = member.planned.plan.generation;
    member.planned.record.bases = member.planned.plan.bases;
    member.planned.record.ids = member.planned.plan.ids;
    member.planned.record.set_id = member.planned.plan.old_set_id;
    return {};
  }

  Result<> run_group(StagingShared& shared, std::span<Member> group) {
    const bool dry_run = request_.engine.dry_run == DryRun::yes;
    std::vector<Lock> locks;
    if (!dry_run)
      for (const Member& member : group)
        locks.push_back(TRY(Lock::take(store_, "vserver." + member.before.name, request_.engine.wait)));
    readers_.execute([&] {
      TaskGroup tasks;
      tasks.run_and_wait([&] {
        for (Member& member : group)
          tasks.run([this, &member] {
            if (auto planned = plan(member); !planned) member.error = std::move(planned).error();
            if (request_.engine.progress != nullptr) request_.engine.progress->done.fetch_add(1);
          });
      });
    });
    if (!dry_run) TRY(apply(shared, group));
    for (Member& member : group) {
      TRY(report_on(member));
      if (request_.engine.progress != nullptr) request_.engine.progress->done.fetch_add(1);
      member.root = DirFd();
      member.tool_locks = {};
      member.planned.plan = {};
    }
    return {};
  }

  void fail_from(std::size_t first, const Error& error) {
    for (Member& member : std::span(members_).subspan(first)) {
      member.report.error = error.line();
      member.report.status = RelinkStatus::failed;
    }
  }

  /// What a run would not change is not written: not even a record that says the same.
  static bool has_work(const Member& member) {
    return !member.error &&
           (!member.planned.plan.steps.empty() || write_record(member.planned.record) != write_record(member.before));
  }

  Result<> apply(StagingShared& shared, std::span<Member> group) {
    std::vector<const Planned*> working;
    bool lifts = false;
    for (const Member& member : group) {
      if (!has_work(member)) continue;
      working.push_back(&member.planned);
      const bool linked = member.before.share == Share::hardlink || member.planned.record.share == Share::hardlink;
      lifts = lifts || (linked && !member.planned.plan.steps.empty());
    }
    if (!request_.export_new.empty()) TRY(export_conflicts(shared, group));
    if (working.empty()) return {};
    Quiescence quiescence;
    const bool holds = lifts && must_lift(seal_);
    if (holds) {
      // Those that have shared inodes, and those that are given some now.
      std::vector<Record> records = records_;
      for (const Planned* one : working) records.push_back(one->record);
      auto held = hold_tenants(store_, skel_, records, request_.engine);
      // Before the first change it is the whole run that is refused.
      if (!held && !changed_something_) return std::unexpected(std::move(held).error());
      if (!held) {
        for (Member& member : group)
          if (has_work(member)) member.error = held.error();
        return {};
      }
      quiescence = std::move(*held);
    }
    changed_something_ = true;
    const auto applied =
        TRY(apply_plans(store_, shared, working,
                        holds && request_.engine.quiesce != Quiesce::off ? Tenants::are_still : Tenants::may_run,
                        quiescence));
    shared.links.quiescence = nullptr;
    TRY(quiescence.release());
    for (Member& member : group)
      if (const auto found = applied.find(member.before.name); found != applied.end()) take_in(member, found->second);
    return {};
  }

  /// The plan, brought down to what was done.
  void take_in(Member& member, const Applied& applied) const {
    VserverPlan& plan = member.planned.plan;
    member.report.error = applied.error;
    if (applied.untouched) {
      plan.steps.clear();
      plan.accounts.clear();
      plan.states.clear();
      plan.kept = {{"/" + std::string(kAccounts), std::string(why::kInUse)}};
      plan.shared_now = plan.shared_before;
      plan.bytes_saved = 0;
      return;
    }
    const bool have_accounts_come =
        plan.steps.empty() ? applied.error.empty() : std::ranges::none_of(plan.steps, [&](const Step& step) {
          return step.bundle != 0 && plan.bundles[step.bundle - 1] == kAccounts && applied.left.contains(step.path());
        });
    if (!have_accounts_come) plan.accounts.clear();
    const NodeOwners owners(*view_, plan.ids);
    for (Step& step : plan.steps) {
      const bool left = applied.left.contains(step.path());
      if (left && step.bundle != 0) {
        const KeptPath bundle{"/" + plan.bundles[step.bundle - 1], std::string(why::kBundleInUse)};
        if (std::ranges::find(plan.kept, bundle) == plan.kept.end()) plan.kept.push_back(bundle);
      } else if (left && !step.in_use && step.change != Change::beside) {
        plan.kept.push_back({"/" + step.path(), std::string(why::kInUse)});
        if (step.theirs != nullptr && step.change != Change::removed && plan.shared_now > 0 && step.theirs->linkable &&
            !owners.changes(*step.theirs))
          --plan.shared_now;
      }
      if (!left && step.in_use) std::erase(plan.kept, KeptPath{"/" + step.path(), std::string(why::kInUse)});
      step.in_use = left;
    }
    std::ranges::sort(plan.kept);
  }

  /// Theirs of every conflict, outside of all vservers: EXPORT/VSERVER/PATH.
  Result<> export_conflicts(StagingShared& shared, std::span<Member> group) {
    const DirFd target = TRY(sys::open_root(request_.export_new));
    for (const Member& member : group) {
      if (member.error || member.planned.plan.conflicts.empty()) continue;
      Stager stager(shared, Share::copy, NodeOwners(*view_, {}), nullptr);
      for (const TreeNode* theirs : member.planned.plan.conflicts) {
        const DirFd own = TRY(sys::ensure_dir(target, *Name::check(member.before.name), 0700));
        const DirFd dir = TRY(make_dirs(own, parent_path(theirs->path())));
        TRY(remove_tree(dir, last_name(theirs->path())));
        TRY(stager.put(*theirs, dir, last_name(theirs->path())));
      }
    }
    return {};
  }

  /// Counts a step, and tells of its paths if the user wants to know them: a fleet may have millions.
  void report_step(const Step& step, const std::string& path, RelinkedVserver& report) const {
    if (step.change == Change::updated) ++report.updated;
    if (step.change == Change::added) ++report.added;
    if (step.change == Change::removed) ++report.removed;
    if (request_.list_paths && step.change != Change::none)
      report.paths.push_back({change_word(step.change), "/" + path});
  }

  void report_tree(const Step& step, const TreeNode& node, RelinkedVserver& report) const {
    report_step(step, node.path(), report);
    for (const TreeNode* child : node.children())
      if (child->is_directory() || child->entry->part != Part::static_part) report_tree(step, *child, report);
  }

  Result<> report_on(Member& member) {
    RelinkedVserver& report = member.report;
    if (member.error) {
      report.error = member.error->line();
      return {};
    }
    VserverPlan& plan = member.planned.plan;
    for (const Step& step : plan.steps) {
      if (step.in_use) continue;
      if (step.change == Change::beside) report.beside.push_back("/" + step.path());
      if (step.kind == Step::Kind::put_new && step.made() == nullptr && step.change != Change::beside)
        report_tree(step, *step.theirs, report);
      else
        report_step(step, step.path(), report);
    }
    std::ranges::sort(report.paths, {}, &RelinkedPath::path);
    std::ranges::sort(report.beside);
    report.shared_before = plan.shared_before;
    report.shared_now = plan.shared_now;
    report.bytes_saved = plan.bytes_saved;
    report.bytes_read = plan.bytes_read;
    report.kept = std::move(plan.kept);
    report.accounts = std::move(plan.accounts);
    report.states = std::move(plan.states);
    for (const std::string& path : plan.old_set_id) report.old_set_id.push_back("/" + path);
    const bool is_skipped = plan.held_back || !plan.torn.empty();
    report.status = !report.error.empty() ? RelinkStatus::failed
                    : is_skipped          ? RelinkStatus::skipped
                                          : RelinkStatus::done;
    const std::string& lock = member.tool_locks.held_by_another();
    if (plan.held_back && !lock.empty() && report.error.empty())
      report.error =
          lock + " is held: something inside changes packages or users just now; relink again when it is done";
    if (!plan.torn.empty() && report.error.empty()) report.error = torn_line(plan.torn);
    if (plan.held_back && report.error.empty())
      report.error = "the tenant changed its package database (" + printable(plan.closed_by) +
                     "): upgrade inside the vserver, then relink folds the equal "
                     "files together; --pkgdb force takes the skel's files without the database";
    if (request_.engine.dry_run == DryRun::no) TRY(find_users_of_replaced(member));
    return {};
  }

  /// As needrestart does: who runs in the vserver and still has a replaced file mapped.
  Result<> find_users_of_replaced(Member& member) {
    std::set<std::uint64_t> replaced;
    for (const Step& step : member.planned.plan.steps)
      if (!step.in_use && (step.change == Change::updated || step.change == Change::removed) &&
          step.mine.type == sys::FileType::regular)
        replaced.insert(step.mine.inode);
    if (replaced.empty()) return {};
    const sys::Stat root = TRY(sys::stat(member.root));
    const Tenant tenant{member.before.name, root.device, root.inode};
    for (const Inhabitant& inhabitant : TRY(find_inhabitants(store_.vservers(), std::span(&tenant, 1)))) {
      const auto mapped = TRY(sys::mapped_inodes(inhabitant.id.pid));
      if (std::ranges::any_of(mapped, [&](std::uint64_t inode) { return replaced.contains(inode); }))
        member.report.restart.push_back(inhabitant.process);
    }
    return {};
  }

  const Store& store_;
  const RelinkRequest& request_;
  const Skel& skel_;
  const std::vector<Record> records_;
  const sys::Time begun_ = sys::precise_clock();
  std::vector<Member> members_;
  Arena readers_{readers(request_.engine)};
  SealKind seal_ = SealKind::none;
  bool changed_something_ = false;
  std::optional<SkelView> view_;
  std::optional<ByContent> by_content_;
};

}  // namespace

Result<RelinkReport> relink_vservers(const Store& store, const RelinkRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  const SkelToChange opened = TRY(open_skel_to_change(store, request.skel, request.engine));
  const Skel& skel = opened.skel;
  if (skel.merged()) return refuse("relink", request.skel.text(), "the skel is merged; split-skel first");
  const int jobs = workers(request.engine);
  Arena arena(jobs);
  Run run(store, request, skel, TRY(read_records(skel)));
  auto report = arena.execute([&] { return run.run(static_cast<unsigned>(jobs)); });
  if (report) report->elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace vskel
