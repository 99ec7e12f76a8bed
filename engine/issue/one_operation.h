// One operation as plain system calls: what an executor does with what it has no better way for.
#pragma once

#include "engine/issue/operation.h"

namespace vskel {

/// Carries out `operation` in `dir`, in the calling thread.
[[nodiscard]] Result<> issue_one(const Operation& operation, const DirFd& dir);

}  // namespace vskel
