#include "engine/sys/bare.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "engine/sys/kernel.h"

namespace vskel::sys::bare {

namespace {

constexpr int kOpenFlags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC;
constexpr int kCreateFlags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
constexpr std::array<timespec, 2> kSomeTimes{timespec{1, 0}, timespec{1, 0}};

/// The loop itself: `one` gives whether it went well, and errno if not.
template <class One>
int for_each_name(std::span<const Name> names, One one) {
  for (const Name name : names)
    if (!one(name.c_str())) return errno;
  return 0;
}

bool closed(int fd, bool well) {
  const int code = errno;
  ::close(fd);
  errno = code;
  return well;
}

// file_getattr(2) and file_setattr(2), Linux 6.17.
bool switch_flag_by_name(int dir, const char* name) {
  struct {
    std::uint64_t xflags;
    std::array<std::uint32_t, 4> rest;
  } attr{};
  const auto call = [&](long number) {
    return ::syscall(number, dir, name, &attr, sizeof attr, AT_SYMLINK_NOFOLLOW) == 0;
  };
  constexpr long kGet = 468, kSet = 469;
  if (!call(kGet)) return false;
  attr.xflags |= FS_XFLAG_IMMUTABLE;
  if (!call(kSet)) return false;
  attr.xflags &= ~static_cast<std::uint64_t>(FS_XFLAG_IMMUTABLE);
  return call(kSet);
}

bool switch_flag_by_ioctl(int fd) {
  int flags = 0;
  if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return false;
  int sealed = flags | FS_IMMUTABLE_FL;
  return ::ioctl(fd, FS_IOC_SETFLAGS, &sealed) == 0 && ::ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

}  // namespace

int list(const DirFd& dir, Name name) {
  alignas(8) std::array<char, 1 << 16> buffer;
  const int fd = ::openat(dir.number(), name.c_str(), kOpenFlags | O_DIRECTORY);
  if (fd < 0) return errno;
  long bytes = 0;
  do {
    bytes = ::syscall(SYS_getdents64, fd, buffer.data(), buffer.size());
  } while (bytes > 0);
  return closed(fd, bytes == 0) ? 0 : errno;
}

int stat(const DirFd& dir, std::span<const Name> names) {
  return for_each_name(names, [&](const char* name) {
    struct statx out;
    return ::statx(dir.number(), name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &out) == 0;
  });
}

int link(const DirFd& source, const DirFd& target, std::span<const Name> names) {
  return for_each_name(
      names, [&](const char* name) { return ::linkat(source.number(), name, target.number(), name, 0) == 0; });
}

int copy(const DirFd& target, std::span<const Name> names, std::span<const std::byte> content) {
  return for_each_name(names, [&](const char* name) {
    const int fd = ::openat(target.number(), name, kCreateFlags, 0644);
    if (fd < 0) return false;
    const bool written = ::pwrite(fd, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size());
    return closed(fd, written && ::futimens(fd, kSomeTimes.data()) == 0);
  });
}

int clone(const DirFd& source, const DirFd& target, std::span<const Name> names) {
  return for_each_name(names, [&](const char* name) {
    const int from = ::openat(source.number(), name, kOpenFlags);
    if (from < 0) return false;
    const int to = ::openat(target.number(), name, kCreateFlags, 0644);
    if (to < 0) return closed(from, false);
    const bool cloned = ::ioctl(to, FICLONE, from) == 0 && ::futimens(to, kSomeTimes.data()) == 0;
    return closed(from, closed(to, cloned));
  });
}

int seal(const DirFd& dir, std::span<const Name> names) {
  return for_each_name(names, [&](const char* name) {
    if (switch_flag_by_name(dir.number(), name)) return true;
    const int fd = ::openat(dir.number(), name, kOpenFlags);
    return fd >= 0 && closed(fd, switch_flag_by_ioctl(fd));
  });
}

int read(const DirFd& dir, std::span<const Name> names, std::span<std::byte> buffer) {
  return for_each_name(names, [&](const char* name) {
    const int fd = ::openat(dir.number(), name, kOpenFlags);
    return fd >= 0 && closed(fd, ::pread(fd, buffer.data(), buffer.size(), 0) >= 0);
  });
}

int replace(const DirFd& source, const DirFd& stage, const DirFd& target, std::span<const Name> names) {
  return for_each_name(names, [&](const char* name) {
    return ::linkat(source.number(), name, stage.number(), name, 0) == 0 &&
           ::renameat2(stage.number(), name, target.number(), name, RENAME_EXCHANGE) == 0 &&
           ::unlinkat(stage.number(), name, 0) == 0;
  });
}

}  // namespace vskel::sys::bare
