#include "engine/relink/observe.h"

#include <cerrno>
#include <utility>

#include "engine/content/compare.h"
#include "engine/content/hash.h"
#include "engine/issue/batch_limits.h"

namespace vskel {

namespace {

// Numbers for Node::content and Node::xattrs.
constexpr std::uint64_t kTheirs = 1, kBase = 2, kMine = 3;

bool same_owner_and_mode(const sys::Stat& stat, const TreeNode& node, const NodeOwners& owners) {
  return (stat.type == sys::FileType::symlink || stat.mode == node.entry->mode) && stat.uid == owners.user(node) &&
         stat.gid == owners.group(node);
}

bool could_be(const sys::Stat& stat, const TreeNode* node, const NodeOwners& owners) {
  return node != nullptr && stat.type == node->type() && same_owner_and_mode(stat, *node, owners) &&
         (stat.type != sys::FileType::regular || stat.size == node->entry->size);
}

/// One look at a path, while it goes on.
class Look {
 public:
  Look(const SkelView& view, SkelFiles& files, const SideOwners& owners, const TreeNode* base, const TreeNode* theirs)
      : view_(view), files_(files), owners_(owners), base_(base), theirs_(theirs) {}

  Result<Observed> at_symlink(const DirFd& dir, Name name, const sys::Stat& stat) {
    start(stat);
    const std::string target = TRY(sys::read_link(dir, name));
    const auto number = [&](const TreeNode* node) { return node != nullptr && node->entry->link_target() == target; };
    content(number(theirs_), number(base_));
    xattrs(hash_xattrs(TRY(sys::xattrs(dir, name))));
    return std::move(observed_);
  }

  Result<Observed> at_special(const sys::Stat& stat) {
    start(stat);
    const auto number = [&](const TreeNode* node) {
      return node != nullptr && node->type() == stat.type && node->entry->rdev() == stat.rdev;
    };
    content(number(theirs_), number(base_));
    xattrs(std::nullopt);
    return std::move(observed_);
  }

  Result<Observed> at_file(const sys::Pinned& pinned) {
    const sys::Stat& stat = pinned.stat;
    start(stat);
    // A sealed inode of the skel's proves what it is: no tenant can write to it, or make one.
    if (theirs_ != nullptr && theirs_->inode != 0 && stat.inode == theirs_->inode)
      return as(theirs_node(*theirs_, owners_), *theirs_);
    if (base_ != nullptr && base_->inode != 0 && stat.inode == base_->inode && view_.is_skel_inode(stat.inode))
      return as(base_node(*base_, theirs_, owners_), *base_);
    // A tenant that may set the flag has said that this file is not to be touched.
    observed_.in_use = stat.immutable;
    const bool maybe_base = could_be(stat, base_, owners_.base), maybe_theirs = could_be(stat, theirs_, owners_.theirs);
    if (!maybe_base && !maybe_theirs) return std::move(observed_);
    auto opened = sys::open_pinned(pinned);
    if (!opened && (opened.error().code == EAGAIN || opened.error().code == ETXTBSY)) {
      observed_.in_use = true;  // a tenant's lease (fcntl(2): EWOULDBLOCK)
      return std::move(observed_);
    }
    observed_.file = TRY(std::move(opened));
    const Fd& file = *observed_.file;
    TRY(look_for_writers(file));
    TRY(look_at_xattrs(file));
    if (maybe_base && observed_.node.xattrs == base_node(*base_, theirs_, owners_).xattrs) TRY(compare_with_base(file));
    const bool open_still = observed_.node.content == kMine && !(base_ != nullptr && base_->as_newest && compared_);
    if (maybe_theirs && open_still && observed_.node.xattrs == kTheirs) TRY(compare_with_theirs(file));
    observed_.compared_under_lease = leased_ && view_.ctime_tells(stat);
    return std::move(observed_);
  }

