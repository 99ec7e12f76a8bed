// What an inode must still be when a seal that was lifted is on it again. Linking, renaming and flags change its ctime
// and nothing else, so that any other difference is somebody's who came in meanwhile. It does not show what was written
// by one who put the time of the file back to the nanosecond.
#pragma once

#include "engine/sys/kernel.h"

namespace vskel {

/// What the ledger's errors are called by (Error::operation).
inline constexpr std::string_view kLedgerOperation = "keep sealed";

/// Whether an immutable flag that is put on stops those who have a file of this file system open for writing. ext4
/// looks at it at every write, page fault and change of size (fs/ext4: ext4_write_checks, ext4_page_mkwrite,
/// ext4_setattr), and writes back what is mapped when it is put on (ext4_ioctl_setflags); XFS, btrfs and tmpfs look
/// when it is opened.
[[nodiscard]] Result<bool> stops_writers(const Fd& any);
/// Of a file that is sealed again: an error, without an errno, if somebody has it open for writing, by a descriptor
/// wherever that is (the kernel counts writers, not processes), since it was not. To be asked before the ledger is:
/// whoever had it and has closed it has written what he wrote. A lease that `file` has is taken anew.
[[nodiscard]] Result<> prove_closed(const DirFd& dir, Name name, const Fd& file);

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
