// What an inode must still be when a seal that was lifted is on it again. Linking, renaming and flags change its ctime
// and nothing else, so that any other difference is somebody's who came in meanwhile. It does not show what was written
// by one who put the time of the file back to the nanosecond.
#pragma once

#include "engine/sys/kernel.h"

namespace vskel {

/// Mode, owner, size and time of one inode, from before its seal was lifted.
class LedgerEntry {
 public:
  explicit LedgerEntry(const sys::Stat& sealed)
      : size_(sealed.size), mtime_(sealed.mtime), mode_(sealed.mode), uid_(sealed.uid), gid_(sealed.gid) {}

  /// An error that names the file and what has changed, if `now` tells of anything; without an errno.
  [[nodiscard]] Result<> check(const DirFd& dir, Name name, const sys::Stat& now) const;
  /// Gives the file, which is not sealed, its mode and owner again. Its time stays as it is: where bytes were changed,
  /// that is what tells of it.
  [[nodiscard]] Result<> put_back(const DirFd& dir, Name name) const;

 private:
  std::uint64_t size_;
  sys::Time mtime_;
  std::uint32_t mode_, uid_, gid_;
};

}  // namespace vskel
