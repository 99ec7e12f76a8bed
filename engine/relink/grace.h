// Time for writers who found the old inode by its path before it was exchanged and have not opened it yet: the kernel
// looks for leases only at the end of an open (fs/namei.c: do_open), and between path walk and there a process may be
// preempted for as long as the machine is busy.
#pragma once

#include <vector>

#include "engine/quiesce/inhabitants.h"

namespace vskel {

/// Whether the tenants of a run may run while files are exchanged.
enum class Tenants { may_run, are_still };

class Grace {
 public:
  /// `vservers` outlives it.
  Grace(const DirFd& vservers, std::vector<Tenant> tenants, Tenants state)
      : vservers_(vservers), tenants_(std::move(tenants)), state_(state) {}
  /// Returns when whoever was on his way to an inode that was exchanged before the call has opened it: after a second
  /// if anybody runs in one of the vservers, else at once. Thread-safe.
  void wait() const;

 private:
  const DirFd& vservers_;
  const std::vector<Tenant> tenants_;
  const Tenants state_;
};

}  // namespace vskel
