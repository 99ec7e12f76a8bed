// remove-vs and remove-skel.
#pragma once

#include <string>
#include <vector>

#include "engine/model/identity.h"
#include "engine/model/options.h"
#include "engine/txn/store.h"
#include "engine/vserver/create.h"

namespace vskel {

struct RemovedVserver {
  std::string name;
  std::string error;  ///< empty: removed
  std::string note;   ///< "its files are deleted later: ..." where running vservers hold sealed inodes
};

/// Removes vservers with their configuration, context link and record. All names are checked first: an unknown one, or
/// one that something is mounted on, is a refusal and nothing is touched. A running vserver is an error in its entry.
[[nodiscard]] Result<std::vector<RemovedVserver>> remove_vservers(const Store& store,
                                                                  const std::vector<VserverName>& names,
                                                                  const EngineOptions& engine);

/// Refused while the skel has instances or a merge is under way.
[[nodiscard]] Result<> remove_skel(const Store& store, const SkelName& skel, const EngineOptions& engine);

}  // namespace vskel
