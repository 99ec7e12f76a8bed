#include "engine/vserver/recover.h"

#include <algorithm>

#include "engine/skel/build_intent.h"
#include "engine/tree/listing.h"
#include "engine/tree/remove.h"
#include "engine/txn/journal.h"
#include "engine/txn/lock.h"
#include "engine/vserver/create_intent.h"
#include "engine/vserver/removal_intent.h"

namespace vskel {

namespace {

Result<std::vector<std::string>> finish_one(const Store& store, Intent& intent, sys::Wait wait) {
  const nlohmann::json& first = intent.records().front();
  const std::string operation = first.value("operation", "");
  std::optional<Lock> lock;
  if (const std::string skel = first.value("skel", ""); !skel.empty()) lock = TRY(Lock::take(store, "skel." + skel, wait));
  if (operation == "build-skel") return std::vector{TRY(finish_build(store, intent))};
  if (operation == "create-vs") return finish_creation(store, intent);
  if (operation == "remove-vs" || operation == "remove-skel") return finish_removal(store, intent);
  return fail("recover", store.paths().vservers + "/.vskel/journal/" + intent.id(), "unknown operation " + operation);
}

/// Files with which a dead process was trying out seals and clones in staging; a sealed one among them has to be unsealed, which remove_tree does. Their names end in the process id.
Result<> sweep_probes(const Store& store) {
  const DirFd staging = TRY(sys::reopen(store.staging()));
  const Listing listing = TRY(Listing::read(staging));
  for (const Listed& listed : listing.entries()) {
    if (!listed.name.view().starts_with(".seal-probe.") && !listed.name.view().starts_with(".reflink-probe.")) continue;
    const auto alive = [&](const sys::RunningProcess& process) { return listed.name.view().find("-probe." + std::to_string(process.pid)) != std::string_view::npos; };
    if (std::ranges::none_of(TRY(sys::running_processes()), alive)) TRY(remove_tree(staging, listed.name));
  }
  return {};
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
  TRY(sweep_probes(store));
  TRY(sweep(store.contexts(), ".nextid."));
  return sweep(store.own_etc(), ".configfile.default.");
}

}  // namespace

Result<std::vector<std::string>> recover(const Store& store, const EngineOptions& engine) {
  std::vector<std::string> lines;
  for (Intent& intent : TRY(crashed_intents(store))) {
    if (engine.dry_run == DryRun::yes) {
      lines.push_back("would recover " + intent.records().front().value("operation", "") + " " + intent.id());
      continue;
    }
    std::ranges::move(TRY(finish_one(store, intent, engine.wait)), std::back_inserter(lines));
  }
  if (engine.dry_run == DryRun::no) TRY(sweep_temporaries(store));
  if (engine.dry_run == DryRun::no) std::ranges::move(TRY(empty_trash(store)), std::back_inserter(lines));
  return lines;
}

}  // namespace vskel
