// What recover needs of remove-vs and remove-skel.
#pragma once

#include <string>
#include <vector>

#include "engine/model/options.h"
#include "engine/txn/journal.h"

namespace vskel {

/// Rolls a removal forward from its intent and closes it. Idempotent. Gives a line for every vserver or skel that is
/// gone. The skel's lock is held by the caller.
[[nodiscard]] Result<std::vector<std::string>> finish_removal(const Store& store, Intent& intent,
                                                              const EngineOptions& engine);
/// Removes what earlier removals left in the trash, if no vserver that shares sealed inodes runs or those that do can
/// be held, as `engine` says; else leaves it quietly. Gives a line for each tree.
[[nodiscard]] Result<std::vector<std::string>> empty_trash(const Store& store, const EngineOptions& engine);

}  // namespace vskel
