// What a manifest says of a tree that lies there already.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "engine/manifest/manifest.h"
#include "engine/sys/kernel.h"
#include "engine/tree/walk.h"

namespace vskel {

/// The part that a name of a tree is to be described in; nullopt: it is left out, with all below it. Called from many
/// tasks.
using DescribedPart = std::function<std::optional<Part>(const WalkDirectory& directory, const WalkEntry& entry)>;

/// Whether an entry is to be given. Called by one task at a time, in no order, with what its inode says.
using WantedEntry = std::function<bool(const ManifestEntry& entry, const sys::Stat& stat)>;

/// Entries for all of `tree`, its root among them as local, sorted by path; files are read and hashed. Sockets are left
/// out. Runs inside the caller's TBB arena.
[[nodiscard]] Result<ManifestEntries> describe_tree(const DirFd& tree, const DescribedPart& part_of);
/// The same without what `is_wanted` does not want to have.
[[nodiscard]] Result<ManifestEntries> describe_tree(const DirFd& tree, const DescribedPart& part_of,
                                                    const WantedEntry& is_wanted);
/// The same, all of one part.
[[nodiscard]] Result<ManifestEntries> describe_tree(const DirFd& tree, Part part);

}  // namespace vskel
