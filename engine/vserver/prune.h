// prune: forgets what no vserver needs any more of a skel's older generations.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/identity.h"
#include "engine/model/options.h"
#include "engine/model/sharing.h"
#include "engine/txn/store.h"

namespace vskel {

struct PruneReport {
  std::string skel;
  std::vector<unsigned> forgotten;  ///< generations, in rising order
  std::uint64_t bytes_freed = 0;    ///< of files that have no other name
};

/// Removes the manifests that no record names and the files kept for them. The newest generation stays. With a dry run
/// nothing is changed and the report is the same.
[[nodiscard]] Result<PruneReport> prune_skel(const Store& store, const SkelName& skel, const EngineOptions& engine);

}  // namespace vskel
