// What a manifest says of a tree that lies there already.
#pragma once

#include <vector>

#include "engine/manifest/manifest.h"
#include "engine/sys/kernel.h"

namespace vskel {

/// Entries for all of `tree`, as those of `part`, sorted by path; files are read and hashed. Sockets are left out. Runs
/// inside the caller's TBB arena.
[[nodiscard]] Result<std::vector<ManifestEntry>> describe_tree(const DirFd& tree, Part part);

}  // namespace vskel
