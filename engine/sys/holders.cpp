#include "engine/sys/holders.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <tuple>

#include "engine/sys/call.h"
#include "engine/sys/kernel.h"
#include "engine/sys/proc.h"

namespace vskel::sys {

namespace {

constexpr unsigned kWantedOfStatx = STATX_TYPE | STATX_INO | STATX_MNT_ID;
constexpr int kAbsolute = -1;
constexpr std::uint64_t kNoMount = 0;

/// An object behind one of /proc's links.
struct Seen {
  FileId id;
  std::uint64_t mount = kNoMount;  ///< number of the mount that it was opened by; kNoMount before Linux 5.8
  bool directory = false, regular = false, immutable = false;
};

/// nullopt, with the reason in errno, if it can't be had.
std::optional<Seen> look_at(int dir, const char* path, int flags) {
  struct statx raw {};
  if (::statx(dir, path, flags | AT_STATX_DONT_SYNC, kWantedOfStatx, &raw) != 0) return std::nullopt;
  return Seen{{makedev(raw.stx_dev_major, raw.stx_dev_minor), raw.stx_ino},
              (raw.stx_mask & STATX_MNT_ID) != 0 ? raw.stx_mnt_id : kNoMount,
              S_ISDIR(raw.stx_mode),
              S_ISREG(raw.stx_mode),
              (raw.stx_attributes & STATX_ATTR_IMMUTABLE) != 0};
}
std::optional<Seen> look_at(const std::string& path) { return look_at(kAbsolute, path.c_str(), 0); }

/// What one of /proc's links leads to; nothing is done to it. Not open if it is gone.
Fd pin(const std::string& link, int flags) { return Fd(::open(link.c_str(), O_PATH | O_CLOEXEC | flags)); }

bool is_same_place(const Seen& one, const Seen& other) { return one.id == other.id && one.mount == other.mount; }

/// File systems whose files are those of others, by directories that the kernel keeps.
bool is_stack(const std::string& type) { return type == "overlay" || type == "ecryptfs"; }
bool is_stack(const struct statfs& raw) {
  constexpr unsigned long kOverlay = 0x794c7630;  // linux/magic.h: OVERLAYFS_SUPER_MAGIC
  constexpr unsigned long kEcryptfs = 0xf15f;
  const auto magic = static_cast<unsigned long>(raw.f_type) & 0xffffffffUL;
  return magic == kOverlay || magic == kEcryptfs;
}

/// The directories that an overlay's options name (fs/overlayfs/params.c): "lowerdir=/a:/b", "lowerdir+=/c",
/// "datadir+=/d", "upperdir=/e"; commas and colons in names have a backslash.
std::vector<std::string> layers_of(const std::string& options) {
  std::vector<std::string> out;
  std::string word;
  bool is_layer = false;
  const auto end_word = [&] {
    if (is_layer && !word.empty()) out.push_back(word);
    word.clear();
  };
  for (std::size_t at = 0; at < options.size(); ++at) {
    const char one = options[at];
    if (one == '\\' && at + 1 < options.size()) {
      word += options[++at];
    } else if (one == ',') {
      end_word();
      is_layer = false;
    } else if (one == '=' && !is_layer) {
      is_layer = word == "lowerdir" || word == "lowerdir+" || word == "datadir+" || word == "upperdir";
      word.clear();
    } else if (one == ':' && is_layer) {
      end_word();
    } else {
      word += one;
    }
  }
  end_word();
  return out;
}

/// The tree, and where things are in relation to it.
class HeldTree {
 public:
  /// Where something is: not in the tree, or in it, below which of its entries if that is known.
  struct Place {
    bool inside = false;
    std::optional<FileId> member;
  };

  static Result<HeldTree> of(const DirFd& dir) {
    HeldTree out(dir);
    const auto self = look_at(dir.number(), "", AT_EMPTY_PATH);
    if (!self) return detail::failed("look for tenants", dir, "", errno);
    out.id_ = self->id;
    out.place_ = TRY(place_in_file_system(dir));
    out.has_subvolumes_ = TRY(file_system(dir)).type == "btrfs";
    for (detail::Mount& mount : TRY(detail::mounts_of(own_pid()))) {
      out.own_devices_.insert(mount.tree.device);
      if (is_stack(mount.type) && out.is_over_this(mount)) out.over_this_.insert(mount.tree.device);
      out.mounts_.emplace(static_cast<std::uint64_t>(mount.id), std::move(mount));
    }
    return out;
  }

