// Sealing what is unsealed in a whole tree: of a new skel, and after a crash; and unsealing what a crash left sealed.
#pragma once

#include "engine/model/sharing.h"
#include "engine/sys/kernel.h"

namespace vskel {

/// Seals every linkable file below `global` that is not sealed. Gives how many there were. Runs inside the caller's TBB
/// arena or on its own.
[[nodiscard]] Result<std::uint64_t> seal_again(const DirFd& global, SealKind seal);

/// Takes the immutable flag off every file below `tree`, which no vserver shares: a merged tree, whose new files a
/// split sealed before it was undone. Runs inside the caller's TBB arena or on its own.
[[nodiscard]] Result<> unseal_all(const DirFd& tree);

}  // namespace vskel
