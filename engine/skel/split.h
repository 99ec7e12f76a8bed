// split-skel: a merged tree becomes the skel's parts again, as the next generation. What did not change keeps the inode
// that vservers share; what did is kept aside for the vservers that still have it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/model/identity.h"
#include "engine/model/options.h"
#include "engine/seal/quiesce.h"
#include "engine/skel/skel.h"

namespace vskel {

/// Who has to be still while the seals of this skel's inodes are lifted. Asked under the skel's lock.
using TenantsOf = std::function<Result<std::vector<Tenant>>(const Skel&)>;

struct SplitRequest {
  SkelName skel;
  TenantsOf tenants;
  Quiesce quiesce = Quiesce::automatic;
  EngineOptions engine;
};

/// Files, links and devices; directories are not counted.
struct PartChanges {
  std::uint64_t changed = 0, added = 0, removed = 0, unchanged = 0;
};

struct SplitReport {
  std::string skel;
  unsigned generation = 0;                  ///< the newest from now on
  bool new_generation = false;              ///< false: nothing was changed, all is as before the merge
  std::array<PartChanges, kParts> parts{};  ///< indexed by Part
  std::vector<std::string> moved;           ///< "/opt/x: from local to global"
  std::vector<std::string> ambiguous;       ///< "/usr/local/x: global by an earlier rule than 'local /usr/local'"
  std::vector<std::string> set_aside;       ///< "/etc/passwd: static has it; the tree's is in SKEL/generations/..."
  std::vector<std::string> look_at;         ///< leftovers of machine and package manager: "/root/.bash_history: ..."
  std::vector<std::string> notes;           ///< what was left out
  double elapsed_s = 0;

  [[nodiscard]] PartChanges all() const;
};

[[nodiscard]] Result<SplitReport> split_skel(const Store& store, const SplitRequest& request);

/// Makes generation `generation` the newest again, as a new one: its global and local parts, by the very inodes that
/// vservers of that generation have. Static stays as it is.
[[nodiscard]] Result<SplitReport> roll_back(const Store& store, const SplitRequest& request, unsigned generation);

}  // namespace vskel
