// Who made a clone is kept in a list of this room, so that a descriptor alone tells what it was opened in: by the id of
// its mount, which no other mount has while a descriptor of the clone is open.
//
// What is mounted on is known by its directory's inode and its name, since the inode itself may have further names that
// nothing is mounted on (a hard-linked file).

#include "engine/sys/mount_clone.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <optional>
#include <shared_mutex>

#include "engine/sys/call.h"
#include "engine/sys/kernel.h"
#include "engine/sys/processes.h"

namespace vskel::sys {

struct MountClone::State {
  /// A name that something is mounted on, in a directory of the clone.
  struct Covered {
    FileId dir;
    std::string name;
  };
  DirFd original;
  Fd tree;  ///< as open_tree(2) gave it: the clone is taken apart when it is closed
  std::uint64_t mount_id = 0;
  bool stops_links = false;
  std::vector<std::string> mount_points;
  std::vector<Covered> covered;  ///< sorted by name
};

namespace {

using State = MountClone::State;
using Covered = State::Covered;
using detail::Effect;

std::shared_mutex clones_mutex;  ///< guards the list
std::vector<std::shared_ptr<const State>> clones;
std::atomic<std::size_t> clone_count{0}, covered_count{0};

void enlist(const std::shared_ptr<const State>& state) {
  const std::unique_lock lock(clones_mutex);
  clones.push_back(state);
  clone_count += 1;
  covered_count += state->covered.size();
}

void delist(const std::shared_ptr<const State>& state) {
  const std::unique_lock lock(clones_mutex);
  if (std::erase(clones, state) == 0) return;  // it was not completed
  clone_count -= 1;
  covered_count -= state->covered.size();
}

/// 0 where the kernel does not tell (before Linux 5.8, which has no such clones either).
std::uint64_t mount_of(const Fd& fd) {
  struct statx what {};
  const bool told = ::statx(fd.number(), "", AT_EMPTY_PATH, STATX_MNT_ID, &what) == 0;
  return told && (what.stx_mask & STATX_MNT_ID) != 0 ? what.stx_mnt_id : 0;
}

std::shared_ptr<const State> clone_of(const Fd& fd) {
  if (clone_count == 0 || !fd.open()) return nullptr;
  const std::uint64_t id = mount_of(fd);
  const std::shared_lock lock(clones_mutex);
  const auto found = std::ranges::find(clones, id, [](const auto& state) { return state->mount_id; });
  return found == clones.end() ? nullptr : *found;
}

constexpr const char* kOperation = "clone mount";
constexpr std::uint64_t kAlways = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/// All that are mounted on under this name, in whatever directory.
auto with_name(const State& state, std::string_view name) {
  return std::ranges::equal_range(state.covered, name, {}, &Covered::name);
}

bool is_covered_somewhere(std::string_view name) {
  const std::shared_lock lock(clones_mutex);
  return std::ranges::any_of(clones, [&](const auto& state) { return !with_name(*state, name).empty(); });
}

Result<> set_attributes(const DirFd& dir, const Fd& tree, std::uint64_t attributes) {
  struct mount_attr wanted {};
  wanted.attr_set = attributes;
  wanted.propagation = MS_PRIVATE;  // else it would be a peer of its original, and be shown what is mounted there
  return detail::perform(kOperation, "mount_setattr", Effect::looks, dir, "", [&] {
    return ::syscall(SYS_mount_setattr, tree.number(), "", AT_EMPTY_PATH, &wanted, sizeof wanted);
  });
}

Result<Fd> clone_tree(const DirFd& dir) {
  return Fd(TRY(detail::attempt(kOperation, "open_tree", Effect::looks, dir, "", [&] {
    constexpr unsigned kFlags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
    return static_cast<int>(::syscall(SYS_open_tree, dir.number(), "", kFlags));
  })));
}

/// Where a mount point is by now; nullopt if it is gone, or others have moved it: then it is covered unseen, as what is
/// mounted later.
std::optional<Covered> find_covered(const DirFd& root, const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const auto dir = open_dirs(root, slash == path.npos ? std::string_view() : std::string_view(path).substr(0, slash));
  const auto what = dir ? stat(*dir) : Result<Stat>(std::unexpected(dir.error()));
  if (!what) return std::nullopt;
  return Covered{{what->device, what->inode}, slash == path.npos ? path : path.substr(slash + 1)};
}

}  // namespace

Result<MountClone> MountClone::of(const DirFd& dir) {
  const auto state = std::make_shared<State>();
  state->original = TRY(reopen(dir));
  state->tree = TRY(clone_tree(dir));
  auto set = set_attributes(dir, state->tree, kAlways | MOUNT_ATTR_NOSYMFOLLOW);
  state->stops_links = set.has_value();
  if (!set && set.error().code == EINVAL) set = set_attributes(dir, state->tree, kAlways);
  TRY(std::move(set));
  state->mount_id = mount_of(state->tree);
  if (state->mount_id == 0) return detail::failed(kOperation, dir, "", ENOSYS);
  state->mount_points = TRY(mount_points_below(state->original));
  MountClone clone(state);
  if (!state->mount_points.empty()) {
    const DirFd root = TRY(clone.open_root());
    for (const std::string& path : state->mount_points)
      if (auto covered = find_covered(root, path)) state->covered.push_back(std::move(*covered));
    std::ranges::sort(state->covered, {}, &Covered::name);
  }
  enlist(state);
  return clone;
}

bool MountClone::is_refusal(const Error& error) {
  return error.code == ENOSYS || error.code == EPERM || error.code == EACCES || error.code == EINVAL;
}

MountClone::MountClone(std::shared_ptr<const State> state) : state_(std::move(state)) {}
MountClone::MountClone(MountClone&&) noexcept = default;

MountClone& MountClone::operator=(MountClone&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

MountClone::~MountClone() {
  if (state_ != nullptr) delist(state_);
}

Result<DirFd> MountClone::open_root() const {
  return DirFd(TRY(detail::attempt("open", "openat", Effect::looks, state_->tree, "", [&] {
    return ::openat(state_->tree.number(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  })));
}

bool MountClone::stops_links() const { return state_->stops_links; }

const std::vector<std::string>& MountClone::mount_points() const { return state_->mount_points; }

Result<Fd> mount_without_links(const DirFd& dir) {
  // The kernel clones what is in this process's mounts only, and a clone of ours is in none.
  const DirFd original = TRY(detail::outside_of_clone(dir));
  Fd tree = TRY(clone_tree(original));
  TRY(set_attributes(original, tree, kAlways | MOUNT_ATTR_NOSYMFOLLOW));
  return tree;
}

namespace detail {

std::shared_ptr<const DirFd> original_of(const Fd& fd) {
  auto state = clone_of(fd);
  if (state == nullptr) return nullptr;
  const DirFd* const original = &state->original;
  return {std::move(state), original};
}

bool is_mounted_over(const Fd& dir, const char* name) {
  if (covered_count == 0 || !is_covered_somewhere(name)) return false;
  const auto state = clone_of(dir);
  const auto what = state ? stat(dir) : Result<Stat>(fail(kOperation, "", ENOENT));
  if (!what) return false;
  const FileId id{what->device, what->inode};
  const auto places = with_name(*state, name);
  return std::ranges::find(places, id, &Covered::dir) != places.end();
}

Result<DirFd> outside_of_clone(const DirFd& dir) {
  const auto original = original_of(dir);
  if (original == nullptr) return reopen(dir);
  const std::string path = path_in_mount(dir);
  if (!path.starts_with('/')) return failed("open", dir, "", ENOENT);
  DirFd outside = TRY(open_dirs(*original, std::string_view(path).substr(1)));
  const Stat here = TRY(stat(dir));
  const Stat there = TRY(stat(outside));
  if (here.device != there.device || here.inode != there.inode) return failed("open", dir, "", ENOENT);
  return outside;
}

}  // namespace detail

}  // namespace vskel::sys
