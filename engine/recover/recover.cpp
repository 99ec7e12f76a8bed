#include "engine/recover/recover.h"

#include <algorithm>

#include "engine/quiesce/quiescence.h"
#include "engine/relink/relink_intent.h"
#include "engine/skel/build_intent.h"
#include "engine/skel/merge_intent.h"
#include "engine/skel/next_generation.h"
#include "engine/skel/skel.h"
#include "engine/sys/stopping.h"
#include "engine/tree/arena.h"
#include "engine/tree/listing.h"
#include "engine/tree/remove.h"
#include "engine/txn/journal.h"
#include "engine/txn/lock.h"
#include "engine/vserver/create_intent.h"
#include "engine/vserver/removal_intent.h"
#include "engine/vserver/tenants.h"

namespace vskel {

namespace {

constexpr int kVersion = 1;  // of intents

/// "" where it is no word.
std::string operation_of(const nlohmann::json& first) {
  const nlohmann::json operation = first.value("operation", nlohmann::json());
  return operation.is_string() ? operation.get<std::string>() : "";
}

std::string journal_of(const Store& store, const std::string& id) {
  return store.paths().vservers + "/.vskel/journal/" + id + ".journal";
}

bool is_quiescence(const Intent& intent) { return operation_of(intent.records().front()) == "quiesce"; }

Result<std::vector<std::string>> finish_known(const Store& store, Intent& intent, const EngineOptions& engine) {
  const nlohmann::json& first = intent.records().front();
  const std::string operation = operation_of(first);
  std::optional<Lock> lock;
  if (const std::string skel = first.value("skel", ""); !skel.empty())
    lock = TRY(Lock::take(store, "skel." + skel, engine.wait));
  if (operation == "build-skel") return std::vector{TRY(finish_build(store, intent))};
  if (operation == "merge-skel" || operation == "abort-merge") return std::vector{TRY(finish_merge(store, intent))};
  // The trash is emptied by recover itself, when all who share what is in it are still.
  if (operation == "split-skel" || operation == "rollback")
    return std::vector{TRY(finish_generation(store, intent, Trash::leave, tenants_holder(store, engine)))};
  if (operation == "create-vs") return finish_creation(store, intent);
  if (is_quiescence(intent)) return finish_quiescence(store, intent);
  if (operation == "prune") {  // what it had moved into the trash goes with that
    TRY(intent.close());
    return std::vector{"skel " + first.value("skel", "") + ": pruning it was cut off; prune again for the rest"};
  }
  if (operation == "relink") return finish_relink(store, intent, engine);
  if (operation == "remove-vs" || operation == "remove-skel") return finish_removal(store, intent, engine);
  return fail("recover", journal_of(store, intent.id()), "unknown operation " + operation);
}

/// Checksums tell a damaged record, not one of another version of this program, whose words may mean something else.
Result<std::vector<std::string>> finish_one(const Store& store, Intent& intent, const EngineOptions& engine) {
  if (intent.records().front().value("version", nlohmann::json()) != kVersion)
    return fail("recover", journal_of(store, intent.id()), "written by a version of vskel that is not known");
  try {
    return finish_known(store, intent, engine);
  } catch (const nlohmann::json::exception& error) {
    return fail("recover", journal_of(store, intent.id()), std::string("not understood: ") + error.what());
  }
}

/// Temporary files of write_file_atomically() that a crash left where vskel writes without an intent.
Result<> sweep_temporaries(const Store& store) {
  const Lock lock = TRY(Lock::take(store, "contexts", sys::Wait::yes));
  const auto sweep = [](const DirFd& where, std::string_view prefix) -> Result<> {
    const DirFd dir = TRY(sys::reopen(where));
    const Listing listing = TRY(Listing::read(dir));
    for (const Listed& listed : listing.entries())
      if (listed.name.view().starts_with(prefix)) TRY(sys::unlink_if_there(dir, listed.name));
    return {};
  };
  TRY(sweep(store.contexts(), ".nextid."));
  return sweep(store.own_etc(), ".configfile.default.");
}

/// The same for records, which are written under the lock of the skel or of the vserver.
Result<> sweep_records(const Store& store) {
  constexpr std::string_view kSuffix = ".json.";
  for (const SkelName& name : TRY(Skel::all(store))) {
    const auto skel_lock = TRY(Lock::take_if_free(store, "skel." + name.text()));
    if (!skel_lock) continue;
    const Skel skel = TRY(Skel::open(store, name));
    if (!skel.instances().open()) continue;
    const DirFd instances = TRY(sys::reopen(skel.instances()));
    const Listing listing = TRY(Listing::read(instances));
    for (const Listed& listed : listing.entries()) {
      const std::string_view file = listed.name.view();
      const std::size_t suffix = file.rfind(kSuffix);
      if (!file.starts_with('.') || suffix == file.npos) continue;
      const auto lock = TRY(Lock::take_if_free(store, "vserver." + std::string(file.substr(1, suffix - 1))));
      if (lock) TRY(sys::unlink_if_there(instances, listed.name));
    }
  }
  return {};
}

/// What was begun with tenants held still is finished in the same way: those who are held still are no strangers.
EngineOptions as_begun(EngineOptions engine, const std::vector<Intent>& intents) {
  if (engine.quiesce == Quiesce::refuse && std::ranges::any_of(intents, is_quiescence))
    engine.quiesce = Quiesce::freeze;
  return engine;
}

Result<std::vector<std::string>> recover_all(const Store& store, const EngineOptions& given) {
  std::vector<std::string> lines;
  // Who was held still is let go on only when all that he could reach is sealed again.
  std::vector<Intent> intents = TRY(crashed_intents(store));
  const EngineOptions engine = as_begun(given, intents);
  std::ranges::stable_partition(intents, [](const Intent& intent) { return !is_quiescence(intent); });
  for (Intent& intent : intents) {
    TRY(sys::may_go_on());
    const sys::Undoing to_the_end;
    std::ranges::move(TRY(finish_one(store, intent, engine)), std::back_inserter(lines));
  }
  TRY(sweep_temporaries(store));
  TRY(sweep_records(store));
  std::ranges::move(TRY(empty_trash(store, engine)), std::back_inserter(lines));
  return lines;
}

}  // namespace

Result<std::vector<std::string>> recover(const Store& store, const EngineOptions& engine) {
  if (engine.dry_run == DryRun::yes) {
    std::vector<std::string> lines;
    for (const CrashedOperation& crashed : TRY(find_crashed_operations(store)))
      lines.push_back("would recover " + operation_of(crashed.records.front()) + " " + crashed.id);
    return lines;
  }
  Arena arena(workers(engine));
  return arena.execute([&] { return recover_all(store, engine); });
}

}  // namespace vskel
