// What recover needs of create-vs.
#pragma once

#include <string>
#include <vector>

#include "engine/txn/journal.h"

namespace vskel {

/// Publishes what was staged if the intent says that all of it was complete ("phase": "publish"; "done" once that is
/// durable), else undoes it; removes its staging, seals what was lifted, closes the intent. Idempotent. Gives a line
/// for every vserver. The skel's lock is held by the caller.
[[nodiscard]] Result<std::vector<std::string>> finish_creation(const Store& store, Intent& intent);

}  // namespace vskel
