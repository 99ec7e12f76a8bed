#include "engine/relink/owners.h"

#include <algorithm>

#include "engine/content/hash.h"
#include "engine/skel/posix_acl.h"

namespace vskel {

std::vector<sys::Xattr> mapped(std::vector<sys::Xattr> xattrs, const IdMap& ids) {
  if (ids.empty()) return xattrs;
  for (sys::Xattr& xattr : xattrs) xattr.value = mapped_acl(xattr.name, xattr.value, ids);
  return xattrs;
}

Metadata mapped(Metadata metadata, const IdMap& ids) {
  metadata.uid = ids.user(metadata.uid);
  metadata.gid = ids.group(metadata.gid);
  metadata.xattrs = mapped(std::move(metadata.xattrs), ids);
  return metadata;
}

std::optional<Hash128> NodeOwners::xattrs(const TreeNode& node) const {
  const auto* const acl = ids_.empty() || !node.entry->xattrs() ? nullptr : view_->acl_of(node);
  return acl == nullptr ? node.entry->xattrs() : hash_xattrs(mapped(*acl, ids_));
}

bool NodeOwners::changes(const TreeNode& node) const {
  if (ids_.empty()) return false;
  return user(node) != node.entry->uid || group(node) != node.entry->gid || xattrs(node) != node.entry->xattrs();
}

bool SideOwners::differ_below(const TreeNode& node) const {
  if (!differ()) return false;
  return differ_for(node) ||
         std::ranges::any_of(node.children(), [this](const TreeNode* child) { return differ_below(*child); });
}

}  // namespace vskel
