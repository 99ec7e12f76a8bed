// What an inode says of itself besides its content, and giving all of it to an inode of ours.
#pragma once

#include <vector>

#include "engine/sys/kernel.h"

namespace vskel {

/// Owner, mode, times and extended attributes (ACLs and capabilities among them).
struct Metadata {
  std::uint32_t mode = 0, uid = 0, gid = 0;
  sys::Time atime, mtime;
  std::vector<sys::Xattr> xattrs;  ///< sorted by name
};

[[nodiscard]] Metadata metadata_of(const sys::Stat& stat, std::vector<sys::Xattr> xattrs);

/// Whether an inode was just made by us in a directory without a set-group-ID bit, so that it is owned 0:0 with the
/// mode it was created with.
enum class Fresh { no, yes };

/// Gives an open file or directory its metadata, in the one order that keeps it all: owner (chown(2) clears set-id bits
/// and capabilities), mode, attributes, times last. With Fresh::yes calls that would change nothing are left out.
[[nodiscard]] Result<> apply_metadata(const Fd& target, const Metadata& metadata, Fresh fresh);
/// The same for a name that can't be opened (symlinks, whose mode is not theirs to set, FIFOs, devices).
[[nodiscard]] Result<> apply_metadata(const DirFd& dir, Name name, sys::FileType type, const Metadata& metadata,
                                      Fresh fresh);

/// The mode to create an inode with so that apply_metadata() with Fresh::yes has least to do: no special bits.
[[nodiscard]] constexpr std::uint32_t creation_mode(std::uint32_t mode) { return mode & 0777U; }

}  // namespace vskel
