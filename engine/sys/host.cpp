// The host around us: limits, processors, file systems.

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <thread>

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
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
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
  // The vDSO's copy runs ahead of it for a moment at each tick (kernel/time/timekeeping.c: update_vsyscall() first).
  static_assert(sizeof(timespec) == 2 * sizeof(long), "the call takes the kernel's old timespec");
  if (::syscall(SYS_clock_gettime, CLOCK_REALTIME_COARSE, &now) != 0) ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return {now.tv_sec, static_cast<std::uint32_t>(now.tv_nsec)};
}

Time precise_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return {now.tv_sec, static_cast<std::uint32_t>(now.tv_nsec)};
}

void wait_for_inode_clock_past(Time time) {
  for (int waited = 0; waited < 100 && inode_clock() <= time; ++waited)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

unsigned usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

std::string detail::path_in_mount(const Fd& fd) {
  std::array<char, 32> link{};
  std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", fd.number());
  std::string path(4096, '\0');
  const ssize_t size = ::readlink(link.data(), path.data(), path.size());
  path.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return path;
}

std::string path_of(const Fd& fd) {
  std::string path = detail::path_in_mount(fd);
  const auto original = detail::original_of(fd);
  if (original == nullptr) return path;
  const std::string above = detail::path_in_mount(*original);
  if (above == "/") return path;
  return path == "/" ? above : above + path;
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
    case BPF_FS_MAGIC:
      out.type = "bpf";
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

}  // namespace vskel::sys
