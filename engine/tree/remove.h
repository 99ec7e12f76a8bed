// Removing a whole tree of ours (trash, staging), in parallel, whatever a tenant left in it.
#pragma once

#include "engine/sys/kernel.h"
#include "engine/tree/in_turn.h"

namespace vskel {

/// Removes `name` in `dir` and all below it; content if it is not there. Nothing is followed; mount points are an error
/// (EBUSY) and stay. Directories deeper than 64 levels are moved up first (renamed to a fresh name in the tree's own
/// root, and never out of it), so that a path of any depth goes with few descriptors. Immutable and append-only flags
/// are lifted only on EPERM; an inode that keeps other names gets its immutable flag back at once (a sealed inode of a
/// skel), and for that a turn is taken.
[[nodiscard]] Result<> remove_tree(const DirFd& dir, Name name, const InTurn& in_turn = {});

}  // namespace vskel
