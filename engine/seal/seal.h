// Sealing inodes that vservers share, and lifting the seal for as long as a batch needs it.
//
// A seal is flags of the inode, or (`guard`) a place in the kernel's map of sealed inodes (guard/guard.h).
//
// A mainline kernel refuses link, rename and unlink of an immutable inode (fs/namei.c: vfs_link, may_delete), so for
// `immutable` every new link means: flag off, link, flag on. An inode may have several names in the skel and be worked
// on by several tasks at once; LiftedSeals counts, so that the first lifts and the last restores. It also keeps the
// ledger: what was sealed must be the same when it is sealed again (tree/ledger.h).
#pragma once

#include <array>
#include <atomic>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/model/sharing.h"
#include "engine/sys/kernel.h"
#include "engine/tree/ledger.h"

namespace vskel {

/// May this inode be shared between vservers? Regular, not empty, no set-id or sticky bit, no capability, ACL or
/// attribute that we do not know (relink.md: a package upgrade in one tenant would change those for all).
[[nodiscard]] bool is_linkable(const sys::Stat& stat, const std::vector<sys::Xattr>& xattrs);

/// The seal to use in `scratch` (a directory of ours on the file system in question; an unnamed file is made in it).
/// With nothing asked: iunlink where the kernel takes it, else guard where it is loaded, else immutable; none of them:
/// nullopt. A seal that was asked for and is not to be had is an error that says why, and so is whatever kept it from
/// being tried.
[[nodiscard]] Result<std::optional<SealKind>> choose_seal(const DirFd& scratch, std::optional<SealKind> asked);

/// Whether the file that `stat` tells of, named so in `dir`, is sealed, by whichever seal.
[[nodiscard]] Result<bool> is_sealed(const DirFd& dir, Name name, const sys::Stat& stat);
/// The same for an open file.
[[nodiscard]] Result<bool> is_sealed(const Fd& file, const sys::Stat& stat);

/// Sets or clears the seal of one regular file. `guard` takes the place of an immutable flag: first it holds the inode,
/// then the flag goes. `none` changes nothing.
[[nodiscard]] Result<> set_seal(const DirFd& dir, Name name, SealKind seal);
[[nodiscard]] Result<> clear_seal(const DirFd& dir, Name name, SealKind seal);
/// Takes off what seals the file that `stat` tells of: the immutable flag, or the guard.
[[nodiscard]] Result<> clear_any_seal(const DirFd& dir, Name name, const sys::Stat& stat);
/// True if names of a sealed inode can only be made or removed after lifting the seal.
[[nodiscard]] constexpr bool must_lift(SealKind seal) { return seal == SealKind::immutable; }

/// Seals that are lifted just now. Thread-safe.
class LiftedSeals {
 public:
  explicit LiftedSeals(SealKind seal) : seal_(seal) {}
  /// False: nothing is ever lifted.
  [[nodiscard]] bool lifts() const { return must_lift(seal_); }
  /// Before work on names of `inode`, reached as `name` in `dir`. With seals that need no lifting it sees to it that
  /// the inode has the seal and not another one that would be in the way, if it is `inode` still.
  [[nodiscard]] Result<> lift(const DirFd& dir, Name name, std::uint64_t inode);
  /// The same for an inode of which nobody knows whether it is sealed: a flag that another task has just lifted says
  /// nothing. False if it is not sealed, or sealed by flags that need no lifting: then there is nothing to restore.
  [[nodiscard]] Result<bool> lift_if_sealed(const DirFd& dir, Name name, std::uint64_t inode);
  /// After it, whatever came of the work; the last one seals again (also what was not sealed before). An error, with
  /// the file sealed and its mode and owner put back, if somebody has changed it since its seal was lifted, or has it
  /// open and can change it still (tree/ledger.h).
  [[nodiscard]] Result<> restore(const DirFd& dir, Name name, std::uint64_t inode);
  /// The same where the name is gone, and another lifter has one by which to seal again.
  void leave(std::uint64_t inode);

 private:
  struct Kept {
    LedgerEntry entry;
    LedgerWatch watch;  ///< of nothing where there are too many
  };
  struct Lifted {
    unsigned users = 0;
    sys::FileAttributes sealed;  ///< what the last user sets again; not immutable: asked for then
    std::optional<Kept> before;  ///< nullopt: it was not sealed
    [[nodiscard]] bool is_watched() const { return before && before->watch.file().open(); }
  };
  struct Stripe {
    std::mutex mutex;
    std::unordered_map<std::uint64_t, Lifted> lifted;
  };
  enum class Unsealed { as_sealed, nothing_to_do };
  [[nodiscard]] Result<bool> lift(const DirFd& dir, Name name, std::uint64_t inode, Unsealed unsealed);
  [[nodiscard]] Result<> check(const DirFd& dir, Name name, std::uint64_t inode, const Kept& before);
  [[nodiscard]] Result<std::optional<Fd>> open_to_watch(const DirFd& dir, Name name) const;
  Stripe& stripe_of(std::uint64_t inode) { return stripes_[inode % stripes_.size()]; }
  SealKind seal_;
  /// Each has a descriptor: of few that this process may have, those few that nobody else counts on.
  std::size_t most_watched_ = sys::descriptor_limit() < 16384 ? 64 : sys::descriptor_limit() / 4;
  std::atomic<std::size_t> watched_{0};
  std::array<Stripe, 64> stripes_;
};

}  // namespace vskel
