#include "engine/vserver/tenants.h"

#include "engine/seal/seal.h"
#include "engine/vserver/instances.h"

namespace vskel {

Result<std::vector<Tenant>> sealed_tenants(const Store& store, const std::vector<Record>& records) {
  std::vector<Tenant> out;
  for (const Record& record : records) {
    if (record.share != Share::hardlink || !must_lift(record.seal)) continue;
    const auto stat = TRY(sys::stat_if_there(store.vservers(), *Name::check(record.name)));
    if (stat) out.push_back({record.name, stat->device, stat->inode});
  }
  return out;
}

std::function<Result<std::vector<Tenant>>(const Skel&)> tenants_by_skel(const Store& store) {
  return [&store](const Skel& skel) -> Result<std::vector<Tenant>> {
    return sealed_tenants(store, TRY(read_records(skel)));
  };
}

}  // namespace vskel
