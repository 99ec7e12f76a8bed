// Sealing again what is unsealed in a skel, and proving that a seal has nobody to keep in.
#pragma once

#include "engine/model/sharing.h"
#include "engine/seal/reseal.h"
#include "engine/skel/skel.h"

namespace vskel {

/// Seals every linkable file of the skel's global tree, of what is kept of older generations' global trees, and of
/// former leaders, that is not sealed. Runs inside the caller's TBB arena or on its own.
[[nodiscard]] Result<> seal_skel_again(const Skel& skel, SealKind seal);

/// guard_all() and count_guarded() for the same trees.
[[nodiscard]] Result<std::uint64_t> guard_skel(const Skel& skel, const Guard& guard);
[[nodiscard]] Result<Guarded> count_guarded_of(const Skel& skel, const Guard& guard);

/// begin_to_break_leases() for the same trees.
[[nodiscard]] Result<> begin_to_break_leases(const Skel& skel);

/// An error that names the file if any sealed file of those trees is open for writing: by a descriptor from before it
/// was sealed. Each is looked at in a turn. Runs inside the caller's TBB arena or on its own.
[[nodiscard]] Result<> prove_no_writers(const Skel& skel, const InTurn& in_turn = {});

}  // namespace vskel
