#include "engine/sys/processes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <memory>

#include "engine/sys/call.h"
#include "engine/sys/kernel.h"
#include "engine/sys/proc.h"

namespace vskel::sys {

using detail::Directory;
using detail::for_each_thread;
using detail::is_below;
using detail::Mount;
using detail::mounts_of;
using detail::number_of;
using detail::open_listing;
using detail::parse_stat;
using detail::proc;
using detail::read_small;
using detail::stat_of;

namespace {

constexpr int kNowhere = -1;  // the path that follows is absolute

/// nullopt, with the reason in errno, if it can't be had.
std::optional<FileId> id_of(int dir, const char* path, int flags) {
  struct stat what {};
  if (::fstatat(dir, path, &what, flags) != 0) return std::nullopt;
  return FileId{makedev(major(what.st_dev), minor(what.st_dev)), what.st_ino};
}

std::string root_of_thread(int pid, int thread) { return proc(pid, "task/" + std::to_string(thread) + "/root"); }

/// /proc has a directory for every thread, though it lists processes only.
std::uint64_t namespace_of(int thread, const char* which) {
  const auto id = id_of(kNowhere, proc(thread, which).c_str(), 0);
  return id ? id->inode : 0;
}

struct Views {
  std::vector<ThreadView> all;
  bool hidden = false;  ///< it is there, and we may not look at it
};

Views views_of(int pid, std::uint64_t threads) {
  Views views;
  const auto add = [&views](const std::string& path, int thread) {
    auto id = id_of(kNowhere, path.c_str(), 0);
    // EACCES is said, too, of a thread that goes while it is looked at (fs/proc/base.c: proc_pid_get_link); ENOENT then
    // at the next look.
    if (!id && errno == EACCES) id = id_of(kNowhere, path.c_str(), 0);
    // A thread that has ended is a zombie while it is the first of several.
    views.hidden = views.hidden || (!id && (errno == EACCES || errno == EPERM));
    if (!id) return;
    const std::uint64_t space = namespace_of(thread, "ns/mnt");
    const auto is_same = [&](const ThreadView& view) { return view.root == *id && view.mount_namespace == space; };
    if (std::ranges::none_of(views.all, is_same)) views.all.push_back({*id, space, thread});
  };
  if (threads <= 1) add(proc(pid, "root"), pid);
  if (views.all.empty())
    for_each_thread(pid, [&](int thread) {
      add(root_of_thread(pid, thread), thread);
      return true;
    });
  return views;
}

/// The mount that a descriptor was opened on (/proc/PID/fdinfo, "mnt_id:").
std::optional<int> mount_id_of(const Fd& fd) {
  const std::string text = read_small("/proc/self/fdinfo/" + std::to_string(fd.number()));
  const std::size_t at = text.find("mnt_id:");
  int id = 0;
  if (at == text.npos || std::sscanf(text.c_str() + at, "mnt_id: %d", &id) != 1) return std::nullopt;
  return id;
}

/// Through a descriptor of the process: between a look at its number and the signal it cannot become another.
Result<> send(const ProcessId& process, int signal) {
  return detail::perform("signal", "pidfd_send_signal", detail::Effect::changes, Fd(), "", [&]() -> long {
    const Fd pid_fd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
    if (!pid_fd.open()) return errno == ESRCH ? 0 : -1;
    const auto now = stat_of(process.pid);
    if (!now || now->start != process.start) return 0;
    const long sent = ::syscall(SYS_pidfd_send_signal, pid_fd.number(), signal, nullptr, 0);
    return sent != 0 && errno == ESRCH ? 0 : sent;
  });
}

}  // namespace

std::string words_for(const RunningProcess& process) {
  return printable(process.name) + " (" + std::to_string(process.id.pid) + ")";
}

Result<> require_proc() {
  const Fd own(::open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (own.open()) return {};
  if (errno != ENOENT) return fail("open", "/proc/self/fd", errno);
  return fail("open", "/proc/self/fd", std::string("not there; mount /proc first: mount -t proc proc /proc"));
}

int own_pid() { return ::getpid(); }

Result<std::vector<RunningProcess>> running_processes() {
  std::vector<RunningProcess> out;
  const Directory processes = open_listing("/proc");
  if (processes == nullptr) return fail("open", "/proc", errno);
  while (const dirent* entry = ::readdir(processes.get())) {
    const auto pid = number_of(entry->d_name);
    if (!pid) continue;
    auto what = stat_of(*pid);
    if (!what) continue;
    Views views = views_of(*pid, what->threads);
    if (views.all.empty() && !views.hidden) continue;  // gone, or a zombie, which holds nothing
    out.push_back({{*pid, what->start},
                   what->parent,
                   std::move(what->name),
                   views.all.empty() ? 0 : namespace_of(views.all.front().thread, "ns/pid"),
                   views.hidden,
                   std::move(views.all)});
  }
  return out;
}

Result<std::vector<FileId>> directories_up_from(int pid, FileId root) {
  constexpr std::size_t kHighest = 4096;
  std::vector<FileId> out;
  Fd current;
  for_each_thread(pid, [&](int thread) {
    Fd opened(::open(root_of_thread(pid, thread).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const bool found = opened.open() && id_of(opened.number(), "", AT_EMPTY_PATH) == root;
    if (found) current = std::move(opened);
    return !found;
  });
  while (current.open() && out.size() < kHighest) {
    const auto id = id_of(current.number(), "", AT_EMPTY_PATH);
    if (!id || (!out.empty() && out.back() == *id)) break;
    out.push_back(*id);
    current = Fd(::openat(current.number(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  return out;
}

bool MountedTree::is_within(const MountedTree& other) const {
  return device == other.device && is_below(root, other.root);
}

Result<std::vector<MountedTree>> mounted_trees(int thread) {
  std::vector<MountedTree> out;
  for (Mount& mount : TRY(mounts_of(thread))) out.push_back(std::move(mount.tree));
  return out;
}

Result<std::optional<MountedTree>> place_in_file_system(const DirFd& dir) {
  const auto original = detail::original_of(dir);
  const auto id = mount_id_of(original ? *original : dir);
  const std::string path = path_of(dir);
  for (const Mount& mount : TRY(mounts_of(::getpid()))) {
    if (id != mount.id || !is_below(path, mount.mount_point)) continue;
    const std::string below = path.substr(mount.mount_point == "/" ? 0 : mount.mount_point.size());
    return MountedTree{mount.tree.device, mount.tree.root == "/" ? (below.empty() ? "/" : below)
                                                                 : mount.tree.root + (below == "/" ? "" : below)};
  }
  return std::nullopt;
}

Result<std::vector<std::string>> mount_points_below(const DirFd& dir) {
  const auto id = mount_id_of(dir);
  const std::string path = path_of(dir);
  const std::size_t prefix = path == "/" ? 1 : path.size() + 1;
  std::vector<std::string> out;
  for (const Mount& mount : TRY(mounts_of(::getpid())))
    if (id == mount.parent && mount.mount_point.size() > prefix && is_below(mount.mount_point, path))
      out.push_back(mount.mount_point.substr(prefix));
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

RunState state_of(const ProcessId& process) {
  const auto leader = stat_of(process.pid);
  if (!leader || leader->start != process.start) return RunState::gone;
  RunState state = RunState::gone;
  for_each_thread(process.pid, [&](int thread) {
    const auto what = parse_stat(read_small(proc(process.pid, "task/" + std::to_string(thread) + "/stat")));
    if (!what || what->state == 'Z' || what->state == 'X') return true;
    const bool stopped = what->state == 'T' || what->state == 't';
    state = stopped ? RunState::stopped : RunState::running;
    return stopped;
  });
  return state;
}

Result<> stop_process(const ProcessId& process) { return send(process, SIGSTOP); }
Result<> continue_process(const ProcessId& process) { return send(process, SIGCONT); }

Result<std::string> boot_id() {
  std::string id = read_small("/proc/sys/kernel/random/boot_id");
  if (id.empty()) return fail("open", "/proc/sys/kernel/random/boot_id", ENOENT);
  while (id.ends_with('\n')) id.pop_back();
  return id;
}

namespace {

/// Who has a descriptor of the file of `fd` with a lock of this kind, as /proc/PID/fdinfo calls it.
Result<std::optional<RunningProcess>> holder_of(const Fd& fd, std::string_view kind, int but = 0) {
  struct stat wanted {};
  if (::fstat(fd.number(), &wanted) != 0) return detail::failed("stat", fd, "", errno);
  for (RunningProcess& process : TRY(running_processes())) {
    if (process.id.pid == but) continue;
    const std::string directory = "/proc/" + std::to_string(process.id.pid) + "/";
    const std::unique_ptr<DIR, int (*)(DIR*)> fds(::opendir((directory + "fd").c_str()), ::closedir);
    if (fds == nullptr) continue;  // gone meanwhile
    while (const dirent* entry = ::readdir(fds.get())) {
      struct stat file {};
      if (::fstatat(::dirfd(fds.get()), entry->d_name, &file, 0) != 0) continue;
      if (file.st_dev != wanted.st_dev || file.st_ino != wanted.st_ino) continue;
      const Fd info(::open((directory + "fdinfo/" + entry->d_name).c_str(), O_RDONLY | O_CLOEXEC));
      std::array<char, 1024> text{};
      const ssize_t size = info.open() ? ::read(info.number(), text.data(), text.size()) : 0;
      const std::string_view lines(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
      if (lines.find(kind) != lines.npos) return std::move(process);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::optional<RunningProcess>> lock_holder(const Fd& fd) { return holder_of(fd, "OFDLCK"); }

Result<std::optional<RunningProcess>> lease_holder(const Fd& fd) { return holder_of(fd, "LEASE", own_pid()); }

Result<std::vector<std::uint64_t>> mapped_inodes(int pid) {
  std::array<char, 40> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/maps", pid);
  const std::unique_ptr<FILE, int (*)(FILE*)> maps(std::fopen(path.data(), "re"), std::fclose);
  std::vector<std::uint64_t> out;
  if (maps == nullptr) {
    if (errno == ENOENT || errno == ESRCH) return out;
    return fail("open", path.data(), errno);
  }
  // proc(5): address perms offset dev inode pathname. A line that does not fit goes on in the next piece, which has no
  // such beginning.
  std::array<char, 4096> line{};
  while (std::fgets(line.data(), line.size(), maps.get()) != nullptr) {
    unsigned long long inode = 0;
    if (std::sscanf(line.data(), "%*x-%*x %*4s %*x %*x:%*x %llu", &inode) == 1 && inode != 0) out.push_back(inode);
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

}  // namespace vskel::sys
