// A generation's manifest as a tree, so that two generations and a vserver can be walked side by side, name by name.
#pragma once

#include <deque>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/manifest/manifest.h"

namespace vskel {

/// One path of a generation, with what the skel on disk knows of it.
struct TreeNode {
  const ManifestEntry* entry = nullptr;  ///< of the highest part that has the path
  std::uint64_t inode = 0;               ///< of a regular file, where it stands in the skel today; 0: nowhere
  unsigned kept_in = 0;                  ///< the generation in whose .files it stands; 0: in the current tree
  bool linkable = false;                 ///< a global file that vservers may have by hard link (is_linkable())
  bool as_newest = false;                ///< the newest generation has the same node at this path

  [[nodiscard]] sys::FileType type() const { return entry->type; }
  [[nodiscard]] bool is_directory() const { return entry->type == sys::FileType::directory; }
  [[nodiscard]] const std::string& path() const { return entry->path; }
  /// The last component; zero-terminated.
  [[nodiscard]] std::string_view name() const { return std::string_view(entry->path).substr(name_at_); }
  /// Of a directory, sorted by name.
  [[nodiscard]] const std::vector<const TreeNode*>& children() const {
    static const std::vector<const TreeNode*> none;
    return children_ ? *children_ : none;
  }

 private:
  friend class GenerationTree;
  std::uint32_t name_at_ = 0;                               // in the path
  std::unique_ptr<std::vector<const TreeNode*>> children_;  // most nodes have none
};

/// Owns the entries and the nodes, but for those that it shares with another tree. Immutable once what it is filled
/// with is complete; then thread-safe.
class GenerationTree {
 public:
  explicit GenerationTree(unsigned generation) : generation_(generation) {}
  GenerationTree(const GenerationTree&) = delete;
  GenerationTree& operator=(const GenerationTree&) = delete;

  /// The next entry, in the manifest's order. One without an entry for its directory is an error.
  [[nodiscard]] Result<> add(ManifestEntry entry);
  /// The next path, which is the same as `node` of a tree that outlives this one: no directory.
  [[nodiscard]] Result<> add(const TreeNode& node);
  /// After the last. An error if there was no root.
  [[nodiscard]] Result<> finish();
  /// Directories in which all is shared with `newest` become its nodes. After finish(), with as_newest filled in.
  void share_directories(const GenerationTree& newest);

  [[nodiscard]] unsigned generation() const { return generation_; }
  [[nodiscard]] const TreeNode& root() const { return *root_; }
  /// How many nodes it has of its own.
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  /// nullptr where it has no such path.
  [[nodiscard]] const TreeNode* find(std::string_view path) const;
  /// The child of that name; nullptr if there is none.
  [[nodiscard]] static const TreeNode* child(const TreeNode& node, std::string_view name);
  /// All nodes of its own, parents first, while they are filled in.
  [[nodiscard]] std::deque<TreeNode>& nodes() { return nodes_; }

 private:
  [[nodiscard]] static const TreeNode* shared_or_own(const TreeNode* node, const TreeNode* newest);
  unsigned generation_;
  ManifestEntries entries_;
  std::deque<TreeNode> nodes_;
  const TreeNode* root_ = nullptr;
  std::unordered_map<std::string_view, TreeNode*> directories_;  // until finish()
};

/// Two directories and all below them are the same node by node; `base` is of an older generation.
[[nodiscard]] bool same_subtree(const TreeNode& base, const TreeNode& newest);

}  // namespace vskel
