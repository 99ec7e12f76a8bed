// A skel as all vservers of one run see it: the newest generation and the older ones that they still have as their
// base, each path with the inode that it has in the skel. Read once, shared by all.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/accounts/account_table.h"
#include "engine/relink/generation_tree.h"
#include "engine/skel/kept_files.h"
#include "engine/skel/layout.h"
#include "engine/skel/skel.h"
#include "engine/tree/directory_chain.h"
#include "engine/tree/relative_path.h"

namespace vskel {

class SkelPackages;

/// Thread-safe once loaded. Keeps a reference to the Skel.
class SkelView {
 public:
  SkelView(SkelView&&) noexcept;
  ~SkelView();
  /// Reads the manifests of the newest generation and of `bases`, and walks the global tree for inode numbers. A
  /// generation whose manifest is gone is no base of anything: base() gives nullptr. Runs inside the caller's arena.
  [[nodiscard]] static Result<SkelView> load(const Skel& skel, const std::set<unsigned>& bases);

  [[nodiscard]] const Skel& skel() const { return *skel_; }
  [[nodiscard]] const GenerationTree& newest() const { return *newest_; }
  /// The skel's rules as they are today.
  [[nodiscard]] const Layout& layout() const { return *layout_; }
  /// The tree of an older generation (or the newest); nullptr: unknown.
  [[nodiscard]] const GenerationTree* base(unsigned generation) const;
  /// The packages of a generation that newest() or base() gives, read when they are first asked for. Good as long as
  /// the view.
  [[nodiscard]] Result<const SkelPackages*> packages(unsigned generation) const;
  /// Users and groups that static has now, taken apart when they are first asked for. Good as long as the view.
  [[nodiscard]] Result<const Accounts*> accounts() const;
  /// What it had when a generation was made; nullptr: not known.
  [[nodiscard]] Result<const Accounts*> accounts(unsigned generation) const;
  /// Reads, once, which files of newest() and of all bases have an ACL.
  [[nodiscard]] Result<> read_acls() const;
  /// All extended attributes of a file or directory with an ACL; nullptr: it has none, or nothing of it is left. After
  /// read_acls().
  [[nodiscard]] const std::vector<sys::Xattr>* acl_of(const TreeNode& node) const;
  /// Is it an inode of the skel's, of today or kept for an older generation? Such a one is sealed, and never the
  /// tenant's.
  [[nodiscard]] bool is_skel_inode(std::uint64_t inode) const { return std::ranges::binary_search(inodes_, inode); }
  [[nodiscard]] std::uint64_t device() const { return device_; }
  /// Whether an inode of the skel's file system whose ctime is that of `stat` has not changed since before this view
  /// was loaded, and whether a later write by whatever way would move its ctime. ext4, XFS and btrfs stamp at write(2)
  /// and, in page_mkwrite, at the first store through each new mapping; tmpfs has no page_mkwrite.
  [[nodiscard]] bool ctime_tells(const sys::Stat& stat) const {
    return stores_are_stamped_ && stat.device == device_ && stat.ctime < loaded_at_;
  }

  /// Whether its file system can clone files, so that two of them may be the same blocks.
  [[nodiscard]] bool has_clones() const { return has_clones_; }

  /// The directory of the skel in which the file of `node` stands.
  [[nodiscard]] Result<DirFd> directory_of(const TreeNode& node) const;
  /// The file itself, for reading.
  [[nodiscard]] Result<Fd> open(const TreeNode& node) const;
  /// Its bytes; nullopt if `node` is nullptr or no regular file, if no file of it is left, or if it is larger than
  /// `limit`, in bytes.
  [[nodiscard]] Result<std::optional<std::string>> text_of(const TreeNode* node, std::size_t limit) const;
  /// The root of a part: of the current tree (`kept_in` 0) or of the files kept for an older generation.
  [[nodiscard]] static Result<DirFd> root_of(const Skel& skel, unsigned kept_in, Part part);
  /// Directory of a file by where it stands (see TreeNode::kept_in): for what is read from a journal.
  [[nodiscard]] static Result<DirFd> directory_of(const Skel& skel, unsigned kept_in, Part part, std::string_view path);

 private:
  explicit SkelView(const Skel& skel);
  [[nodiscard]] Result<> read_inodes();
  [[nodiscard]] Result<std::unique_ptr<GenerationTree>> read_base(unsigned generation, const KeptFiles& kept);
  [[nodiscard]] const TreeNode* unchanged_since(const ManifestEntry& then, const KeptFiles& kept,
                                                unsigned generation) const;
  [[nodiscard]] Result<> fill_kept(TreeNode& node, const KeptFiles& kept, unsigned generation);
  [[nodiscard]] Result<bool> is_as_newest(const TreeNode& node) const;
  const Skel* skel_;
  std::optional<Layout> layout_;
  std::uint64_t device_ = 0;
  sys::Time loaded_at_;
  bool stores_are_stamped_ = false, has_clones_ = false;
  std::unique_ptr<GenerationTree> newest_;
  std::map<unsigned, std::unique_ptr<GenerationTree>> bases_;
  std::vector<std::uint64_t> inodes_;  ///< sorted
  struct Packages;
  std::unique_ptr<Packages> packages_;
  struct KnownAccounts;
  std::unique_ptr<KnownAccounts> accounts_;
  struct Acls;
  std::unique_ptr<Acls> acls_;
};

/// Opens files of the skel one after the other: the next is mostly near the last. Not thread-safe: one for each task.
class SkelFiles {
 public:
  explicit SkelFiles(const SkelView& view) : view_(&view) {}
  /// The directory in which the file of `node` stands; good until the next call.
  [[nodiscard]] Result<const DirFd*> directory_of(const TreeNode& node);
  /// The file itself, for reading.
  [[nodiscard]] Result<Fd> open(const TreeNode& node);

 private:
  const SkelView* view_;
  std::optional<DirectoryChain> chain_;
  Part part_ = Part::global_part;  ///< of the chain's root
  unsigned kept_in_ = 0;           ///< likewise
};

}  // namespace vskel
