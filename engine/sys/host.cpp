// The host around us: limits, processors, file systems, processes.

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>

#include "engine/sys/call.h"
#include "engine/sys/kernel.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

namespace vskel::sys {

void engine_start() {
  ::umask(0);
  // A program started without descriptors 0 to 2 would get them for its own files and then write messages into those.
  int number = ::open("/dev/null", O_RDWR);
  while (number >= 0 && number <= 2) number = ::open("/dev/null", O_RDWR);
  if (number > 2) ::close(number);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGCHLD, SIG_DFL);  // inherited as ignored it would have waitpid(2) fail with ECHILD
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGIO, SIG_IGN);  // a tenant that opens a leased file would kill us
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

std::size_t descriptor_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

Time inode_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return {now.tv_sec, static_cast<std::uint32_t>(now.tv_nsec)};
}

unsigned usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

int own_pid() { return ::getpid(); }

std::string path_of(const Fd& fd) {
  std::array<char, 32> link{};
  std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", fd.number());
  std::string path(4096, '\0');
  const ssize_t size = ::readlink(link.data(), path.data(), path.size());
  path.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return path;
}

Result<FileSystem> file_system(const Fd& fd) {
  struct statfs raw {};
  TRY(detail::perform("ask file system", "fstatfs", detail::Effect::looks, fd, "",
                      [&] { return ::fstatfs(fd.number(), &raw); }));
  FileSystem out;
  const auto magic = static_cast<unsigned long>(raw.f_type) & 0xffffffffUL;
  switch (magic) {
    case EXT4_SUPER_MAGIC:
      out.type = "ext4";
      break;
    case XFS_SUPER_MAGIC:
      out.type = "xfs";
      break;
    case BTRFS_SUPER_MAGIC:
      out.type = "btrfs";
      break;
    case TMPFS_MAGIC:
      out.type = "tmpfs";
      break;
    default: {
      std::array<char, 24> text{};
      std::snprintf(text.data(), text.size(), "0x%lx", magic);
      out.type = text.data();
    }
  }
  out.free_bytes = static_cast<std::uint64_t>(raw.f_bavail) * static_cast<std::uint64_t>(raw.f_frsize);
  out.free_inodes = raw.f_ffree;
  return out;
}

Result<std::vector<RunningProcess>> running_processes() {
  std::vector<RunningProcess> out;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (proc == nullptr) return fail("open", "/proc", errno);
  while (const dirent* entry = ::readdir(proc.get())) {
    int pid = 0;
    const char* const end = entry->d_name + std::strlen(entry->d_name);
    if (const auto [at, error] = std::from_chars(entry->d_name, end, pid); error != std::errc{} || at != end) continue;
    std::array<char, 40> path{};
    std::snprintf(path.data(), path.size(), "%d/root", pid);
    struct stat root {};
    if (::fstatat(::dirfd(proc.get()), path.data(), &root, 0) != 0) continue;  // gone, or a zombie, which holds nothing
    std::snprintf(path.data(), path.size(), "%d/comm", pid);
    std::array<char, 32> name{};
    const Fd comm(::openat(::dirfd(proc.get()), path.data(), O_RDONLY | O_CLOEXEC));
    const ssize_t size = comm.open() ? ::read(comm.number(), name.data(), name.size() - 1) : 0;
    std::string_view text(name.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    if (text.ends_with('\n')) text.remove_suffix(1);
    out.push_back({pid, std::string(text), makedev(major(root.st_dev), minor(root.st_dev)), root.st_ino});
  }
  return out;
}

Result<std::optional<RunningProcess>> lock_holder(const Fd& fd) {
  struct stat wanted {};
  if (::fstat(fd.number(), &wanted) != 0) return detail::failed("stat", fd, "", errno);
  for (RunningProcess& process : TRY(running_processes())) {
    const std::string directory = "/proc/" + std::to_string(process.pid) + "/";
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
      if (lines.find("OFDLCK") != lines.npos) return std::move(process);
    }
  }
  return std::nullopt;
}

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