  [[nodiscard]] const std::optional<MountedTree>& place() const { return place_; }
  [[nodiscard]] FileId id() const { return id_; }
  /// Whether this process's mount namespace shows it, too.
  [[nodiscard]] bool is_mounted_here(const MountedTree& tree) const {
    return std::ranges::any_of(mounts_, [&](const auto& mount) {
      return mount.second.tree.device == tree.device && mount.second.tree.root == tree.root;
    });
  }
  /// Whether it is of a file system over others that this process has not mounted.
  bool is_of_other_stack(const std::string& path, const Seen& seen) {
    if (major(seen.id.device) != 0 || own_devices_.contains(seen.id.device)) return false;
    if (const auto known = stacks_.find(seen.id.device); known != stacks_.end()) return known->second;
    const Fd opened = pin(path, 0);
    struct statfs raw {};
    if (!opened.open() || ::fstatfs(opened.number(), &raw) != 0) return false;  // gone meanwhile: nothing was learnt
    return stacks_[seen.id.device] = is_stack(raw);
  }
  [[nodiscard]] bool is_other_stack(const detail::Mount& mount) const {
    return is_stack(mount.type) && !own_devices_.contains(mount.tree.device);
  }
  /// The device of the file system as /proc/PID/maps has it.
  [[nodiscard]] std::uint64_t device_of_mappings() const { return place_ ? place_->device : id_.device; }

  /// `path` is the magic link by which `seen` was seen.
  Place place_of(const std::string& path, const Seen& seen) {
    if (over_this_.contains(seen.id.device)) return {true, {}};
    if (seen.directory) return place_of_directory(path, seen);
    return may_be_here(seen) ? place_of_file(path, seen) : Place{};
  }

 private:
  explicit HeldTree(const DirFd& dir) : dir_(dir) {}

  /// By the names that it was mounted by; ecryptfs has one as its source alone.
  bool is_over_this(const detail::Mount& mount) {
    return std::ranges::any_of(layers_of(mount.options), [&](const std::string& layer) {
      const auto seen = look_at(layer);
      return seen && place_of(layer, *seen).inside;
    });
  }

  /// Subvolumes of one btrfs have devices of their own, which no hardware has.
  [[nodiscard]] bool may_be_here(const Seen& seen) const {
    return seen.id.device == id_.device || (has_subvolumes_ && major(seen.id.device) == 0);
  }

  Place place_of_directory(const std::string& path, const Seen& seen) {
    const std::tuple key(seen.id, seen.mount);
    if (const auto known = directories_.find(key); known != directories_.end()) return known->second;
    Fd opened = pin(path, O_DIRECTORY);
    if (!opened.open()) return {};  // gone meanwhile: nothing was learnt
    const auto now = look_at(opened.number(), "", AT_EMPTY_PATH);
    if (!now || !is_same_place(*now, seen)) return {};
    return directories_[key] = look_up(std::move(opened), path, seen);
  }

  Place look_up(Fd opened, const std::string& path, const Seen& seen) {
    Fd by_handle;
    const bool known = !may_be_here(seen) || on_own_mount(opened, seen, by_handle);
    // By the mounts as well: what is mounted in the tree is in it, whatever file system that is.
    if (const Place place = climb(std::move(opened)); place.inside) return place;
    if (by_handle.open()) return climb(std::move(by_handle));
    return known ? Place{} : place_of_file(path, seen);
  }

