#include "engine/relink/generation_tree.h"

#include <algorithm>

#include "engine/tree/relative_path.h"

namespace vskel {

Result<> GenerationTree::add(const TreeNode& node) {
  const std::string& path = node.path();
  const auto parent = directories_.find(parent_path(path));
  if (parent == directories_.end())
    return fail("read manifest", "generation " + std::to_string(generation_), "no directory for ./" + path);
  // Siblings have their directory's path in common, so that the order of paths is that of their names.
  auto& siblings = parent->second->children_;
  if (!siblings) siblings = std::make_unique<std::vector<const TreeNode*>>();
  siblings->push_back(&node);
  return {};
}

Result<> GenerationTree::add(ManifestEntry entry) {
  // A directory stands once for each part that has it, the highest part last.
  if (!entries_.empty() && entries_.back().path == entry.path) {
    directories_.erase(entries_.back().path);
    entries_.back() = std::move(entry);
    directories_.emplace(entries_.back().path, &nodes_.back());
    return {};
  }
  const ManifestEntry& added = entries_.emplace_back(std::move(entry));
  const std::size_t slash = added.path.rfind('/');
  TreeNode& node = nodes_.emplace_back();
  node.entry = &added;
  node.name_at_ = slash == std::string::npos ? 0 : static_cast<std::uint32_t>(slash + 1);
  if (added.path.empty())
    root_ = &node;
  else
    TRY(add(node));
  if (node.is_directory()) directories_.emplace(added.path, &node);
  return {};
}

Result<> GenerationTree::finish() {
  directories_ = {};
  if (root_ != nullptr) return {};
  return fail("read manifest", "generation " + std::to_string(generation_), "no entry for the root");
}

const TreeNode* GenerationTree::shared_or_own(const TreeNode* node, const TreeNode* newest) {
  if (node == newest || !node->is_directory() || !newest->is_directory()) return node;
  bool all_shared = node->as_newest && node->children().size() == newest->children().size();
  // The nodes of this tree are its own to change.
  if (node->children_)
    for (const TreeNode*& child : *node->children_) {
      const TreeNode* const now = GenerationTree::child(*newest, child->name());
      if (now != nullptr) child = shared_or_own(child, now);
      all_shared = all_shared && child == now;
    }
  if (!all_shared) return node;
  const_cast<TreeNode*>(node)->children_.reset();
  return newest;
}

void GenerationTree::share_directories(const GenerationTree& newest) { root_ = shared_or_own(root_, newest.root_); }

const TreeNode* GenerationTree::child(const TreeNode& node, std::string_view name) {
  const auto& children = node.children();
  const auto found = std::ranges::lower_bound(children, name, {}, [](const TreeNode* at) { return at->name(); });
  return found != children.end() && (*found)->name() == name ? *found : nullptr;
}

const TreeNode* GenerationTree::find(std::string_view path) const {
  const TreeNode* node = root_;
  while (node != nullptr && !path.empty()) {
    const std::string_view component = path.substr(0, path.find('/'));
    node = child(*node, component);
    path.remove_prefix(std::min(path.size(), component.size() + 1));
  }
  return node;
}

bool same_subtree(const TreeNode& base, const TreeNode& newest) {
  if (&base == &newest) return true;
  const auto& then = base.children();
  const auto& now = newest.children();
  if (!base.as_newest || then.size() != now.size()) return false;
  for (std::size_t at = 0; at < then.size(); ++at)
    if (then[at]->name() != now[at]->name() || !same_subtree(*then[at], *now[at])) return false;
  return true;
}

}  // namespace vskel
