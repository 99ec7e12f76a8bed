// Vservers that can reach sealed inodes: who has to be still while a seal is lifted.
#pragma once

#include <functional>
#include <vector>

#include "engine/seal/quiesce.h"
#include "engine/skel/skel.h"
#include "engine/txn/store.h"
#include "engine/vserver/record.h"

namespace vskel {

/// Those of `records` that have inodes by hard link under a seal that must be lifted, and are there.
[[nodiscard]] Result<std::vector<Tenant>> sealed_tenants(const Store& store, const std::vector<Record>& records);

/// Asks a skel's records; for split_skel() and roll_back(). `store` outlives it.
[[nodiscard]] std::function<Result<std::vector<Tenant>>(const Skel&)> tenants_by_skel(const Store& store);

}  // namespace vskel
