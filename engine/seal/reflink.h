// Can files of one file system share extents?
#pragma once

#include "engine/sys/kernel.h"

namespace vskel {

/// Clones one small file of ours in `scratch` (ioctl_ficlone(2)). The error says that reflinks are not to be had there
/// and what to use instead: nothing falls back silently.
[[nodiscard]] Result<> require_reflinks(const DirFd& scratch);

}  // namespace vskel
