// The other half of verify (engine/vserver/inspect.h): what a vserver shares with its skel, path by path.
#pragma once

#include <string>
#include <vector>

#include "engine/model/identity.h"
#include "engine/model/options.h"
#include "engine/txn/store.h"

namespace vskel {

/// All that verify() says, and of each named vserver every path of the skel's global part, against what the skel had at
/// the generation that the vserver's record names for it, or has now: type, mode, owner, extended attributes, contents,
/// link targets; of what is the skel's inode the seal as well. Its own files and its local and static ones are its
/// tenant's. Without names nothing that a tenant may do to what is his own is told: that a fleet's tenants work is no
/// fault of the fleet's; all that is shared is looked at in the skels.
/// One line a difference: "SUBJECT PATH: WHAT", those of set-id files first; empty if all is well. A name that neither
/// a skel nor a vserver has is refused. Looks and reads, changes nothing.
[[nodiscard]] Result<std::vector<std::string>> verify_with_files(const Store& store,
                                                                 const std::vector<VserverName>& names,
                                                                 const EngineOptions& engine);

}  // namespace vskel
