// The skel's owners as one vserver has them: a number of the skel's may be another's there (engine/accounts/id_map.h),
// in ACLs, too.
#pragma once

#include <optional>

#include "engine/accounts/id_map.h"
#include "engine/relink/skel_view.h"
#include "engine/tree/metadata.h"

namespace vskel {

/// With owner and entries of ACLs by a map.
[[nodiscard]] Metadata mapped(Metadata metadata, const IdMap& ids);
[[nodiscard]] std::vector<sys::Xattr> mapped(std::vector<sys::Xattr> xattrs, const IdMap& ids);

/// The nodes of a view by one map. A value; thread-safe. For a map that says something the view has read its ACLs.
class NodeOwners {
 public:
  NodeOwners(const SkelView& view, IdMap ids) : view_(&view), ids_(std::move(ids)) {}
  [[nodiscard]] const IdMap& ids() const { return ids_; }
  [[nodiscard]] std::uint32_t user(const TreeNode& node) const { return ids_.user(node.entry->uid); }
  [[nodiscard]] std::uint32_t group(const TreeNode& node) const { return ids_.group(node.entry->gid); }
  /// As ManifestEntry::xattrs().
  [[nodiscard]] std::optional<Hash128> xattrs(const TreeNode& node) const;
  /// Is it another's in the vserver, or would an entry of its ACL be? Then a vserver has it as its own file.
  [[nodiscard]] bool changes(const TreeNode& node) const;

 private:
  const SkelView* view_;
  IdMap ids_;
};

/// Both sides of a relink: the base by the vserver's map until now, theirs by the one from now on.
struct SideOwners {
  NodeOwners base, theirs;
  /// What the skel did not change may be another's from now on.
  [[nodiscard]] bool differ() const { return base.ids() != theirs.ids(); }
  [[nodiscard]] bool differ_for(const TreeNode& node) const {
    return differ() && (base.user(node) != theirs.user(node) || base.group(node) != theirs.group(node) ||
                        base.xattrs(node) != theirs.xattrs(node));
  }
  /// The same for a directory with all below it.
  [[nodiscard]] bool differ_below(const TreeNode& node) const;
};

}  // namespace vskel
