// Context ids: ETC/contexts/nextid holds the next free one, ETC/contexts/ID links to the vserver directory (the 2003
// page, "Context IDs"). An id is reserved by raising nextid durably, so that none is ever given out twice, whatever
// crashes after it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/model/options.h"
#include "engine/txn/store.h"

namespace vskel {

inline constexpr std::uint32_t kHighestContext =
    49151;  ///< Linux-VServer: 49152 and above are dynamic contexts (kernel/vserver/context.c, MIN_D_CONTEXT)

/// The ids for a fleet, in its order: what was asked for, else the next free ones from `first` on. Takes the lock
/// "contexts" for the while. Asked ids that are in use, were given out before or are out of range are refused; nothing
/// is reserved then. With DryRun nothing is written.
[[nodiscard]] Result<std::vector<std::uint32_t>> reserve_contexts(
    const Store& store, const std::vector<std::optional<std::uint32_t>>& asked, std::uint32_t first,
    const EngineOptions& engine);
/// contexts/ID -> VSERVERS/NAME; content if it is there already and right.
[[nodiscard]] Result<> link_context(const Store& store, std::uint32_t context, const std::string& vserver);
/// The name in VSERVERS that a context's link with this `target` leads to, whichever of its paths VSERVERS is called by
/// there (the administrator may have symbolic links to it). nullopt where it leads elsewhere. Thread-safe.
[[nodiscard]] std::optional<std::string> vserver_led_to(const Store& store, const std::string& target);

}  // namespace vskel
