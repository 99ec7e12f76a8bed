// Vservers that can reach sealed inodes: who has to be still while a seal is lifted.
#pragma once

#include <vector>

#include "engine/model/options.h"
#include "engine/quiesce/quiescence.h"
#include "engine/skel/generation_change.h"
#include "engine/skel/skel.h"
#include "engine/vserver/record.h"

namespace vskel {

/// Holds all vservers of a skel still that have its inodes by hard link under a seal that must be lifted, as its
/// `records` say. `store` outlives the Quiescence.
[[nodiscard]] Result<Quiescence> hold_tenants(const Store& store, const Skel& skel, const std::vector<Record>& records,
                                              Quiesce quiesce, const EngineOptions& engine);

/// The same for the vservers of all skels. Nobody's writable descriptors are looked for afterwards: for removing names,
/// which gives no inode to anybody.
[[nodiscard]] Result<Quiescence> hold_all_tenants(const Store& store, Quiesce quiesce, const EngineOptions& engine);

/// hold_tenants() by what the records say when it is asked; for split_skel() and roll_back(). `store` outlives it.
[[nodiscard]] HoldTenants tenants_holder(const Store& store, Quiesce quiesce, const EngineOptions& engine);

}  // namespace vskel
