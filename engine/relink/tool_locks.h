// What the tools in a vserver lock while they read, change and write back what relink replaces, too: package databases,
// users and groups. Who has read the old file and not written it yet would put it over ours.
#pragma once

#include <string>
#include <vector>

#include "engine/sys/kernel.h"

namespace vskel {

enum class TakeLocks { yes, look_only };

/// Holds the locks of one vserver's tools until its end: whoever of them comes meanwhile waits, or says that the lock
/// is taken. Movable.
class ToolLocks {
 public:
  ToolLocks() = default;
  /// Of the vserver whose root is `root`; waits for nobody. A lock that is not there is nobody's: its tool makes it
  /// first. Nor is one with several names anybody's.
  [[nodiscard]] static Result<ToolLocks> take(const DirFd& root, TakeLocks how);
  /// The first that another process holds ("/var/lib/dpkg/lock"); "" if none is.
  [[nodiscard]] const std::string& held_by_another() const { return held_by_another_; }

 private:
  std::vector<Fd> locks_;
  std::string held_by_another_;
};

}  // namespace vskel