 private:
  void start(const sys::Stat& stat) {
    observed_.stat = stat;
    observed_.node = {stat.type, stat.mode, stat.uid, stat.gid, kMine, kMine, stat.mtime};
  }
  /// The skel's inode: all of it, but with the owners that it has in the skel.
  Result<Observed> as(Node node, const TreeNode& skels) {
    node.uid = observed_.node.uid;
    node.gid = observed_.node.gid;
    observed_.node = node;
    if (owners_.base.changes(skels) || owners_.theirs.changes(skels)) {
      observed_.node.xattrs = kMine;
      xattrs(skels.entry->xattrs());
    }
    return std::move(observed_);
  }
  void content(bool is_theirs, bool is_base) {
    if (is_base) observed_.node.content = base_node(*base_, theirs_, owners_).content;
    if (is_theirs) observed_.node.content = kTheirs;
  }
  void xattrs(const std::optional<Hash128>& hash) {
    if (base_ != nullptr && hash == owners_.base.xattrs(*base_))
      observed_.node.xattrs = base_node(*base_, theirs_, owners_).xattrs;
    if (theirs_ != nullptr && hash == owners_.theirs.xattrs(*theirs_)) observed_.node.xattrs = kTheirs;
  }

  /// A hash of the tenant's making finds and does not prove: the attributes themselves are compared.
  Result<> look_at_xattrs(const Fd& file) {
    const auto mine = TRY(sys::xattrs(file));
    const auto hash = hash_xattrs(mine);
    xattrs(hash);
    if (mine.empty()) return {};
    for (const auto& [node, owners] : {std::pair(base_, &owners_.base), std::pair(theirs_, &owners_.theirs)}) {
      if (node == nullptr || node->type() != sys::FileType::regular || owners->xattrs(*node) != hash) continue;
      if (mapped(TRY(sys::xattrs(TRY(files_.open(*node)))), owners->ids()) != mine) observed_.node.xattrs = kMine;
    }
    return {};
  }

  /// Where the file system has no leases nothing can be said here; the tenant has to be still then.
  Result<> look_for_writers(const Fd& file) {
    auto lease = sys::take_read_lease(file);
    leased_ = lease && *lease;
    if (lease && !*lease) observed_.in_use = true;
    if (!lease && lease.error().code != EINVAL) return std::unexpected(std::move(lease).error());
    return {};
  }

  /// With a file of the skel's, of the same size. Under a lease nobody writes: then two files that are the same blocks
  /// are the same bytes, which spares reading large ones.
  Result<Comparison> compare(const TreeNode& node, const Fd& file) {
    const Fd original = TRY(files_.open(node));
    const std::uint64_t size = observed_.stat.size;
    const bool may_be_clones = leased_ && view_.has_clones() && observed_.stat.device == view_.device();
    if (may_be_clones && size > kSmallFile && TRY(sys::are_same_blocks(original, file))) return Comparison{true, 0};
    return compare_content(original, file, size);
  }

  Result<> compare_with_base(const Fd& file) {
    compared_ = true;
    const std::uint64_t number = base_node(*base_, theirs_, owners_).content;
    // Neither in the current tree nor kept: what is left is its SHA-256, if it has one.
    const TreeNode* const stands = base_->as_newest ? theirs_ : base_;
    const bool at_hand = base_->as_newest || base_->kept_in != 0;
    if (!at_hand && !base_->entry->sha256()) return {};
    if (at_hand) {
      const Comparison compared = TRY(compare(*stands, file));
      observed_.bytes_read += compared.bytes_read;
      if (!compared.same) return {};
    } else {
      const ContentHash hash = TRY(hash_file(file, WithSha256::yes));
      observed_.bytes_read += observed_.stat.size;
      if (hash.sha256 != base_->entry->sha256()) return {};
    }
    observed_.node.content = number;
    observed_.proof_of_base = !at_hand ? Proof::digest : base_->as_newest ? Proof::theirs : Proof::base;
    return {};
  }

  Result<> compare_with_theirs(const Fd& file) {
    const Comparison compared = TRY(compare(*theirs_, file));
    observed_.bytes_read += compared.bytes_read;
    if (compared.same) observed_.node.content = kTheirs;
    return {};
  }

