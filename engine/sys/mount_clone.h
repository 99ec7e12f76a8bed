// The kernel's seat-belt for what is done in a tree that others change: a view of a directory in which no symbolic link
// is followed, no device opened, no program run and no set-id bit honoured, and in which nothing is mounted, whatever
// is planted there and whatever a check of ours overlooks.
//
// It is a detached clone of the mount that the directory is in, from the directory down and without the mounts below it
// (open_tree(2), mount_setattr(2)): the same files in a mount that stands nowhere and goes with its last descriptor,
// however the process ends. Names can be linked and renamed within one clone only (EXDEV to its original, too).
//
// For whoever works in it this room makes up for what it does not have: path_of() and errors tell the paths of the
// original; opening what something is mounted over is EXDEV, as it is there; place_in_file_system() tells the
// original's place; programs run in the original's directory (run_child()).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/sys/error.h"
#include "engine/sys/fd.h"

namespace vskel::sys {

/// One such view, for as long as it lives. Movable.
class MountClone {
 public:
  /// Of what `dir` shows. What is mounted below it later on is not seen: what it covers is worked on, and the kernel
  /// refuses to move or remove the place itself (EBUSY).
  [[nodiscard]] static Result<MountClone> of(const DirFd& dir);
  /// Whether an error of of() says that such a clone is not to be had here: a kernel before Linux 5.12, no
  /// CAP_SYS_ADMIN, a seccomp filter, a mount that must not be cloned.
  [[nodiscard]] static bool is_refusal(const Error& error);

  MountClone(MountClone&&) noexcept;
  MountClone& operator=(MountClone&&) noexcept;
  MountClone(const MountClone&) = delete;
  MountClone& operator=(const MountClone&) = delete;
  /// Descriptors in the clone stay good, but for what this room makes up for.
  ~MountClone();

  /// A descriptor of the directory in the clone.
  [[nodiscard]] Result<DirFd> open_root() const;
  /// False before Linux 5.14 (MOUNT_ATTR_NOSYMFOLLOW): the other three hold.
  [[nodiscard]] bool stops_links() const;
  /// What in the original something is mounted on in this process's namespace, as paths below `dir`.
  [[nodiscard]] const std::vector<std::string>& mount_points() const;

  struct State;

 private:
  explicit MountClone(std::shared_ptr<const State> state);
  std::shared_ptr<const State> state_;  ///< empty in what was moved from
};

/// A mount of what `dir` shows that stands nowhere yet, for ChildSpec::shown: no link in it is followed, no device
/// opened, no program run and no set-id bit heeded, whoever comes by whatever path. What is mounted below `dir` is not
/// in it. An error where the kernel has no such mount (before Linux 5.14: EINVAL or ENOSYS) or does not let us make one
/// (no CAP_SYS_ADMIN: EPERM). Thread-safe.
[[nodiscard]] Result<Fd> mount_without_links(const DirFd& dir);

}  // namespace vskel::sys
