// The seals of all inodes that a group of vservers is about to get, lifted once for the group: a change of flags is a
// transaction of the file system's, and each link and each exchange would cost two of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/relink/plan.h"
#include "engine/relink/skel_links.h"

namespace vskel {

/// To be had inside an intent, so that a crash finds them sealed again by recovery, and while whoever shares them is
/// held still.
class HeldSeals {
 public:
  /// Lifts, in parallel tasks, what `plans` put into vservers that share by hard link. What can't be lifted here is
  /// told by the step that needs it.
  HeldSeals(const SkelView& view, LinkShared& links, std::span<const VserverPlan* const> plans);
  HeldSeals(const HeldSeals&) = delete;
  HeldSeals& operator=(const HeldSeals&) = delete;
  /// Seals again, and tells the first error.
  [[nodiscard]] Result<> restore();
  /// The same for a way out that has an error to tell already.
  ~HeldSeals();

 private:
  struct Held {
    const TreeNode* node;
    std::uint64_t inode = 0;
    bool lifted = false;
  };
  void lift(std::span<Held> held);
  [[nodiscard]] Result<> restore(std::span<Held> held);
  const SkelView& view_;
  LinkShared& links_;
  std::vector<Held> held_;
};

}  // namespace vskel
