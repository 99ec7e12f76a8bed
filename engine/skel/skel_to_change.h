// How every command that changes a skel begins.
#pragma once

#include <optional>

#include "engine/model/options.h"
#include "engine/skel/skel.h"
#include "engine/txn/lock.h"

namespace vskel {

/// A skel that nobody else changes while this lives. A dry run holds no lock.
struct SkelToChange {
  std::optional<Lock> lock;
  Skel skel;
};

/// Under the skel's lock: an error if a command on the skel was killed since this one looked for what to recover. What
/// that one did not finish would be finished over what this one makes: a vserver removed under whose name there is a
/// new one.
[[nodiscard]] Result<> require_nothing_crashed(const Store& store, const SkelName& name);

/// Refuses a skel that does not exist before a lock is waited for, and reads it under the lock.
[[nodiscard]] Result<SkelToChange> open_skel_to_change(const Store& store, const SkelName& name,
                                                       const EngineOptions& engine);

}  // namespace vskel
