// What an inode must still be when a seal that was lifted is on it again. Linking, renaming and flags change its ctime
// and nothing else, so that any other difference is somebody's who came in meanwhile. By the entry alone it does not
// show what was written by one who put the time of the file back to the nanosecond; the watch shows that he opened it.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "engine/sys/kernel.h"

namespace vskel {

/// What the ledger's errors are called by (Error::operation).
inline constexpr std::string_view kLedgerOperation = "keep sealed";

/// Of a file that is sealed again: an error, without an errno, if somebody has it open for writing, by a descriptor
/// wherever that is (the kernel counts writers, not processes). XFS, btrfs and tmpfs look at the immutable flag when a
/// file is opened, so that he goes on. To be asked before the entry is: whoever had it and has closed it has written
/// what he wrote.
[[nodiscard]] Result<> prove_closed(const DirFd& dir, Name name, const Fd& file);

/// Mode, owner, size and time of one inode, from before its seal was lifted.
class LedgerEntry {
 public:
  explicit LedgerEntry(const sys::Stat& sealed)
      : size_(sealed.size),
        seconds_(sealed.mtime.seconds),
        nanoseconds_(sealed.mtime.nanoseconds),
        mode_(sealed.mode),
        uid_(sealed.uid),
        gid_(sealed.gid) {}

  /// An error that names the file and what has changed, if `now` tells of anything; without an errno.
  [[nodiscard]] Result<> check(const DirFd& dir, Name name, const sys::Stat& now) const;
  /// Gives the file, which is not sealed, its mode and owner again. Its time stays as it is: where bytes were changed,
  /// that is what tells of it.
  [[nodiscard]] Result<> put_back(const DirFd& dir, Name name) const;

 private:
  // Without padding: a relink holds one for each file of the skel.
  std::uint64_t size_;
  std::int64_t seconds_;  ///< and nanoseconds_: of the mtime
  std::uint32_t nanoseconds_, mode_, uid_, gid_;
};

/// A file that is open, with a read lease, from before its seal is lifted until it is on again. The kernel has whoever
/// opens it for writing, or truncates it, wait for the lease and tells of him (fs/locks.c: __break_lease), whatever he
/// does then; and its attributes, ACL and capabilities must be what they were.
class LedgerWatch {
 public:
  /// Whether check() tells of who had it open for writing before.
  enum class Older { told, let };
  /// Watches nothing: check() finds nothing, and there is nothing to put back.
  LedgerWatch() = default;
  /// Before the seal is lifted. Where leases are not to be had, attributes alone are watched.
  [[nodiscard]] static Result<LedgerWatch> begin(Fd file, Older older);
  /// Closed if nothing is watched.
  [[nodiscard]] const Fd& file() const { return file_; }
  /// After it is on again. An error, without an errno, names the file and what has happened.
  [[nodiscard]] Result<> check(const DirFd& dir, Name name) const;
  /// Gives the file, which is not sealed, the attributes that it had.
  [[nodiscard]] Result<> put_back() const;

 private:
  enum class Lease : std::uint8_t { none, held, refused };
  using Xattrs = std::vector<sys::Xattr>;
  LedgerWatch(Fd file, Lease lease, Xattrs xattrs);
  Fd file_;
  Lease lease_ = Lease::none;
  std::unique_ptr<const Xattrs> xattrs_;  ///< null: it has none, as nearly all
};

}  // namespace vskel
