#include "engine/vserver/tenants.h"

#include <algorithm>

#include "engine/seal/seal.h"
#include "engine/skel/reseal.h"
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

}  // namespace

Result<Quiescence> hold_tenants(const Store& store, const Skel& skel, const std::vector<Record>& records,
                                Quiesce quiesce, const EngineOptions& engine) {
  std::vector<Tenant> tenants;
  TRY(add_sealed_tenants(store, records, tenants));
  // The skel is opened anew: a split has other trees in their places by then.
  const auto prove = [&store, name = skel.name()]() -> Result<> {
    return prove_no_writers(TRY(Skel::open(store, name)));
  };
  return Quiescence::hold(store, std::move(tenants), {quiesce, engine.wait, engine.say, prove});
}

Result<Quiescence> hold_all_tenants(const Store& store, Quiesce quiesce, const EngineOptions& engine) {
  std::vector<Tenant> tenants;
  for (const SkelName& name : TRY(Skel::all(store)))
    TRY(add_sealed_tenants(store, TRY(read_records(TRY(Skel::open(store, name)))), tenants));
  return Quiescence::hold(store, std::move(tenants), {quiesce, engine.wait, engine.say, {}});
}

HoldTenants tenants_holder(const Store& store, Quiesce quiesce, const EngineOptions& engine) {
  return [&store, quiesce, engine](const Skel& skel) -> Result<Quiescence> {
    return hold_tenants(store, skel, TRY(read_records(skel)), quiesce, engine);
  };
}

}  // namespace vskel
