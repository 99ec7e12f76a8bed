// The names in one directory, read with large getdents64(2) buffers and parsed in place.
#pragma once

#include <memory>
#include <vector>

#include "engine/sys/kernel.h"

namespace vskel {

/// One name of a directory as the kernel listed it. The Name points into its Listing.
struct Listed {
  Name name;
  sys::FileType type;   ///< never unknown: asked of statx where d_type did not tell
  std::uint64_t inode;  ///< d_ino
};

/// All names of one directory, "." and ".." left out. Owns the bytes that the names point into; movable.
class Listing {
 public:
  /// Reads `dir` from its current position, once (a directory that grows while it is read ends all the same: at the
  /// limit, EFBIG). A name that no component may be (a hostile FUSE server's "a/b") is EBADMSG.
  [[nodiscard]] static Result<Listing> read(const DirFd& dir);
  [[nodiscard]] const std::vector<Listed>& entries() const { return entries_; }

 private:
  std::vector<std::unique_ptr<std::byte[]>> buffers_;
  std::vector<Listed> entries_;
};

}  // namespace vskel