  /// The same directory on the tree's own mount. False if the kernel can't tell.
  bool on_own_mount(const Fd& opened, const Seen& seen, Fd& out) const {
    struct {
      file_handle handle;
      std::array<unsigned char, MAX_HANDLE_SZ> bytes;
    } buffer{};
    buffer.handle.handle_bytes = MAX_HANDLE_SZ;
    int mount = 0;
    if (::name_to_handle_at(opened.number(), "", &buffer.handle, &mount, AT_EMPTY_PATH) != 0) return false;
    Fd found(::open_by_handle_at(dir_.number(), &buffer.handle, O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto now = found.open() ? look_at(found.number(), "", AT_EMPTY_PATH) : std::nullopt;
    if (!now || now->id != seen.id) return major(seen.id.device) == 0 && seen.id.device != id_.device;
    out = std::move(found);
    return true;
  }

  /// Up to the root of the tree, or of all that is to be seen: the kernel leads nobody out of a mount in whose part of
  /// the file system he is not.
  [[nodiscard]] Place climb(Fd current) const {
    constexpr int kHighest = 4096;
    std::optional<Seen> below;
    for (int height = 0; current.open() && height < kHighest; ++height) {
      const auto here = look_at(current.number(), "", AT_EMPTY_PATH);
      if (!here || (below && is_same_place(*here, *below))) return {};
      if (here->id == id_) return {true, below ? std::optional(below->id) : std::nullopt};
      below = here;
      current = Fd(::openat(current.number(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
    return {};
  }

  /// By the kernel's path, where that begins at one of our mounts.
  Place place_of_file(const std::string& link, const Seen& seen) const {
    const auto mount = mounts_.find(seen.mount);
    if (mount == mounts_.end() || !place_) return {seen.directory || (seen.regular && seen.immutable), {}};
    std::array<char, 4096> text{};
    const ssize_t size = ::readlink(link.c_str(), text.data(), text.size());
    if (size < 0 && errno != ENAMETOOLONG) return {};  // gone meanwhile
    const std::string path(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    const MountedTree& mounted = mount->second.tree;
    const std::string& point = mount->second.mount_point;
    if (!detail::is_below(path, point)) return {seen.directory || seen.immutable, {}};
    std::string_view rest = std::string_view(path).substr(point == "/" ? 0 : point.size());
    const std::string within = (mounted.root == "/" ? "" : mounted.root) + std::string(rest);
    if (mounted.device != place_->device || !detail::is_below(within, place_->root)) return {};
    rest = std::string_view(within).substr(place_->root == "/" ? 0 : place_->root.size());
    return {true, member_of(rest)};
  }

  /// "/web1/usr/bin/ls" -> web1.
  [[nodiscard]] std::optional<FileId> member_of(std::string_view rest) const {
    while (rest.starts_with('/')) rest.remove_prefix(1);
    const std::string name(rest.substr(0, rest.find('/')));
    const auto member = look_at(dir_.number(), name.c_str(), AT_SYMLINK_NOFOLLOW);
    return member && !name.empty() ? std::optional(member->id) : std::nullopt;
  }

  const DirFd& dir_;
  FileId id_;
  bool has_subvolumes_ = false;
  std::optional<MountedTree> place_;
  std::map<std::uint64_t, detail::Mount> mounts_;  ///< of our mount namespace
  std::map<std::tuple<FileId, std::uint64_t>, Place> directories_;
  std::set<std::uint64_t> own_devices_, over_this_;  ///< of what is mounted here; of those, over the tree
  std::map<std::uint64_t, bool> stacks_;             ///< by device, of others
};

struct Task {
  int pid = 0;
  detail::TaskStat stat;
};

/// /proc/stat, "processes": threads are counted, too.
Result<std::uint64_t> tasks_begun() {
  const std::string text = TRY(detail::read_long("/proc/stat"));
  const std::size_t at = text.find("\nprocesses ");
  unsigned long long count = 0;
  if (at == text.npos || std::sscanf(text.c_str() + at, "\nprocesses %llu", &count) != 1)
    return fail("look for tenants", "/proc/stat", "the kernel does not count processes there");
  return count;
}

class HoldersSearch {
 public:
  explicit HoldersSearch(HeldTree tree) : tree_(std::move(tree)) {}

  Result<HoldersLook> look() {
    HoldersLook out;
    out.tasks_before = TRY(tasks_begun());
    TRY(know_own());
    const std::vector<Task> tasks = TRY(all_tasks());
    const std::set<int> ours = known_to_be_ours(tasks);
    for (const Task& task : tasks)
      if (!ours.contains(task.pid) && !task.stat.of_kernel)
        if (auto holder = inspect(task)) out.holders.push_back(std::move(*holder));
    add_hidden_mounts(out.holders);
    out.tasks_after = TRY(tasks_begun());
    return out;
  }

 private:
  struct Found {
    Hold hold;
    std::optional<FileId> member;
  };
  struct Spaces {
    std::uint64_t user = 0, pid = 0, mount = 0;
    friend bool operator==(const Spaces&, const Spaces&) = default;
  };

  Result<> know_own() {
    const auto root = look_at("/proc/self/root"), program = look_at("/proc/self/exe");
    const auto stat = detail::stat_of(own_pid());
    if (!root || !program || !stat) return fail("look for tenants", "/proc/self", "this process is not in /proc");
    own_root_ = *root;
    own_program_ = program->id;
    own_group_ = stat->group;
    own_spaces_ = spaces_of("/proc/self/");
    return {};
  }

  static Spaces spaces_of(const std::string& directory) {
    const auto number = [&](const char* which) {
      const auto seen = look_at(directory + "ns/" + which);
      return seen ? seen->id.inode : 0;
    };
    return {number("user"), number("pid"), number("mnt")};
  }

  static Result<std::vector<Task>> all_tasks() {
    std::vector<Task> out;
    const detail::Directory listing = detail::open_listing("/proc");
    if (listing == nullptr) return fail("open", "/proc", errno);
    while (const dirent* entry = ::readdir(listing.get()))
      if (const auto pid = detail::number_of(entry->d_name))
        if (auto stat = detail::stat_of(*pid)) out.push_back({*pid, std::move(*stat)});
    return out;
  }

  [[nodiscard]] bool is_another_of_us(int pid) const {
    const auto program = look_at(detail::proc(pid, "exe")), root = look_at(detail::proc(pid, "root"));
    return program && program->id == own_program_ && root && is_same_place(*root, own_root_) &&
           spaces_of(detail::proc(pid, "")) == own_spaces_;
  }

  [[nodiscard]] std::set<int> known_to_be_ours(const std::vector<Task>& tasks) const {
    std::map<int, int> parents;
    for (const Task& task : tasks) parents.emplace(task.pid, task.stat.parent);
    std::set<int> roots = {own_pid()}, out;
    for (const Task& task : tasks)
      if (!task.stat.of_kernel && is_another_of_us(task.pid)) roots.insert(task.pid);
    for (const Task& task : tasks) {
      std::set<int> above;
      for (int pid = task.pid; pid != 0 && above.insert(pid).second;) {
        if (roots.contains(pid)) out.insert(task.pid);
        const auto parent = parents.find(pid);
        pid = parent == parents.end() ? 0 : parent->second;
      }
      if (task.pid == own_pid()) out.merge(above);
    }
    return out;
  }

  /// A zombie holds nothing, unless other threads of its process go on.
  static bool is_dead(const detail::TaskStat& stat) {
    return stat.threads <= 1 && (stat.state == 'Z' || stat.state == 'X');
  }

  std::optional<Holder> inspect(const Task& task) {
    looked_at_ = task.pid;
    auto found = inspect_once(task);
    // What goes while it is looked at may say EACCES (fs/proc/base.c: proc_pid_get_link): then it is gone by now.
    if (denied_) found = inspect_once(task);
    const auto now = detail::stat_of(task.pid);
    if (!now || now->start != task.stat.start || is_dead(*now)) return std::nullopt;
    if (!found && denied_) found = Found{Hold::hidden, {}};
    // What was a shell about to begin one of us when all were listed may have become it before it was looked at.
    if (!found || is_another_of_us(task.pid)) return std::nullopt;
    return Holder{{task.pid, task.stat.start}, task.stat.name, found->hold, found->member, groups_of(task.pid)};
  }

  std::optional<Found> inspect_once(const Task& task) {
    denied_ = stacked_ = false;
    const bool in_pipeline = task.stat.group == own_group_;
    std::optional<Found> found;
    if (task.stat.threads <= 1) found = inspect_thread(task.pid, detail::proc(task.pid, ""), in_pipeline);
    if (task.stat.threads > 1)
      detail::for_each_thread(task.pid, [&](int thread) {
        if (thread == task.pid || !shares(task.pid, thread))
          found = inspect_thread(thread, detail::proc(task.pid, "task/" + std::to_string(thread) + "/"), in_pipeline);
        return !found;
      });
    if (!found) found = by_mappings(task.pid);
    // Last, because what is known speaks against him even where he is trusted.
    if (!found && stacked_) found = Found{Hold::stacked, {}};
    return found ? found : by_namespace(task.pid);
  }

  /// Whether two threads have directories and descriptors in common; namespaces are then the same, too.
  static bool shares(int pid, int thread) {
    return ::syscall(SYS_kcmp, pid, thread, KCMP_FS, 0, 0) == 0 &&
           ::syscall(SYS_kcmp, pid, thread, KCMP_FILES, 0, 0) == 0;
  }

  std::optional<Seen> look(const std::string& path) {
    auto seen = look_at(path);
    denied_ = denied_ || (!seen && (errno == EACCES || errno == EPERM));
    return seen;
  }

  std::optional<Found> by_link(const std::string& path, Hold hold) {
    const auto seen = look(path);
    if (!seen) return std::nullopt;
    const HeldTree::Place place = tree_.place_of(path, *seen);
    if (!place.inside && tree_.is_of_other_stack(path, *seen)) stacked_ = true;
    return place.inside ? std::optional(Found{hold, place.member}) : std::nullopt;
  }

  std::optional<Found> inspect_thread(int thread, const std::string& directory, bool in_pipeline) {
    const auto root = look(directory + "root");
    if (root && !is_same_place(*root, own_root_))
      if (auto found = by_link(directory + "root", Hold::root)) return found;
    if (!in_pipeline || !root || !is_same_place(*root, own_root_))
      if (auto found = by_link(directory + "cwd", Hold::working_directory)) return found;
    if (auto found = by_descriptors(directory)) return found;
    return root ? by_mounts(thread, directory, *root) : std::nullopt;
  }

  std::optional<Found> by_descriptors(const std::string& directory) {
    const detail::Directory listing = detail::open_listing(directory + "fd");
    if (listing == nullptr) {
      denied_ = denied_ || errno == EACCES || errno == EPERM;
      return std::nullopt;
    }
    while (const dirent* entry = ::readdir(listing.get()))
      if (entry->d_name[0] != '.')
        if (auto found = by_link(directory + "fd/" + entry->d_name, Hold::descriptor)) return found;
    return std::nullopt;
  }

  /// The program, and all mappings of files on the tree's device.
  std::optional<Found> by_mappings(int pid) {
    if (auto found = by_link(detail::proc(pid, "exe"), Hold::mapping)) return found;
    const auto text = detail::read_long(detail::proc(pid, "maps"));
    if (!text) {
      denied_ = denied_ || text.error().code == EACCES || text.error().code == EPERM;
      return std::nullopt;
    }
    std::set<unsigned long long> seen;
    for (std::string_view left = *text; !left.empty();) {
      const std::string line(left.substr(0, left.find('\n')));
      left.remove_prefix(std::min(left.size(), line.size() + 1));
      unsigned long long begin = 0, end = 0, inode = 0;
      unsigned major_number = 0, minor_number = 0;
      if (std::sscanf(line.c_str(), "%llx-%llx %*4s %*x %x:%x %llu", &begin, &end, &major_number, &minor_number,
                      &inode) != 5)
        continue;
      if (inode == 0 || makedev(major_number, minor_number) != tree_.device_of_mappings()) continue;
      if (!seen.insert(inode).second) continue;
      std::array<char, 48> range{};
      std::snprintf(range.data(), range.size(), "map_files/%llx-%llx", begin, end);
      if (auto found = by_link(detail::proc(pid, range.data()), Hold::mapping)) return found;
    }
    return std::nullopt;
  }

  /// What a process with another root or another mount namespace than ours has mounted.
  std::optional<Found> by_mounts(int thread, const std::string& directory, const Seen& root) {
    const auto space = look(directory + "ns/mnt");
    if (!space || (space->id.inode == own_spaces_.mount && is_same_place(root, own_root_))) return std::nullopt;
    const bool foreign = space->id.inode != own_spaces_.mount;
    if (foreign && !is_topmost(directory + "root"))
      covered_.push_back({looked_at_, space->id.inode});
    else if (foreign)
      open_spaces_.insert(space->id.inode);
    const std::tuple key(space->id.inode, root.id, root.mount);
    if (const auto known = mounted_.find(key); known != mounted_.end()) {
      stacked_ = stacked_ || known->second.stacked;
      return known->second.found;
    }
    const auto mounts = detail::mounts_of(thread);
    if (!mounts || mounts->empty() || !tree_.place()) return std::nullopt;
    Mounted seen;
    for (const detail::Mount& mount : *mounts) {
      // A service of the host's that has mounts of its own began, as a rule, with a copy of all of ours.
      const bool copy_of_ours = root.id == own_root_.id && tree_.is_mounted_here(mount.tree);
      if (mount.tree.is_within(*tree_.place()) && !copy_of_ours) seen.found = Found{Hold::mount, {}};
      if (tree_.is_other_stack(mount)) seen.stacked = true;
    }
    stacked_ = stacked_ || seen.stacked;
    mounted_[key] = seen;
    return seen.found;
  }

  /// Whether there is nothing above a root directory, so that all mounts of its namespace are to be seen from it.
  static bool is_topmost(const std::string& link) {
    const Fd root(::open(link.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root.open()) return true;  // gone meanwhile
    const auto here = look_at(root.number(), "", AT_EMPTY_PATH), above = look_at(root.number(), "..", 0);
    return here && above && is_same_place(*here, *above);
  }

  std::optional<Found> by_namespace(int pid) {
    const Spaces spaces = spaces_of(detail::proc(pid, ""));
    if (spaces.user == 0 || spaces.pid == 0) return std::nullopt;  // gone, or denied, which was noticed before
    if (spaces.user != own_spaces_.user) return Found{Hold::user_namespace, {}};
    if (spaces.pid != own_spaces_.pid) return Found{Hold::pid_namespace, {}};
    return std::nullopt;
  }

  /// Those whose root hides mounts from us, where nobody else shows what is mounted in their namespace.
  void add_hidden_mounts(std::vector<Holder>& holders) const {
    for (const auto& [pid, space] : covered_) {
      const auto is_it = [&](const Holder& holder) { return holder.id.pid == pid; };
      if (open_spaces_.contains(space) || std::ranges::any_of(holders, is_it)) continue;
      if (const auto stat = detail::stat_of(pid))
        holders.push_back({{pid, stat->start}, stat->name, Hold::hidden_mounts, {}, groups_of(pid)});
    }
  }

  /// Lines are "0::/system.slice/x" and "1:name=systemd:/system.slice/x" (cgroups(7)).
  static std::vector<std::string> groups_of(int pid) {
    std::vector<std::string> out;
    const std::string text = detail::read_small(detail::proc(pid, "cgroup"));
    for (std::string_view left = text; !left.empty();) {
      const std::string_view line = left.substr(0, left.find('\n'));
      left.remove_prefix(std::min(left.size(), line.size() + 1));
      const std::size_t first = line.find(':'), second = line.find(':', first + 1);
      if (first == line.npos || second == line.npos) continue;
      const std::string_view which = line.substr(first + 1, second - first - 1);
      if (which.empty() || which == "name=systemd") out.emplace_back(line.substr(second + 1));
    }
    return out;
  }

  /// What a root in a mount namespace has mounted.
  struct Mounted {
    std::optional<Found> found;
    bool stacked = false;
  };
  struct Covered {
    int pid;
    std::uint64_t space;  ///< its mount namespace
  };

  HeldTree tree_;
  Seen own_root_;
  FileId own_program_;
  int own_group_ = 0;
  Spaces own_spaces_;
  int looked_at_ = 0;
  bool denied_ = false, stacked_ = false;  ///< of the process that is looked at
  std::vector<Covered> covered_;
  std::set<std::uint64_t> open_spaces_;
  std::map<std::tuple<std::uint64_t, FileId, std::uint64_t>, Mounted> mounted_;
};

}  // namespace

Result<HoldersLook> find_holders(const DirFd& tree) { return HoldersSearch(TRY(HeldTree::of(tree))).look(); }

}  // namespace vskel::sys
