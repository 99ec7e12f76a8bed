// The steps of one vserver's plan, put into the order in which the vserver gets what is new; and names of one inode,
// which are acted on together or not at all.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>

#include "engine/relink/step.h"

namespace vskel {

/// When a step has its turn: a program never runs on libraries older than it, a package database never speaks of what
/// has not come yet.
enum class Turn : std::uint8_t {
  accounts,  ///< who is to own what comes
  libraries,
  others,
  bundles,  ///< all of a bundle, one after the other
  moves,    ///< of the tenant's own entries, when what they move into has come
  links,    ///< that take the place of directories, when what was in those has moved
  directories,
  database,
  database_directories,
  times,  ///< of directories in which all is done
};
inline constexpr std::size_t kTurns = 10;

/// Not thread-safe.
class PlannedSteps {
 public:
  void add(Turn turn, Step step) { steps_[static_cast<std::size_t>(turn)].push_back(std::move(step)); }
  /// `inode` of the vserver has so many names in all.
  void expect_names(std::uint64_t inode, std::uint32_t names) { groups_[inode] = names; }
  /// Takes the steps of groups of which not all names are acted on: a name that the table does not know, or that
  /// stays, tears it.
  [[nodiscard]] Steps take_torn_groups();
  /// Drops what was added for a bundle.
  void drop_bundle(std::uint32_t bundle);
  void clear();
  /// All, in their order.
  [[nodiscard]] Steps take();

 private:
  std::array<Steps, kTurns> steps_;
  std::unordered_map<std::uint64_t, std::uint32_t> groups_;  // inode -> how many names it has
};

}  // namespace vskel
