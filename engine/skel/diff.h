// What changed between two generations of a skel.
#pragma once

#include <string>
#include <vector>

#include "engine/model/identity.h"
#include "engine/txn/store.h"

namespace vskel {

/// Paths with their part before them ("global/usr/bin/tar"), directories too; in the order of the paths.
struct GenerationDiff {
  std::string skel;
  unsigned from = 0, to = 0;
  std::vector<std::string> added, removed;
  std::vector<std::string> changed;   ///< content, type, link target, device number
  std::vector<std::string> metadata;  ///< mode, owner or attributes only
};

/// Compares generations `from` and `to`; 0 for `from` is the one before the newest, 0 for `to` the newest. A generation
/// that has no manifest is refused.
[[nodiscard]] Result<GenerationDiff> diff_generations(const Store& store, const SkelName& skel, unsigned from,
                                                      unsigned to);

}  // namespace vskel
