// recover: finishing or undoing what a crash interrupted, for every command's intents.
#pragma once

#include <string>
#include <vector>

#include "engine/model/options.h"
#include "engine/txn/store.h"

namespace vskel {

/// Does it and gives one line for each thing done ("web3: creation undone", "skel web: sealed again"). Idempotent; may
/// itself be killed and repeated.
[[nodiscard]] Result<std::vector<std::string>> recover(const Store& store, const EngineOptions& engine);

}  // namespace vskel
