// A vserver as list and show tell it.
#pragma once

#include "cli/output.h"
#include "engine/vserver/inspect.h"

namespace vskel::cli {

/// Everything that its record and its tree say.
[[nodiscard]] Json vserver_json(const VserverSummary& vserver);

}  // namespace vskel::cli
