// Looking at one path of a vserver, as far as the question asks and no further: a stat where the name is not enough,
// the bytes only where type, size, owner, mode and attributes leave it open.
#pragma once

#include <optional>

#include "engine/relink/owners.h"
#include "engine/relink/plan.h"

namespace vskel {

/// What stands at a path.
struct Observed {
  sys::Stat stat;
  Node node;                           ///< with contents numbered as base_node() and theirs_node() number theirs
  Proof proof_of_base = Proof::inode;  ///< if it is as the base: by what that was found
  bool in_use = false;                 ///< open for writing
  bool compared_under_lease = false;   ///< see Step
  bool mounted = false;                ///< something is mounted over it, and is not looked at
  std::uint64_t bytes_read = 0;
  std::optional<Fd> file;  ///< if it was opened
};

/// The nodes to ask the table with. What base and theirs have in common has the same number.
[[nodiscard]] Node theirs_node(const TreeNode& theirs, const SideOwners& owners);
[[nodiscard]] Node base_node(const TreeNode& base, const TreeNode* theirs, const SideOwners& owners);

/// Looks at one path after the other. Not thread-safe: one for each task. Keeps references to what it is made with.
class Observer {
 public:
  Observer(const SkelView& view, SkelFiles& files, const SideOwners& owners)
      : view_(view), files_(files), owners_(owners) {}
  /// Looks at `name` in `dir`; nullopt if it is not there (any more).
  [[nodiscard]] Result<std::optional<Observed>> at(const DirFd& dir, Name name, const TreeNode* base,
                                                   const TreeNode* theirs);
  /// Looks at an open directory.
  [[nodiscard]] Result<Observed> directory(const DirFd& dir, const TreeNode* base, const TreeNode* theirs) const;

 private:
  const SkelView& view_;
  SkelFiles& files_;
  const SideOwners& owners_;
};

}  // namespace vskel
