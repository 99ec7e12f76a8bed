#include "engine/relink/apply.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>

#include "engine/relink/held_seals.h"
#include "engine/relink/relink_intent.h"
#include "engine/relink/slots.h"
#include "engine/relink/tool_locks.h"
#include "engine/skel/reseal.h"
#include "engine/sys/stopping.h"
#include "engine/tree/remove.h"
#include "engine/tree/task_group.h"
#include "engine/txn/staging.h"
#include "engine/txn/write_behind.h"
#include "engine/vserver/instances.h"
#include "engine/vserver/record_tokens.h"
#include "engine/vserver/tenants.h"

namespace vskel {

namespace {

constexpr std::size_t kMostSteps = std::size_t{1} << 30;

/// Runs `work(at)` for all indices, each in a task.
template <class Work>
void for_each_index(std::size_t count, Work work) {
  TaskGroup tasks;
  tasks.run_and_wait([&] {
    for (std::size_t at = 0; at < count; ++at) tasks.run([&work, at] { work(at); });
  });
}

Result<> write_new_file(const DirFd& dir, Name name, std::string_view content) {
  const Fd file = TRY(sys::create_file(dir, name, 0600));
  return sys::write_all(file, content);
}

/// Takes the steps that were not carried out back from a record. A directory whose metadata could not be set is its
/// tenant's by now, and what is below it went on without it; but of a bundle nothing goes on by itself.
Result<> take_back(Record& record, const std::map<std::string, unsigned>& left, const StepSource& steps) {
  if (left.empty()) return {};
  return steps([&](const StagedStep& step) -> Result<> {
    const bool of_bundle = step.kind == Step::Kind::set_metadata && !step.bundle.empty();
    if (step.is_of_directory() && step.kind != Step::Kind::remove_dir && !of_bundle) return {};
    const auto found = left.find(step.path);
    if (found == left.end()) return {};
    record.bases.erase(step.path);
    if (base_of(record, step.path) != found->second) record.bases.emplace(step.path, found->second);
    return {};
  });
}

Result<std::string> read_staged_file(const DirFd& dir, Name name) {
  return sys::read_whole(TRY(sys::open_file(dir, name)), kMostSteps);
}

/// What is staged of one vserver.
struct StagedVserver {
  DirFd root, slots;  ///< closed where the vserver is gone
  sys::Time at;       ///< by the file system's clock, as its ctimes
  Record record;
  StepSource steps;
  ToolLocks tool_locks;  ///< after a crash; before it is the caller who has them
  CarriedOut outcome;
};

/// The file of the staged steps, as they come.
class StepsFile {
 public:
  explicit StepsFile(Fd file) : file_(std::move(file)) {}
  Result<> add(const StagedStep& step) {
    constexpr std::size_t kPiece = 64 << 10;
    write_step(text_, step);
    return text_.size() < kPiece ? Result<>{} : flush();
  }
  Result<> flush() {
    TRY(sys::write_all(file_, text_));
    text_.clear();
    return {};
  }

