// The guard over all skels: filling it when it is loaded, and who relies on it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/options.h"
#include "engine/seal/guard/guard.h"
#include "engine/txn/store.h"

namespace vskel {

/// A skel whose inodes the guard is to hold: vservers rely on it, or none shares them by another seal.
struct GuardedSkel {
  std::string skel;
  std::vector<std::string> vservers;  ///< whose records say `guard`
  std::uint64_t files = 0;            ///< names of files that may be shared
  std::uint64_t held = 0;             ///< of which so many are names of inodes that the guard holds
};

/// All such skels, by name. `held` is 0 where no guard is loaded, and `files` too.
[[nodiscard]] Result<std::vector<GuardedSkel>> guarded_skels(const Store& store, const EngineOptions& engine);

struct GuardStarted {
  bool was_loaded = false;  ///< and is replaced
  std::uint64_t files = 0;  ///< names of files that it was told of
  std::vector<std::string> skels;
  /// What has been open for writing since before, one line for each skel that has any: the guard can't close it.
  std::vector<std::string> writers;
};

/// load_guard() with the inodes of guarded skels, tries on this store's file system whether it holds, and unloads it if
/// not; then looks for whoever has one of those open for writing. A dry run
/// loads nothing and gives the names of the skels.
[[nodiscard]] Result<GuardStarted> start_guard(const Store& store, const EngineOptions& engine);

}  // namespace vskel
