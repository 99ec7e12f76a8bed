// What a package manager has begun in a tree and not finished. A vserver made from such a tree starts with it, and no
// package script ever runs there to finish it.
#pragma once

#include <string>
#include <vector>

#include "engine/sys/kernel.h"

namespace vskel {

struct UnfinishedPackages {
  std::vector<std::string> packages;  ///< sorted, each with what it is: "redis-server (half-configured)"
  /// dpkg was killed: it has still to write down what it did (files in var/lib/dpkg/updates).
  bool interrupted = false;
  /// Why nobody knows: the status cannot be read. Empty if it can, or if there is none.
  std::string unknown;
};

/// By dpkg's database below `root`; a root without one has none that are unfinished. No symbolic link is followed.
[[nodiscard]] Result<UnfinishedPackages> unfinished_packages(const DirFd& root);

}  // namespace vskel
