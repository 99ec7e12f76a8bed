#include "engine/vserver/tenants.h"

#include <algorithm>

#include "engine/seal/guard/guard.h"
#include "engine/seal/seal.h"
#include "engine/skel/reseal.h"
#include "engine/txn/lock.h"
#include "engine/vserver/instances.h"

namespace vskel {

namespace {

/// Those that are there.
Result<> add_sealed_tenants(const Store& store, const std::vector<Record>& records, std::vector<Tenant>& tenants) {
  for (const Record& record : records) {
    if (record.share != Share::hardlink || !must_lift(record.seal)) continue;
    const auto stat = TRY(sys::stat_if_there(store.vservers(), *Name::check(record.name)));
    if (stat) tenants.push_back({record.name, stat->device, stat->inode});
  }
  return {};
}

QuiesceRequest request_of(const EngineOptions& engine, std::function<Result<>(const InTurn&)> prove) {
  return {engine.quiesce, engine.trusted, engine.wait, engine.say, std::move(prove)};
}

}  // namespace

std::optional<SealKind> recorded_seal(const std::vector<Record>& records) {
  std::optional<SealKind> found;
  for (const Record& record : records) {
    if (record.share != Share::hardlink) continue;
    if (record.seal == SealKind::guard) return SealKind::guard;
    if (!found) found = record.seal;
  }
  return found;
}

Result<std::optional<SealKind>> seal_to_go_on_with(const DirFd& scratch, const std::vector<Record>& records) {
  const auto recorded = recorded_seal(records);
  if (recorded == SealKind::guard) return choose_seal(scratch, SealKind::guard);
  const auto best = TRY(choose_seal(scratch, std::nullopt));
  if (best != SealKind::guard || !recorded || recorded == SealKind::none) return best;
  return choose_seal(scratch, SealKind::immutable);
}

Result<> move_records_to_guard(const Store& store, const Skel& skel) {
  const auto is_older = [](const Record& record) {
    return record.share == Share::hardlink && record.seal != SealKind::guard && record.seal != SealKind::none;
  };
  for (const Record& found : TRY(read_records(skel))) {
    if (!is_older(found)) continue;
    const auto lock = TRY(Lock::take_if_free(store, "vserver." + found.name));
    if (!lock) continue;
    // As it is under the lock.
    auto record = TRY(find_record(store, TRY(VserverName::parse(found.name))));
    if (!record || record->skel != skel.name().text() || !is_older(*record)) continue;
    record->seal = SealKind::guard;
    TRY(save_record(skel, *record));
  }
  return {};
}

void warn_of_immutable(const DirFd& scratch, const EngineOptions& engine) {
  if (!engine.warn) return;
  const auto file_system = sys::file_system(scratch);
  const auto state = guard_state();
  std::string instead = "vskel guard start";
  if (file_system && file_system->type == "btrfs")
    instead = "--share reflink";
  else if (state && !state->loaded && !state->why_not.empty())
    instead = "the guard, but " + state->why_not;
  engine.warn("seal immutable: vservers can neither upgrade nor delete what they share; better: " + instead);
}

ChooseSeal seal_chooser(const Store& store) {
  return [&store](const Skel& skel) -> Result<std::optional<SealKind>> {
    return seal_to_go_on_with(store.staging(), TRY(read_records(skel)));
  };
}

Result<Quiescence> hold_tenants(const Store& store, const Skel& skel, const std::vector<Record>& records,
                                const EngineOptions& engine) {
  std::vector<Tenant> tenants;
  TRY(add_sealed_tenants(store, records, tenants));
  // The skel is opened anew: a split has other trees in their places by then.
  const auto prove = [&store, name = skel.name()](const InTurn& in_turn) -> Result<> {
    return prove_no_writers(TRY(Skel::open(store, name)), in_turn);
  };
  return Quiescence::hold(store, std::move(tenants), request_of(engine, prove));
}

Result<Quiescence> hold_all_tenants(const Store& store, const EngineOptions& engine) {
  std::vector<Tenant> tenants;
  for (const SkelName& name : TRY(Skel::all(store)))
    TRY(add_sealed_tenants(store, TRY(read_records(TRY(Skel::open(store, name)))), tenants));
  return Quiescence::hold(store, std::move(tenants), request_of(engine, {}));
}

HoldTenants tenants_holder(const Store& store, const EngineOptions& engine) {
  return [&store, engine](const Skel& skel) -> Result<Quiescence> {
    return hold_tenants(store, skel, TRY(read_records(skel)), engine);
  };
}

}  // namespace vskel
