// What recover needs of merge-skel.
#pragma once

#include <string>

#include "engine/txn/journal.h"

namespace vskel {

/// Finishes a merge whose tree is complete ("phase": "publish"), else undoes it; an abort is always finished. Removes
/// the staging and closes the intent. Idempotent. Gives one line that says which it was.
[[nodiscard]] Result<std::string> finish_merge(const Store& store, Intent& intent);

}  // namespace vskel
