#include "engine/relink/skel_view.h"

#include <algorithm>
#include <mutex>

#include "engine/content/compare.h"
#include "engine/relink/skel_packages.h"
#include "engine/seal/seal.h"
#include "engine/skel/account_files.h"
#include "engine/tree/walk.h"

namespace vskel {

namespace {

constexpr std::uint32_t kSpecialModeBits = 07000;

/// Extended attributes have to be looked at only where there are some.
Result<bool> may_be_linked(const SkelView& view, const TreeNode& node) {
  const ManifestEntry& entry = *node.entry;
  if (entry.part != Part::global_part || entry.size == 0 || (entry.mode & kSpecialModeBits) != 0) return false;
  if (!entry.xattrs()) return true;
  const Fd file = TRY(view.open(node));
  return is_linkable(TRY(sys::stat(file)), TRY(sys::xattrs(file)));
}

}  // namespace

struct SkelView::Packages {
  std::mutex mutex;
  std::map<unsigned, SkelPackages> of;
};

struct SkelView::KnownAccounts {
  std::mutex mutex;
  std::optional<Accounts> now;
  std::map<unsigned, std::optional<Accounts>> of;
};

struct SkelView::Acls {
  std::mutex mutex;
  bool are_read = false;
  std::unordered_map<const TreeNode*, std::vector<sys::Xattr>> of;
};

SkelView::SkelView(const Skel& skel)
    : skel_(&skel),
      packages_(std::make_unique<Packages>()),
      accounts_(std::make_unique<KnownAccounts>()),
      acls_(std::make_unique<Acls>()) {}
SkelView::SkelView(SkelView&&) noexcept = default;
SkelView::~SkelView() = default;

Result<const SkelPackages*> SkelView::packages(unsigned generation) const {
  const std::scoped_lock lock(packages_->mutex);
  if (const auto found = packages_->of.find(generation); found != packages_->of.end()) return &found->second;
  return &packages_->of.emplace(generation, TRY(SkelPackages::load(*this, *base(generation)))).first->second;
}

Result<const Accounts*> SkelView::accounts() const {
  const std::scoped_lock lock(accounts_->mutex);
  if (!accounts_->now)
    accounts_->now = TRY(Accounts::parse(TRY(read_static_accounts(*skel_)), skel_->path() + "/static/"));
  return &*accounts_->now;
}

Result<const Accounts*> SkelView::accounts(unsigned generation) const {
  const std::scoped_lock lock(accounts_->mutex);
  auto found = accounts_->of.find(generation);
  if (found == accounts_->of.end()) {
    std::optional<Accounts> known;
    const auto texts = generation == 0 ? std::nullopt : TRY(read_generation_accounts(*skel_, generation));
    // Taken as a whole by a split, since nobody could take it apart: nothing is known of it.
    if (auto parsed = texts ? Accounts::parse(*texts, "") : Result<Accounts>(); texts && parsed)
      known = std::move(*parsed);
    found = accounts_->of.emplace(generation, std::move(known)).first;
  }
  return found->second ? &*found->second : nullptr;
}

Result<> SkelView::read_acls() const {
  const std::scoped_lock lock(acls_->mutex);
  if (acls_->are_read) return {};
  SkelFiles files(*this);
  const auto xattrs_of = [&](const TreeNode& node) -> Result<std::vector<sys::Xattr>> {
    if (node.is_directory()) return sys::xattrs(TRY(sys::open_dirs(skel_->tree(node.entry->part), node.path())));
    if (node.type() == sys::FileType::regular) return sys::xattrs(TRY(files.open(node)));
    return sys::xattrs(*TRY(files.directory_of(node)), last_name(node.path()));
  };
  const auto is_acl = [](const sys::Xattr& xattr) { return xattr.name.starts_with("system.posix_acl_"); };
  const auto read = [&](GenerationTree& tree) -> Result<> {
    for (const TreeNode& node : tree.nodes()) {
      if (!node.entry->xattrs()) continue;
      const bool is_newest = &tree == newest_.get();
      const TreeNode* const now = node.as_newest && !is_newest ? newest_->find(node.path()) : nullptr;
      if (const auto known = acls_->of.find(now); now != nullptr && known != acls_->of.end())
        acls_->of.emplace(&node, std::vector<sys::Xattr>(known->second));
      if (now != nullptr || (!is_newest && node.kept_in == 0)) continue;
      auto xattrs = TRY(xattrs_of(node));
      if (std::ranges::any_of(xattrs, is_acl)) acls_->of.emplace(&node, std::move(xattrs));
    }
    return {};
  };
  TRY(read(*newest_));
  for (const auto& [generation, tree] : bases_) TRY(read(*tree));
  acls_->are_read = true;
  return {};
}

const std::vector<sys::Xattr>* SkelView::acl_of(const TreeNode& node) const {
  const auto found = acls_->of.find(&node);
  return found == acls_->of.end() ? nullptr : &found->second;
}

Result<DirFd> SkelView::root_of(const Skel& skel, unsigned kept_in, Part part) {
  if (kept_in == 0) return sys::reopen(skel.tree(part));
  return sys::open_dirs(skel.generations(), kept_files_name(kept_in) + "/" + std::string(part_name(part)));
}

Result<DirFd> SkelView::directory_of(const Skel& skel, unsigned kept_in, Part part, std::string_view path) {
  return sys::open_dirs(TRY(root_of(skel, kept_in, part)), parent_path(path));
}

Result<DirFd> SkelView::directory_of(const TreeNode& node) const {
  return directory_of(*skel_, node.kept_in, node.entry->part, node.path());
}

Result<Fd> SkelView::open(const TreeNode& node) const {
  return sys::open_trusted_file(TRY(directory_of(node)), last_name(node.path()));
}

Result<std::optional<std::string>> SkelView::text_of(const TreeNode* node, std::size_t limit) const {
  const bool at_hand =
      node != nullptr && node->type() == sys::FileType::regular && (node->as_newest || node->kept_in != 0);
  if (!at_hand || node->entry->size > limit) return std::nullopt;
  return TRY(sys::read_whole(TRY(open(*node)), limit));
}

Result<const DirFd*> SkelFiles::directory_of(const TreeNode& node) {
  const Part part = node.entry->part;
  if (!chain_ || part_ != part || kept_in_ != node.kept_in) {
    chain_.reset();
    chain_.emplace(TRY(SkelView::root_of(view_->skel(), node.kept_in, part)));
    part_ = part;
    kept_in_ = node.kept_in;
  }
  return chain_->open(parent_path(node.path()));
}

Result<Fd> SkelFiles::open(const TreeNode& node) {
  return sys::open_trusted_file(*TRY(directory_of(node)), last_name(node.path()));
}

const GenerationTree* SkelView::base(unsigned generation) const {
  if (generation == newest_->generation()) return newest_.get();
  const auto found = bases_.find(generation);
  return found == bases_.end() ? nullptr : found->second.get();
}

/// d_ino tells the inode without a stat for every file.
Result<> SkelView::read_inodes() {
  std::mutex mutex;
  const DirFd& global = skel_->tree(Part::global_part);
  device_ = TRY(sys::stat(global)).device;
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void>) -> Result<> {
    const TreeNode* const node = newest_->find(directory->path);
    for (const WalkEntry& entry : directory->entries) {
      if (entry.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
      if (entry.type != sys::FileType::regular || node == nullptr) continue;
      const TreeNode* const child = GenerationTree::child(*node, entry.name.view());
      if (child == nullptr || child->entry->part != Part::global_part) continue;
      // Each path is visited by one task, and nobody reads before the walk is over.
      const_cast<TreeNode*>(child)->inode = entry.inode;
      const std::scoped_lock lock(mutex);
      inodes_.push_back(entry.inode);
    }
    return {};
  };
  (void)TRY(Walk::run({&global}, Mounts::stop, nullptr, visitor));
  for (TreeNode& node : newest_->nodes()) {
    node.as_newest = true;
    if (node.type() == sys::FileType::regular) node.linkable = TRY(may_be_linked(*this, node));
  }
  return {};
}

/// Where the file of a path that is not unchanged_since() an older generation stands today. Not kept: nothing is known
/// of it but what its own manifest says.
Result<> SkelView::fill_kept(TreeNode& node, const KeptFiles& kept, unsigned generation) {
  const auto holder = kept.holder(node.entry->part, node.path(), generation);
  if (!holder) return {};
  node.kept_in = *holder;
  if (node.type() != sys::FileType::regular) return {};
  const DirFd dir = TRY(directory_of(node));
  const sys::Stat stat = TRY(sys::stat(dir, last_name(node.path())));
  node.inode = stat.inode;
  if (node.entry->part == Part::global_part) inodes_.push_back(node.inode);
  return {};
}

/// Manifests say with certainty what differs. That two files are the same is proved by their being one, or by bytes.
Result<bool> SkelView::is_as_newest(const TreeNode& node) const {
  const TreeNode* const now = newest_->find(node.path());
  if (now == nullptr || !look_the_same(*node.entry, *now->entry)) return false;
  // A vserver that shares it is to have one of its own.
  if (node.entry->part == Part::global_part && now->entry->part != Part::global_part && !node.is_directory())
    return false;
  if (node.type() != sys::FileType::regular || node.kept_in == 0) return true;
  if (node.inode == now->inode && node.inode != 0) return true;
  // Names of one inode that are others now, or one with others: who writes to a name writes to all of them.
  if (node.entry->nlink > 1 || now->entry->nlink > 1) return false;
  const Fd then_file = TRY(open(node)), now_file = TRY(open(*now));
  if (node.entry->xattrs() && TRY(sys::xattrs(then_file)) != TRY(sys::xattrs(now_file))) return false;
  return TRY(compare_content(then_file, now_file)).same;
}

/// The newest generation's node for a path at which the skel has what it had: by far the most. Its old entry is then
/// not kept in memory.
const TreeNode* SkelView::unchanged_since(const ManifestEntry& then, const KeptFiles& kept, unsigned generation) const {
  if (then.type == sys::FileType::directory || kept.holder(then.part, then.path, generation)) return nullptr;
  const TreeNode* const now = newest_->find(then.path);
  return now != nullptr && now->entry->part == then.part && look_the_same(then, *now->entry) ? now : nullptr;
}

Result<std::unique_ptr<GenerationTree>> SkelView::read_base(unsigned generation, const KeptFiles& kept) {
  auto tree = std::make_unique<GenerationTree>(generation);
  TRY(skel_->for_each_entry(generation, [&](ManifestEntry entry) {
    const TreeNode* const shared = unchanged_since(entry, kept, generation);
    return shared != nullptr ? tree->add(*shared) : tree->add(std::move(entry));
  }));
  TRY(tree->finish());
  for (TreeNode& node : tree->nodes()) {
    if (!node.is_directory()) TRY(fill_kept(node, kept, generation));
    node.as_newest = TRY(is_as_newest(node));
  }
  tree->share_directories(*newest_);
  return tree;
}

Result<SkelView> SkelView::load(const Skel& skel, const std::set<unsigned>& bases) {
  SkelView view(skel);
  view.layout_.emplace(TRY(skel.layout()));
  view.loaded_at_ = sys::inode_clock();
  const std::string type = TRY(sys::file_system(skel.tree(Part::global_part))).type;
  view.has_clones_ = type == "xfs" || type == "btrfs";
  view.stores_are_stamped_ = type == "ext4" || type == "xfs" || type == "btrfs";
  const std::vector<unsigned> generations = TRY(skel.all_generations());
  const unsigned newest = generations.back();
  view.newest_ = std::make_unique<GenerationTree>(newest);
  GenerationTree& tree = *view.newest_;
  TRY(skel.for_each_entry(newest, [&tree](ManifestEntry entry) { return tree.add(std::move(entry)); }));
  TRY(tree.finish());
  TRY(view.read_inodes());
  const KeptFiles kept = TRY(KeptFiles::load(skel));
  for (const std::uint64_t inode : kept.global_inodes()) view.inodes_.push_back(inode);
  for (const unsigned generation : bases) {
    if (generation < newest && std::ranges::binary_search(generations, generation))
      view.bases_.emplace(generation, TRY(view.read_base(generation, kept)));
  }
  std::ranges::sort(view.inodes_);
  return view;
}

}  // namespace vskel