  const SkelView& view_;
  SkelFiles& files_;
  const SideOwners& owners_;
  const TreeNode* base_;
  const TreeNode* theirs_;
  bool compared_ = false, leased_ = false;
  Observed observed_;
};

}  // namespace

Node theirs_node(const TreeNode& theirs, const SideOwners& owners) {
  const ManifestEntry& entry = *theirs.entry;
  const std::uint64_t content = theirs.is_directory() ? 0 : kTheirs;
  return {entry.type, entry.mode, owners.theirs.user(theirs), owners.theirs.group(theirs), content,
          kTheirs,    entry.mtime};
}

Node base_node(const TreeNode& base, const TreeNode* theirs, const SideOwners& owners) {
  const ManifestEntry& entry = *base.entry;
  const std::uint64_t content = base.is_directory() ? 0 : kBase;
  Node node{entry.type, entry.mode, owners.base.user(base), owners.base.group(base), content, kBase, entry.mtime};
  if (theirs == nullptr) return node;
  if (owners.base.xattrs(base) == owners.theirs.xattrs(*theirs)) node.xattrs = kTheirs;
  // Equal hashes beside different metadata only name the row; where all else is equal as_newest decides, by bytes.
  const bool may_be_the_same = base.as_newest || !look_the_same(entry, *theirs->entry);
  const ManifestEntry& other = *theirs->entry;
  if (may_be_the_same && entry.type == other.type && entry.size == other.size && entry.content == other.content &&
      entry.link_target() == other.link_target() && entry.rdev() == other.rdev() && !base.is_directory())
    node.content = kTheirs;
  return node;
}

Result<Observed> Observer::directory(const DirFd& dir, const TreeNode* base, const TreeNode* theirs) const {
  const sys::Stat stat = TRY(sys::stat(dir));
  const auto xattrs = TRY(sys::xattrs(dir));
  Observed observed;
  observed.stat = stat;
  observed.node = {stat.type, stat.mode, stat.uid, stat.gid, 0, kMine, stat.mtime};
  const auto hash = hash_xattrs(xattrs);
  if (base != nullptr && hash == owners_.base.xattrs(*base))
    observed.node.xattrs = base_node(*base, theirs, owners_).xattrs;
  if (theirs != nullptr && hash == owners_.theirs.xattrs(*theirs)) observed.node.xattrs = kTheirs;
  return observed;
}

Result<std::optional<Observed>> Observer::at(const DirFd& dir, Name name, const TreeNode* base,
                                             const TreeNode* theirs) {
  const auto mounted_over = [&]() -> Result<std::optional<Observed>> {
    const auto stat = TRY(sys::stat_if_there(dir, name));
    if (!stat) return std::nullopt;
    Observed observed;
    observed.stat = *stat;
    observed.node = {stat->type, stat->mode, stat->uid, stat->gid, kMine, kMine, stat->mtime};
    observed.mounted = true;
    return observed;
  };
  auto pinned = sys::pin_if_there(dir, name);
  if (!pinned && pinned.error().code == EXDEV) return mounted_over();
  if (!pinned) return std::unexpected(std::move(pinned).error());
  if (!*pinned) return std::nullopt;
  const sys::Stat& stat = (*pinned)->stat;
  if (stat.mount_root) return mounted_over();
  Look look(view_, files_, owners_, base, theirs);
  auto looked = [&]() -> Result<Observed> {
    switch (stat.type) {
      case sys::FileType::regular:
        return look.at_file(**pinned);
      case sys::FileType::symlink:
        return look.at_symlink(dir, name, stat);
      default:
        return look.at_special(stat);
    }
  }();
  if (!looked && looked.error().code == ENOENT) return std::nullopt;   // a running tenant removed it meanwhile
  if (!looked && looked.error().code == EXDEV) return mounted_over();  // since it was looked at
  return TRY(std::move(looked));
}

}  // namespace vskel
