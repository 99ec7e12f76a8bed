// A skel's change from its newest generation to the next: what split-skel and rollback are asked, what both report, and
// the transaction around the making.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/identity.h"
#include "engine/model/options.h"
#include "engine/model/sharing.h"
#include "engine/quiesce/quiescence.h"
#include "engine/skel/left_out.h"
#include "engine/skel/skel.h"

namespace vskel {

/// Holds all still who must be while the seals of this skel's inodes are lifted. Called under the skel's lock.
using HoldTenants = std::function<Result<Quiescence>(const Skel&)>;

/// The seal for new inodes of this skel; nullopt: none is to be had. Called under the skel's lock.
using ChooseSeal = std::function<Result<std::optional<SealKind>>(const Skel&)>;

/// What split-skel does with packages that their manager has begun with and not finished.
enum class Unfinished { refused, taken };

struct GenerationRequest {
  SkelName skel;
  HoldTenants hold_tenants;
  EngineOptions engine;
  ChooseSeal choose_seal;  ///< empty: the best that the kernel has
  Unfinished unfinished = Unfinished::refused;
};

/// Files, links and devices; directories are not counted.
struct PartChanges {
  std::uint64_t changed = 0, added = 0, removed = 0, unchanged = 0;
};

struct GenerationReport {
  std::string skel;
  unsigned generation = 0;                  ///< the newest from now on; of a dry run: the one that would be
  bool new_generation = false;              ///< false: nothing was changed, all is as before the merge
  std::array<PartChanges, kParts> parts{};  ///< indexed by Part
  std::vector<std::string> moved;           ///< "/opt/x: from local to global"
  std::vector<std::string> ambiguous;       ///< "/usr/local/x: global by an earlier rule than 'local /usr/local'"
  /// "/etc/passwd: static has it and stays as it is; the merged tree's is in SKEL/generations/...", and what is one
  /// machine's own.
  std::vector<std::string> set_aside;
  std::vector<LeftOut> left_out;      ///< caches and logs of the merged tree
  std::vector<std::string> look_at;   ///< leftovers of machine and package manager: "/root/.bash_history: ..."
  std::vector<std::string> accounts;  ///< users and groups: "user redis (104:108) added"
  std::vector<std::string> notes;     ///< what was left out
  double elapsed_s = 0;

  [[nodiscard]] PartChanges& changes(Part part) { return parts.at(static_cast<std::size_t>(part)); }
  [[nodiscard]] PartChanges all() const;
};

/// What a maker staged in staging/ID.
struct StagedGeneration {
  GenerationReport report;
  std::string set_aside_name;  ///< of staging/ID/set-aside once it is in generations/; "" if there is none
};
/// A maker takes a turn of `quiescence` wherever it lifts a seal.
using GenerationMaker =
    std::function<Result<StagedGeneration>(const DirFd& staging, SealKind seal, Quiescence& quiescence)>;

/// Makes the generation after `last` as one journalled operation ("split-skel" or "rollback"): `make` stages it, then
/// it is published, or all is undone. Under the skel's lock; inside the caller's TBB arena.
[[nodiscard]] Result<GenerationReport> change_generation(const Store& store, const GenerationRequest& request,
                                                         const Skel& skel, std::string_view operation, unsigned last,
                                                         const GenerationMaker& make);

}  // namespace vskel
