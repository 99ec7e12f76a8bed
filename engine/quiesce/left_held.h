// Who is held still by a command of ours that died, or was stopped by what nobody can defer (SIGSTOP).
#pragma once

#include <string>
#include <vector>

#include "engine/txn/store.h"

namespace vskel {

/// A line for each control group that is frozen and each process that is stopped by an intent whose process is dead, or
/// stopped itself, which says what lets them go on; empty where there are none. Changes nothing. Thread-safe.
[[nodiscard]] Result<std::vector<std::string>> find_left_held(const Store& store);

}  // namespace vskel
