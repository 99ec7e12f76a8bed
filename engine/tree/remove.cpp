// A node is one directory, held by its unfinished children; the last of them removes it, so that rmdir goes bottom-up
// without anybody waiting. Directories below kFlattenDepth are renamed up to the root of the tree and removed from
// there: however deep a tenant nested, descriptors and node chains stay short. No further up: who stands in one of
// them, in a vserver that is removed, would climb from there to the host. A subvolume of btrfs, which a tenant may
// make, is another file system to rename(2): what is deep in it is moved up to its own root, and it itself to that of
// the tree.

#include "engine/tree/remove.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>
#include <optional>

#include "engine/sys/processes.h"
#include "engine/tree/ledger.h"
#include "engine/tree/listing.h"
#include "engine/tree/task_group.h"

namespace vskel {

namespace {

constexpr unsigned kFlattenDepth = 64;
constexpr std::uint32_t kProtecting = sys::kImmutableFlag | sys::kAppendFlag;

struct Removal {
  const DirFd& top;      ///< where the tree stands
  const InTurn& in_turn;
  std::uint64_t device;  ///< of `top`, where there may be subvolumes; else 0
  TaskGroup tasks;
  std::atomic<unsigned> moved_up{0};
  std::mutex mutex;  ///< guards error
  std::optional<Error> error;

  /// The first; but that a directory is not empty may be what another error led to.
  void note(Error next) {
    const std::scoped_lock lock(mutex);
    if (!error || error->code == ENOTEMPTY) error = std::move(next);
  }
};

/// One at a time lifts the seal of an inode: names of one are removed side by side, and a seal put back in between
/// stops the other.
std::mutex& seal_mutex_of(std::uint64_t inode) {
  static std::array<std::mutex, 64> mutexes;
  return mutexes[inode % mutexes.size()];
}

/// Takes immutable and append-only off what stands in the way of unlinking `name`, in the directory and on the inode
/// itself, and removes it; puts a seal back on an inode that has other names.
Result<> unlink_protected(const DirFd& dir, Name name) {
  if (auto flags = sys::flags(dir); flags && (*flags & kProtecting) != 0)
    TRY(sys::set_flags(dir, *flags & ~kProtecting));
  auto opened = sys::open_file(dir, name);
  if (!opened) return sys::unlink(dir, name);  // symlinks and devices have no flags of their own
  const sys::Stat stat = TRY(sys::stat(*opened));
  const LedgerEntry ledger(stat);
  // Who has it open for writing already was told of, or is, by whoever gives its inode to somebody.
  const LedgerWatch watch = TRY(LedgerWatch::begin(std::move(*opened), LedgerWatch::Older::let));
  const Fd& file = watch.file();
  const std::scoped_lock lock(seal_mutex_of(stat.inode));
  // Another process may work on another name of the inode, and seal it between our two calls.
  constexpr int kAttempts = 100;
  for (int attempt = 1;; ++attempt) {
    const std::uint32_t before = TRY(sys::flags(file));
    if ((before & kProtecting) != 0) TRY(sys::set_flags(file, before & ~kProtecting));
    auto gone = sys::unlink_if_there(dir, name);
    if ((before & kProtecting) != 0) {
      const auto left = sys::stat(file);
      if (!left || left->nlink > 0) TRY(sys::set_flags(file, before));
      if (TRY(left).nlink > 0 && (before & sys::kImmutableFlag) != 0) {
        TRY(watch.check(dir, name));
        TRY(ledger.check(dir, name, TRY(sys::stat(file))));
      }
    }
    if (gone || gone.error().code != EPERM || attempt == kAttempts) return gone;
  }
}

Result<> unlink_any(const DirFd& dir, Name name, const InTurn& in_turn) {
  auto gone = sys::unlink_if_there(dir, name);
  if (gone || (gone.error().code != EPERM && gone.error().code != EACCES)) return gone;
  const auto unlink = [&] { return unlink_protected(dir, name); };
  return in_turn ? in_turn(unlink) : unlink();
}

Result<> remove_dir_any(const DirFd& parent, const DirFd* self, Name name) {
  auto gone = sys::remove_dir(parent, name);
  if (gone || gone.error().code != EPERM) return gone;
  for (const DirFd* dir : {&parent, self}) {
    if (dir == nullptr || !dir->open()) continue;
    if (auto flags = sys::flags(*dir); flags && (*flags & kProtecting) != 0)
      TRY(sys::set_flags(*dir, *flags & ~kProtecting));
  }
  return sys::remove_dir(parent, name);
}

struct Node {
  Removal& removal;
  std::shared_ptr<Node> parent;  ///< null for the root of the tree
  std::string name;
  unsigned depth;
  std::shared_ptr<Node> subvolume;  ///< the root of the one that it is in; null: that of `top`
  std::uint64_t device = 0;         ///< of what is below it, where there may be subvolumes
  DirFd dir;
  bool stays = false;

