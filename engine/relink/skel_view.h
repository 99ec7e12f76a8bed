// A skel as all vservers of one run see it: the newest generation and the older ones that they still have as their
// base, each path with the inode that it has in the skel. Read once, shared by all.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "engine/relink/generation_tree.h"
#include "engine/skel/kept_files.h"
#include "engine/skel/skel.h"
#include "engine/tree/relative_path.h"

namespace vskel {

/// Thread-safe once loaded. Keeps a reference to the Skel.
class SkelView {
 public:
  /// Reads the manifests of the newest generation and of `bases`, and walks the global tree for inode numbers. A
  /// generation whose manifest is gone is no base of anything: base() gives nullptr. Runs inside the caller's arena.
  [[nodiscard]] static Result<SkelView> load(const Skel& skel, const std::set<unsigned>& bases);

  [[nodiscard]] const Skel& skel() const { return *skel_; }
  [[nodiscard]] const GenerationTree& newest() const { return *newest_; }
  /// The tree of an older generation (or the newest); nullptr: unknown.
  [[nodiscard]] const GenerationTree* base(unsigned generation) const;
  /// Is it an inode of the skel's, of today or kept for an older generation? Such a one is sealed, and never the
  /// tenant's.
  [[nodiscard]] bool is_skel_inode(std::uint64_t inode) const { return inodes_.contains(inode); }
  [[nodiscard]] std::uint64_t device() const { return device_; }

  /// The directory of the skel in which the file of `node` stands.
  [[nodiscard]] Result<DirFd> directory_of(const TreeNode& node) const;
  /// The file itself, for reading.
  [[nodiscard]] Result<Fd> open(const TreeNode& node) const;
  /// Directory of a file by where it stands (see TreeNode::kept_in): for what is read from a journal.
  [[nodiscard]] static Result<DirFd> directory_of(const Skel& skel, unsigned kept_in, Part part, std::string_view path);

 private:
  explicit SkelView(const Skel& skel) : skel_(&skel) {}
  [[nodiscard]] Result<> read_inodes();
  [[nodiscard]] Result<> fill_base(GenerationTree& tree, const KeptFiles& kept);
  [[nodiscard]] Result<> fill_kept(TreeNode& node, const KeptFiles& kept, unsigned generation);
  [[nodiscard]] Result<bool> is_as_newest(const TreeNode& node) const;
  const Skel* skel_;
  std::uint64_t device_ = 0;
  std::unique_ptr<GenerationTree> newest_;
  std::map<unsigned, std::unique_ptr<GenerationTree>> bases_;
  std::unordered_set<std::uint64_t> inodes_;
};

}  // namespace vskel
