// Vservers that can reach sealed inodes: who has to be still while a seal is lifted.
#pragma once

#include <optional>
#include <vector>

#include "engine/model/options.h"
#include "engine/quiesce/quiescence.h"
#include "engine/skel/generation_change.h"
#include "engine/skel/skel.h"
#include "engine/vserver/record.h"

namespace vskel {

/// What seals the inodes that vservers of these `records` share: the guard if one of them relies on it, else what the
/// first says; nullopt if none shares any.
[[nodiscard]] std::optional<SealKind> recorded_seal(const std::vector<Record>& records);

/// The seal for further inodes of their skel, and for a vserver that is to share them, where nothing is asked: the
/// guard if it is recorded, and an error if that is not to be had; else the best that the kernel has, but not the guard
/// where another seal is recorded. nullopt: none is to be had. `scratch` as for choose_seal().
[[nodiscard]] Result<std::optional<SealKind>> seal_to_go_on_with(const DirFd& scratch,
                                                                 const std::vector<Record>& records);

/// After the guard has taken another seal's place: from now on the records of all vservers that share the skel's files
/// say so, lest one of those say alone what seals them when the others are gone. A record that another command has in
/// hand stays as it is, for `guard start`. Under the skel's lock.
[[nodiscard]] Result<> move_records_to_guard(const Store& store, const Skel& skel);

/// Tells the user, where nobody asked for the immutable flag and nothing better is to be had now, what it costs and how
/// to get the guard. `scratch` as for choose_seal().
void warn_of_immutable(const DirFd& scratch, const EngineOptions& engine);

/// seal_to_go_on_with() by what the records say when asked; for split_skel() and roll_back(). `store` outlives it.
[[nodiscard]] ChooseSeal seal_chooser(const Store& store);

/// Keeps all vservers of a skel from running that have its inodes by hard link under a seal that must be lifted, as its
/// `records` say; how, EngineOptions::quiesce says. `store` outlives the Quiescence.
[[nodiscard]] Result<Quiescence> hold_tenants(const Store& store, const Skel& skel, const std::vector<Record>& records,
                                              const EngineOptions& engine);

/// The same for the vservers of all skels. Nobody's writable descriptors are looked for afterwards: for removing names,
/// which gives no inode to anybody.
[[nodiscard]] Result<Quiescence> hold_all_tenants(const Store& store, const EngineOptions& engine);

/// hold_tenants() by what the records say when it is asked; for split_skel() and roll_back(). `store` outlives it.
[[nodiscard]] HoldTenants tenants_holder(const Store& store, const EngineOptions& engine);

}  // namespace vskel
