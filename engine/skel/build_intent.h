// What recover needs of build-skel.
#pragma once

#include <string>

#include "engine/txn/journal.h"

namespace vskel {

/// Finishes a build whose staged skel is complete ("phase": "publish"), else undoes it; removes its staging and closes
/// the intent. Idempotent. Gives one line that says which it was.
[[nodiscard]] Result<std::string> finish_build(const Store& store, Intent& intent);

}  // namespace vskel
