#include "engine/relink/generation_tree.h"

#include <algorithm>
#include <unordered_map>

namespace vskel {

Result<std::unique_ptr<GenerationTree>> GenerationTree::of(Manifest manifest) {
  std::unique_ptr<GenerationTree> tree(new GenerationTree(std::move(manifest)));
  std::unordered_map<std::string_view, TreeNode*> directories;
  const auto& entries = tree->manifest_.entries;
  for (std::size_t at = 0; at < entries.size(); ++at) {
    const ManifestEntry& entry = entries[at];
    // A directory stands once for each part that has it, the highest part last.
    if (at + 1 < entries.size() && entries[at + 1].path == entry.path) continue;
    const std::size_t slash = entry.path.rfind('/');
    TreeNode& node = tree->nodes_.emplace_back();
    node.entry = &entry;
    node.name_at_ = slash == std::string::npos ? 0 : static_cast<std::uint32_t>(slash + 1);
    if (node.is_directory()) directories.emplace(entry.path, &node);
    if (entry.path.empty()) {
      tree->root_ = &node;
      continue;
    }
    const auto parent = directories.find(slash == std::string::npos ? std::string_view()
                                                                    : std::string_view(entry.path).substr(0, slash));
    if (parent == directories.end())
      return fail("read manifest", "generation " + std::to_string(tree->generation()),
                  "no directory for ./" + entry.path);
    // Siblings have their directory's path in common, so that the order of paths is that of their names.
    auto& siblings = parent->second->children_;
    if (!siblings) siblings = std::make_unique<std::vector<const TreeNode*>>();
    siblings->push_back(&node);
  }
  if (tree->root_ == nullptr)
    return fail("read manifest", "generation " + std::to_string(tree->generation()), "no entry for the root");
  return tree;
}

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
  const auto& then = base.children();
  const auto& now = newest.children();
  if (!base.as_newest || then.size() != now.size()) return false;
  for (std::size_t at = 0; at < then.size(); ++at)
    if (then[at]->name() != now[at]->name() || !same_subtree(*then[at], *now[at])) return false;
  return true;
}

}  // namespace vskel
