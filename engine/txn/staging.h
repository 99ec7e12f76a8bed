// What becomes of an operation's staging when the operation is over.
#pragma once

#include "engine/txn/journal.h"

namespace vskel {

/// Moves staging/ID into the trash by one rename; content if it is not there any more. For recover, where vservers that
/// share sealed inodes with it may run: the trash is emptied when they are held still.
[[nodiscard]] Result<> staging_to_trash(const Store& store, const Intent& intent);

}  // namespace vskel
