// The guard over all skels: filling it when it is loaded, and who relies on it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/options.h"
#include "engine/model/sharing.h"
#include "engine/seal/guard/guard.h"
#include "engine/txn/store.h"

namespace vskel {

/// A skel that vservers share files with, or may.
struct GuardedSkel {
  std::string skel;
  std::optional<SealKind> seal;  ///< what its vservers rely on; nullopt: none shares files, and the guard holds them
  std::vector<std::string> vservers;  ///< those that share its files
  std::uint64_t files = 0;            ///< names of files that may be shared
  std::uint64_t held = 0;             ///< of which so many are names of inodes that the guard holds
};

/// All skels, by name. `held` is 0 where no guard is loaded, and `files` too.
[[nodiscard]] Result<std::vector<GuardedSkel>> guarded_skels(const Store& store, const EngineOptions& engine);

/// What becomes of skels whose vservers rely on the immutable flag.
enum class OlderSeals { stay, go_over };

struct GuardStarted {
  bool was_loaded = false;  ///< and is replaced
  std::uint64_t files = 0;  ///< names of files that it was told of
  std::vector<std::string> skels;
  std::vector<GuardedSkel> others;  ///< whose vservers rely on another seal, without counts
  /// What has been open for writing since before, and what could not go over, one line for each skel: the guard can't
  /// close it.
  std::vector<std::string> troubles;
};

/// load_guard() with the inodes of all skels but those whose vservers rely on another seal, tries on this store's file
/// system whether it holds, and unloads it if not; then looks for whoever has one of those open for writing. A write
/// lease of somebody's is waited for, as long as the kernel lets him.
/// With OlderSeals::go_over the guard takes the place of the immutable flag too, in records and files. A dry run loads
/// nothing and gives the names of the skels.
[[nodiscard]] Result<GuardStarted> start_guard(const Store& store, OlderSeals older, const EngineOptions& engine);

}  // namespace vskel
