// Sealing again what a crash left unsealed.
#pragma once

#include "engine/model/sharing.h"
#include "engine/sys/kernel.h"

namespace vskel {

/// Seals every linkable file below `global` that is not sealed. Gives how many there were. Runs inside the caller's TBB
/// arena or on its own.
[[nodiscard]] Result<std::uint64_t> seal_again(const DirFd& global, SealKind seal);

}  // namespace vskel
