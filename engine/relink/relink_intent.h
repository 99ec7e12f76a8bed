// What recover needs of relink.
#pragma once

#include <string>
#include <vector>

#include "engine/txn/journal.h"

namespace vskel {

/// Carries out what was staged if the intent says that all of it was complete ("phase": "apply"), else undoes it;
/// brings the records up to what was done, removes the staging, closes the intent. Idempotent. Gives a line for every
/// vserver. The skel's lock is held by the caller.
[[nodiscard]] Result<std::vector<std::string>> finish_relink(const Store& store, Intent& intent,
                                                             const EngineOptions& engine);

}  // namespace vskel
