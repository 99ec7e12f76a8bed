// --anywhere: a file of a vserver's that equals some file of the skel's, wherever the two stand, shares with it.
#pragma once

#include <array>
#include <map>
#include <tuple>
#include <vector>

#include "engine/relink/plan.h"

namespace vskel {

/// The skel's linkable files, by what they can be found by without reading. Thread-safe once made.
class ByContent {
 public:
  explicit ByContent(const SkelView& view);
  /// Those of a size, an owner and a mode.
  [[nodiscard]] const std::vector<const TreeNode*>* find(const sys::Stat& stat) const;

 private:
  using Key = std::array<std::uint64_t, 4>;  // size, mode, uid, gid
  std::map<Key, std::vector<const TreeNode*>> files_;
};

/// Adds to `plan` the steps that share files of `root` for which it has none yet. Opens what `plan_vserver` never
/// opens: the tenant's own files, as far as size, owner and mode fit a file of the skel's. Hashes find, bytes prove.
/// Thread-safe.
[[nodiscard]] Result<> plan_anywhere(const SkelView& view, const ByContent& files, const DirFd& root,
                                     const PlanOptions& options, VserverPlan& plan);

}  // namespace vskel
