// Sealing again what a crash left unsealed in a skel.
#pragma once

#include "engine/model/sharing.h"
#include "engine/skel/skel.h"

namespace vskel {

/// Seals every linkable file of the skel's global tree, and of what is kept of older generations' global trees, that is
/// not sealed. Runs inside the caller's TBB arena or on its own.
[[nodiscard]] Result<> seal_skel_again(const Skel& skel, SealKind seal);

}  // namespace vskel
