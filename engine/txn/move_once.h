// The step of which publishing consists: a rename that may be repeated after a crash.
#pragma once

#include "engine/sys/kernel.h"

namespace vskel {

/// Renames `from` to `to`, if it is there under its old name and not yet under its new one.
[[nodiscard]] Result<> move_once(const DirFd& from_dir, Name from, const DirFd& to_dir, Name to);

}  // namespace vskel