  Node(Removal& in, std::shared_ptr<Node> above, std::string own_name, unsigned own_depth,
       std::shared_ptr<Node> own_subvolume)
      : removal(in),
        parent(std::move(above)),
        name(std::move(own_name)),
        depth(own_depth),
        subvolume(std::move(own_subvolume)) {}
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  [[nodiscard]] const DirFd& above() const { return parent ? parent->dir : removal.top; }

  /// The last holder is the last child (or the visit itself): now the directory is empty. Where a name in it could not
  /// be removed it stays even so: a seal may be lifted still, and what is left of the tree says so to the next recover.
  ~Node() {
    if (stays) return;
    if (auto gone = remove_dir_any(above(), &dir, *Name::check(name)); !gone && gone.error().code != ENOENT)
      removal.note(std::move(gone).error());
  }
};

void visit(const std::shared_ptr<Node>& node);

/// Gives the new name. In a subvolume the tenant may have taken it.
Result<std::string> rename_up(Removal& removal, const DirFd& from, Name name, const DirFd& to) {
  for (;;) {
    std::string fresh = "deep." + std::to_string(sys::own_pid()) + "." + std::to_string(removal.moved_up.fetch_add(1));
    const auto moved = sys::rename_new(from, name, to, *Name::check(fresh));
    if (moved) return fresh;
    if (moved.error().code != EEXIST) return std::unexpected(moved.error());
  }
}

/// Moves a directory that is too deep as far up as it goes, under a name of its own. `subvolume` as in Node.
std::shared_ptr<Node> move_up(const std::shared_ptr<Node>& node, Name name, const std::shared_ptr<Node>& subvolume) {
  Removal& removal = node->removal;
  std::shared_ptr<Node> root = node;
  while (root->parent) root = root->parent;
  auto moved = rename_up(removal, node->dir, name, root->dir);
  const bool is_subvolume = root->device != removal.device;
  if (moved) return std::make_shared<Node>(removal, root, std::move(*moved), 1, is_subvolume ? root : root->subvolume);
  if (moved.error().code == EXDEV && subvolume != nullptr) {
    // At its root it may stand already.
    if (subvolume == node)
      return std::make_shared<Node>(removal, node, std::string(name.view()), node->depth + 1, node);
    moved = rename_up(removal, node->dir, name, subvolume->dir);
    if (moved) return std::make_shared<Node>(removal, subvolume, std::move(*moved), subvolume->depth + 1, subvolume);
  }
  removal.note(std::move(moved).error());
  return nullptr;
}

/// The subvolume that the children of an opened directory are in.
Result<std::shared_ptr<Node>> subvolume_below(const std::shared_ptr<Node>& node) {
  if (node->removal.device == 0) return nullptr;
  node->device = TRY(sys::stat(node->dir)).device;
  if (node->device == (node->parent ? node->parent->device : node->removal.device)) return node->subvolume;
  TRY(sys::make_subvolume_writable(node->dir));
  return node;
}

Result<> empty(const std::shared_ptr<Node>& node) {
  node->dir = TRY(sys::open_dir(node->above(), *Name::check(node->name)));
  const std::shared_ptr<Node> subvolume = TRY(subvolume_below(node));
  const Listing listing = TRY(Listing::read(node->dir));
  for (const Listed& listed : listing.entries()) {
    if (listed.type != sys::FileType::directory) {
      if (auto gone = unlink_any(node->dir, listed.name, node->removal.in_turn); !gone) {
        node->stays = true;
        node->removal.note(std::move(gone).error());
      }
      continue;
    }
    const bool deep = node->depth >= kFlattenDepth;
    auto child =
        deep ? move_up(node, listed.name, subvolume)
             : std::make_shared<Node>(node->removal, node, std::string(listed.name.view()), node->depth + 1, subvolume);
    if (child == nullptr) continue;
    auto holder = std::make_shared<std::shared_ptr<Node>>(std::move(child));
    node->removal.tasks.run([holder] {
      visit(*holder);
      holder->reset();
    });
  }
  return {};
}

void visit(const std::shared_ptr<Node>& node) {
  if (auto emptied = empty(node); !emptied && emptied.error().code != ENOENT)
    node->removal.note(std::move(emptied).error());
}

}  // namespace

Result<> remove_tree(const DirFd& dir, Name name, const InTurn& in_turn) {
  const auto stat = TRY(sys::stat_if_there(dir, name));
  if (!stat) return {};
  if (stat->type != sys::FileType::directory) return unlink_any(dir, name, in_turn);
  const bool has_subvolumes = TRY(sys::file_system(dir)).type == "btrfs";
  const std::uint64_t device = has_subvolumes ? TRY(sys::stat(dir)).device : 0;
  Removal removal{dir, in_turn, device, {}, {}, {}, {}};
  removal.tasks.run_and_wait(
      [&] { visit(std::make_shared<Node>(removal, nullptr, std::string(name.view()), 0, nullptr)); });
  if (removal.error) return std::unexpected(std::move(*removal.error));
  return {};
}

}  // namespace vskel
