// Sealing what is unsealed in a whole tree: of a new skel, and after a crash; and unsealing what a crash left sealed.
#pragma once

#include "engine/model/sharing.h"
#include "engine/seal/guard/guard.h"
#include "engine/sys/kernel.h"
#include "engine/tree/in_turn.h"

namespace vskel {

/// Seals every linkable file below `global` that is not sealed. Gives how many there were. Runs inside the caller's TBB
/// arena or on its own.
[[nodiscard]] Result<std::uint64_t> seal_again(const DirFd& global, SealKind seal);

/// Puts every linkable file below `global`, and every one that is sealed by its flags, under `guard`; flags stay. Gives
/// how many there were. Runs inside the caller's TBB arena or on its own.
[[nodiscard]] Result<std::uint64_t> guard_all(const DirFd& global, const Guard& guard);

/// How many files below `tree` could be under `guard`, and how many are. Runs inside the caller's TBB arena or on its
/// own.
struct Guarded {
  std::uint64_t linkable = 0, held = 0;
};
[[nodiscard]] Result<Guarded> count_guarded(const DirFd& tree, const Guard& guard);

/// Begins to break all leases that somebody has on files below `tree`, and waits for none: under the guard nobody gets
/// another, so that all are gone after the time of one. Runs inside the caller's TBB arena or on its own.
[[nodiscard]] Result<> begin_to_break_leases(const DirFd& tree);

/// An error that names the file if a sealed file below `tree` is open for writing: then somebody has a descriptor from
/// before it was sealed, by which he writes on XFS, btrfs and tmpfs (ext4 refuses). A read lease tells (fcntl(2));
/// nothing is proved where the file system has none. Each is looked at in a turn. Runs inside the caller's TBB arena or on its own.
[[nodiscard]] Result<> prove_no_writers_below(const DirFd& tree, const InTurn& in_turn);

/// Takes the seal, whichever it is, off every file below `tree`, which no vserver shares, that has a name below
/// `staged` too: a merged tree, whose new files a split sealed before it was undone. Flags of all others are somebody's
/// own. Runs inside the caller's TBB arena or on its own.
[[nodiscard]] Result<> unseal_staged(const DirFd& tree, const DirFd& staged);

}  // namespace vskel
