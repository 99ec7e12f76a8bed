// Control groups of version 2, as far as freezing goes (Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze").
#pragma once

#include <optional>
#include <string>

#include "engine/sys/error.h"
#include "engine/sys/fd.h"

namespace vskel::sys {

/// The cgroup2 hierarchy that this process sees. Groups are named as /proc/PID/cgroup names them:
/// "/machine.slice/web1".
class Cgroups {
 public:
  /// nullopt where none is mounted.
  [[nodiscard]] static Result<std::optional<Cgroups>> find();
  /// The group that a process is in; nullopt if it is gone, or in none below this process's root.
  [[nodiscard]] std::optional<std::string> group_of(int pid) const;
  /// Asks for all processes of the group and of the groups below it to be frozen, or not to be on its account. A group
  /// that is gone has nobody to thaw and is no error then.
  [[nodiscard]] Result<> freeze(const std::string& group) const;
  [[nodiscard]] Result<> thaw(const std::string& group) const;
  /// Whether all of them are, by this group's wish or by one above it. False for a group that is gone.
  [[nodiscard]] Result<bool> is_frozen(const std::string& group) const;

 private:
  Cgroups(DirFd root, std::string mounted) : root_(std::move(root)), mounted_(std::move(mounted)) {}
  [[nodiscard]] Result<DirFd> open_group(const std::string& group) const;
  [[nodiscard]] Result<> write(const std::string& group, const char* value) const;
  DirFd root_;
  std::string mounted_;  ///< the group at the root of the mount: "" or "/system.slice"
};

}  // namespace vskel::sys
