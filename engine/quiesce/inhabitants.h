// Who runs inside which vserver. A process is inside if the root directory of one of its threads is the vserver's root
// or below it (chroot, systemd-nspawn, LXC), if a mount namespace other than ours shows it the vserver or a part of it,
// if it is in the pid namespace of one that is inside, or descends from one: who is root in a container can change its
// root directory, and hide behind a mount, but not whose child it is.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/sys/kernel.h"
#include "engine/sys/processes.h"

namespace vskel {

/// A tree in VSERVERS, by the identity of its root directory.
struct Tenant {
  std::string name;
  std::uint64_t device = 0, inode = 0;
};

struct Inhabitant {
  sys::ProcessId id;
  std::string process;  ///< "nginx (4711)", printable
  std::string tenant;
};

/// All processes inside `tenants`, which stand in `vservers`. An error if this process is one of them: it could not
/// hold itself still. Threads may ask at the same time.
[[nodiscard]] Result<std::vector<Inhabitant>> find_inhabitants(const DirFd& vservers, std::span<const Tenant> tenants);

}  // namespace vskel