 private:
  Fd file_;
  std::string text_;
};

Result<StagedVserver> stage_one(const Store& store, StagingShared& shared, const std::string& operation,
                                const DirFd& staging, const Planned& planned) {
  StagedVserver out;
  const Name name = *Name::check(planned.record.name);
  const DirFd dir = TRY(sys::ensure_dir(staging, name, 0700));
  out.root = TRY(sys::open_dir(store.vservers(), name));
  out.slots = TRY(make_slots(out.root, operation));
  out.record = planned.record;
  StepsFile file(TRY(sys::create_file(dir, "steps", 0600)));
  const TokenValues tokens = tokens_of(planned.record, shared.vservers);
  Stager stager(shared, planned.record.share, NodeOwners(shared.view, planned.record.ids), &tokens);
  out.steps = TRY(stager.stage(planned.plan, out.slots, [&file](const StagedStep& step) { return file.add(step); }));
  TRY(file.flush());
  out.at = TRY(sys::stat(dir, "steps")).mtime;
  TRY(write_new_file(dir, "record", write_record(planned.record)));
  return out;
}

/// Of a vserver after a crash. Version 0.1 had them in the staging.
Result<DirFd> find_slots(const DirFd& root, const std::string& operation, const DirFd& staged) {
  DirFd slots = TRY(open_slots(root, operation));
  if (slots.open()) return slots;
  auto of_staging = sys::open_dir(staged, "slots");
  if (of_staging || of_staging.error().code != ENOENT) return of_staging;
  return make_slots(root, operation);  // its tenant removed them: what was to come to him is gone
}

/// After a crash.
Result<StagedVserver> read_staged_vserver(const Store& store, const std::string& operation, const DirFd& staging,
                                          const std::string& name) {
  StagedVserver out;
  const DirFd dir = TRY(sys::open_dir(staging, *Name::check(name)));
  auto root = sys::open_dir(store.vservers(), *Name::check(name));
  if (!root && root.error().code != ENOENT) return std::unexpected(std::move(root).error());
  if (root) out.slots = TRY(find_slots(*root, operation, dir));
  if (root) out.tool_locks = TRY(ToolLocks::take(*root, TakeLocks::yes));
  if (root) out.root = std::move(*root);
  const std::string path = sys::path_of(dir);
  out.record = TRY(read_record(TRY(read_staged_file(dir, "record")), path + "/record"));
  const auto text = std::make_shared<const std::string>(TRY(read_staged_file(dir, "steps")));
  out.at = TRY(sys::stat(dir, "steps")).mtime;
  out.steps = [text, source = path + "/steps"](const StepSink& sink) { return read_steps(*text, source, sink); };
  // A line that says nothing is found before the first step is carried out.
  TRY(out.steps([](const StagedStep&) -> Result<> { return {}; }));
  return out;
}

/// All steps are left where the vserver itself can't be had.
Result<> leave_all(StagedVserver& staged, Error error) {
  staged.outcome.error = std::move(error);
  return staged.steps([&staged](const StagedStep& step) -> Result<> {
    staged.outcome.left.emplace(step.path, step.base_generation);
    return {};
  });
}

/// Descriptors for leases, for each of several vservers: half of what the process may have.
std::size_t most_leases(std::size_t vservers) {
  constexpr std::size_t kFewest = 16, kMost = 4096;  // each costs some 500 bytes until the grace is over
  return std::clamp(sys::descriptor_limit() / 2 / std::max<std::size_t>(vservers, 1), kFewest, kMost);
}

enum class After { planning, crash };

/// All vservers at once, so that one grace does for all.
void carry_out_steps(const Store& store, const Intent& intent, std::vector<StagedVserver>& staged, LinkShared& links,
                     Tenants tenants, Further further, After after) {
  std::vector<std::unique_ptr<CarryOut>> carriers(staged.size());
  std::vector<Tenant> identities;
  for (std::size_t at = 0; at < staged.size(); ++at) {
    const DirFd& root = staged[at].root;
    const auto stat =
        root.open() ? sys::stat(root) : fail("open", store.paths().vservers + "/" + staged[at].record.name, ENOENT);
    if (!stat) {
      (void)leave_all(staged[at], stat.error());  // it has its error already
      staged[at].root = DirFd();
      continue;
    }
    identities.push_back({staged[at].record.name, stat->device, stat->inode});
  }
  const Grace grace(store.vservers(), std::move(identities), tenants);
  for (std::size_t at = 0; at < staged.size(); ++at) {
    if (!staged[at].root.open()) continue;
    carriers[at] = std::make_unique<CarryOut>(CarryOutRequest{
        links, staged[at].slots, staged[at].root, store.quarantine(), intent.id() + "." + staged[at].record.name, grace,
        staged[at].tool_locks.held_by_another().empty() ? further : Further::leave, staged[at].at,
        after == After::crash, most_leases(staged.size())});
  }
  const auto for_each_carrier = [&](auto work) {
    for_each_index(staged.size(), [&](std::size_t at) {
      if (carriers[at]) work(at);
    });
    const auto holds_leases = [](const auto& carrier) { return carrier && carrier->holds_leases(); };
    if (std::ranges::any_of(carriers, holds_leases)) grace.wait();
  };
  for_each_carrier([&](std::size_t at) { carriers[at]->run(staged[at].steps); });
  for_each_carrier([&](std::size_t at) { carriers[at]->settle(); });
  for_each_carrier([&](std::size_t at) { staged[at].outcome = carriers[at]->finish(); });
}

Result<std::map<std::string, Applied>> carry_out_all(const Store& store, Intent& intent, const Skel& skel,
                                                     std::vector<StagedVserver>& staged, LinkShared& links,
                                                     Tenants tenants, Further further, After after) {
  carry_out_steps(store, intent, staged, links, tenants, further, after);
  for (StagedVserver& one : staged) {
    if (one.outcome.untouched) continue;
    TRY(take_back(one.record, one.outcome.left, one.steps));
    TRY(prepare_record(skel, one.record));
  }
  // Among what failed there may have been the sealing of a file.
  const bool all_went_well =
      std::ranges::none_of(staged, [](const StagedVserver& one) { return one.outcome.error.has_value(); });
  if (must_lift(links.seal) && !all_went_well) TRY(seal_skel_again(skel, links.seal));
  // Exchanges and records are durable before a record takes the place of the one before, and that before the intent
  // ends, which would do all of it again.
  TRY(sys::sync_file_system(store.vservers()));
  for (const StagedVserver& one : staged)
    if (!one.outcome.untouched) TRY(put_record_in_place(skel, one.record.name));
  TRY(sys::sync_file(skel.instances()));
  std::map<std::string, Applied> out;
  for (StagedVserver& one : staged)
    out[one.record.name] = {std::move(one.outcome.left), one.outcome.error ? one.outcome.error->line() : std::string(),
                            one.outcome.untouched};
  // From here on the staging is garbage, and half of it would be misread.
  TRY(intent.record({{"phase", "done"}}));
  return out;
}

/// A directory is not empty, or something is mounted on it. All else is an error of the run's: a seal may be off.
bool is_in_the_way(const Error& error) {
  return error.operation == "remove" && (error.code == ENOTEMPTY || error.code == EBUSY);
}

/// A line for each vserver whose tenant is in the way.
Result<std::map<std::string, std::string>> remove_all_slots(const Store& store, const std::string& operation,
                                                            const std::vector<std::string>& names,
                                                            const InTurn& in_turn) {
  std::map<std::string, std::string> lines;
  for (const std::string& name : names) {
    const auto root = sys::open_dir(store.vservers(), *Name::check(name));
    if (!root && root.error().code == ENOENT) continue;
    if (!root) return std::unexpected(root.error());
    // Its tenant may be putting things there just now: not for long, or it is he who is told of.
    constexpr int kAttempts = 5;
    auto removed = remove_slots(*root, operation, in_turn);
    for (int attempt = 1; !removed && is_in_the_way(removed.error()) && attempt < kAttempts; ++attempt)
      removed = remove_slots(*root, operation, in_turn);
    if (removed) continue;
    if (!is_in_the_way(removed.error())) return std::unexpected(removed.error());
    lines[name] = removed.error().line() + "; its tenant put something there: remove it by hand";
  }
  return lines;
}

std::vector<std::string> names_of(const nlohmann::json& json) {
  std::vector<std::string> names;
  for (const auto& name : json) names.push_back(name.get<std::string>());
  return names;
}

}  // namespace

Result<std::map<std::string, Applied>> apply_plans(const Store& store, StagingShared& shared,
                                                   const std::vector<const Planned*>& planned, Tenants tenants,
                                                   Quiescence& quiescence) {
  std::map<std::string, Applied> out;
  std::vector<const Planned*> working;
  auto names = nlohmann::json::array();
  const Skel& skel = shared.view.skel();
  for (const Planned* one : planned) {
    if (!one->plan.steps.empty()) {
      working.push_back(one);
      names.push_back(one->record.name);
      continue;
    }
    auto saved = save_record(skel, one->record);
    out[one->record.name].error = saved ? "" : saved.error().line();
  }
  if (working.empty()) return out;

  Intent intent = TRY(Intent::begin(store, {{"version", 1},
                                            {"operation", "relink"},
                                            {"skel", skel.name().text()},
                                            {"seal", seal_name(shared.links.seal)},
                                            {"vservers", names}}));
  const Name id = *Name::check(intent.id());
  const DirFd staging = TRY(sys::ensure_dir(store.staging(), id, 0700));
  const WriteBehind write_behind(staging);
  shared.links.quiescence = &quiescence;
  std::vector<const VserverPlan*> plans;  // whose files stay lifted from one turn to the next
  for (const Planned* one : working)
    if (one->record.share == Share::hardlink && !quiescence.lets_run()) plans.push_back(&one->plan);
  HeldSeals held(shared.view, shared.links, plans);
  std::vector<std::optional<Result<StagedVserver>>> staged(working.size());
  for_each_index(working.size(),
                 [&](std::size_t at) { staged[at] = stage_one(store, shared, intent.id(), staging, *working[at]); });
  std::vector<StagedVserver> complete;
  auto complete_names = nlohmann::json::array();
  for (std::size_t at = 0; at < working.size(); ++at) {
    const std::string& name = working[at]->record.name;
    if (*staged[at]) {
      complete.push_back(std::move(**staged[at]));
      complete_names.push_back(name);
    } else {
      out[name].error = staged[at]->error().line();
      for (const Step& step : working[at]->plan.steps) out[name].left.emplace(step.path(), step.base_generation);
    }
  }
  auto announced = sys::sync_file_system(staging);
  if (announced) announced = intent.record({{"phase", "apply"}, {"vservers", complete_names}});
  if (announced) {
    // What a tenant writes to what has come is told by its ctime.
    sys::Time staged_by;
    for (const StagedVserver& one : complete) staged_by = std::max(staged_by, one.at);
    sys::wait_for_inode_clock_past(staged_by);
    auto carried_out =
        TRY(carry_out_all(store, intent, skel, complete, shared.links, tenants, Further::carry_out, After::planning));
    out.merge(carried_out);
  }
  complete.clear();
  const sys::Undoing to_the_end;
  auto sealed = held.restore();
  auto in_the_way = remove_all_slots(store, intent.id(), names_of(names), quiescence.in_turn());
  // What failed, while all was staged or taken away again, may have been the sealing of a file.
  const bool all_went_well = sealed && in_the_way &&
                             std::ranges::all_of(out, [](const auto& applied) { return applied.second.error.empty(); });
  if (must_lift(shared.links.seal) && !all_went_well) TRY(seal_skel_again(skel, shared.links.seal));
  for (auto& [name, line] : TRY(std::move(in_the_way)))
    if (out[name].error.empty()) out[name].error = std::move(line);
  TRY(remove_tree(store.staging(), id));
  TRY(intent.close());
  if (!announced) return std::unexpected(std::move(announced).error());
  TRY(std::move(sealed));
  return out;
}

Result<std::vector<std::string>> finish_relink(const Store& store, Intent& intent, const EngineOptions& engine) {
  const nlohmann::json first = intent.records().front(), last = intent.records().back();
  const Skel skel = TRY(Skel::open(store, TRY(SkelName::parse(first.value("skel", "")))));
  const SealKind seal = TRY(parse_seal(first.value("seal", "none")));
  if (must_lift(seal)) TRY(seal_skel_again(skel, seal));
  const Name id = *Name::check(intent.id());
  std::vector<std::string> lines;
  auto staging = sys::open_dir(store.staging(), id);
  if (!staging && staging.error().code != ENOENT) return std::unexpected(std::move(staging).error());
  const bool apply = last.value("phase", "") == "apply";
  std::vector<Record> records = TRY(read_records(skel));
  Result<Quiescence> held;
  if (apply && staging) {
    std::vector<StagedVserver> complete;
    for (const std::string& name : names_of(last.at("vservers"))) {
      complete.push_back(TRY(read_staged_vserver(store, intent.id(), *staging, name)));
      records.push_back(complete.back().record);  // which may be the first to say that it shares inodes
    }
    held = must_lift(seal) ? hold_tenants(store, skel, records, engine) : Result<Quiescence>();
    const auto executor = make_syscall_executor();
    const unsigned newest = TRY(skel.newest_generation());
    LinkShared links{skel, newest, *executor, seal, LiftedSeals(seal), {}, held ? &*held : nullptr};
    const auto outcomes = TRY(
        carry_out_all(store, intent, skel, complete, links,
                      must_lift(seal) && held && engine.quiesce != Quiesce::off ? Tenants::are_still : Tenants::may_run,
                      held ? Further::carry_out : Further::leave, After::crash));
    for (const auto& [name, outcome] : outcomes) {
      std::string line = "vserver " + name + ": relink was finished";
      const auto one = std::ranges::find(complete, name, [](const StagedVserver& each) { return each.record.name; });
      if (const auto& lock = one->tool_locks.held_by_another(); !lock.empty()) line += ", " + lock + " is held";
      if (!outcome.left.empty()) line += ", " + std::to_string(outcome.left.size()) + " paths are left to the next";
      if (!outcome.error.empty()) line += "; " + outcome.error;
      lines.push_back(std::move(line));
    }
  }
  if (last.value("phase", "").empty())
    for (const std::string& name : names_of(first.at("vservers")))
      lines.push_back("vserver " + name + ": relink was undone");
  if (!apply && must_lift(seal)) held = hold_tenants(store, skel, records, engine);
  const InTurn in_turn = held ? held->in_turn() : InTurn();
  for (const auto& [name, line] : TRY(remove_all_slots(store, intent.id(), names_of(first.at("vservers")), in_turn)))
    lines.push_back("vserver " + name + ": " + line);
  if (held) TRY(held->release());
  TRY(staging_to_trash(store, intent));
  TRY(intent.close());
  return lines;
}

}  // namespace vskel
