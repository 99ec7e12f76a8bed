// Nobody who can reach a sealed inode runs while its seal is lifted (safety.md, "Quiescing").
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/model/sharing.h"
#include "engine/sys/kernel.h"

namespace vskel {

/// A vserver that shares sealed inodes, by the identity of its root directory.
struct Tenant {
  std::string name;
  std::uint64_t device = 0, inode = 0;
};

/// Held while seals are lifted. This is the seam at which running tenants are to be frozen; what stands now finds them
/// (device and inode of /proc/PID/root) and refuses to lift anything under their eyes.
class Quiescence {
 public:
  /// An error that names vserver and process if one of `tenants` runs. With Quiesce::off nobody is looked for.
  [[nodiscard]] static Result<Quiescence> hold(std::span<const Tenant> tenants, Quiesce quiesce);
};

/// Processes that run inside `tenant`: "nginx (4711)", at most a few.
[[nodiscard]] Result<std::vector<std::string>> processes_inside(const Tenant& tenant);

}  // namespace vskel
