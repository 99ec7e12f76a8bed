// A vserver as list and show tell it.
#pragma once

#include "cli/output.h"
#include "engine/vserver/inspect.h"

namespace vskel::cli {

/// Everything that its record and its tree say.
[[nodiscard]] Json vserver_json(const VserverSummary& vserver);

/// Warns of each who is held still by a vskel that died, and gives the lines for the document.
[[nodiscard]] Result<Json> tell_left_held(const Store& store, Output& output);

}  // namespace vskel::cli
