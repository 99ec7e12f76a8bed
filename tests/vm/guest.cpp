#include "guest.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <sstream>

#include "liburing.h"

namespace attempts {
namespace {

constexpr std::size_t kPage = 4096;

/// Closed at the end, with errno as it was.
class Open {
 public:
  Open(const std::string& path, int flags, mode_t mode = 0600) : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  explicit Open(int fd) : fd_(fd) {}
  Open(const Open&) = delete;
  Open& operator=(const Open&) = delete;
  ~Open() {
    const int code = errno;
    if (fd_ >= 0) close(fd_);
    errno = code;
  }
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

/// For writing where that is let: what needs it is tried by what there is.
int best(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  return fd >= 0 ? fd : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
}

/// All of a file that a change could show in; not what a reader (access time) or a new name (ctime) changes.
std::string image_of(const std::string& path) {
  std::ostringstream out;
  struct stat stat {};
  if (::stat(path.c_str(), &stat) != 0) return "none";
  out << stat.st_mode << ' ' << stat.st_uid << ' ' << stat.st_gid << ' ' << stat.st_size << ' ' << stat.st_blocks << ' '
      << stat.st_mtim.tv_sec << '.' << stat.st_mtim.tv_nsec << ' ';
  const Open file(path, O_RDONLY);
  std::array<char, kPage> buffer{};
  std::uint64_t hash = 14695981039346656037ULL;
  for (off_t at = 0;;) {
    const ssize_t got = pread(file.fd(), buffer.data(), buffer.size(), at);
    if (got <= 0) break;
    for (ssize_t i = 0; i < got; ++i)
      hash = (hash ^ static_cast<unsigned char>(buffer[static_cast<std::size_t>(i)])) * 1099511628211ULL;
    at += got;
  }
  int flags = 0, generation = 0;
  (void)ioctl(file.fd(), FS_IOC_GETFLAGS, &flags);
  (void)ioctl(file.fd(), FS_IOC_GETVERSION, &generation);
  alignas(fiemap) std::array<std::byte, sizeof(fiemap) + sizeof(fiemap_extent)> room{};
  auto* map = reinterpret_cast<fiemap*>(room.data());
  map->fm_length = FIEMAP_MAX_OFFSET;
  map->fm_flags = FIEMAP_FLAG_SYNC;
  map->fm_extent_count = 1;
  (void)ioctl(file.fd(), FS_IOC_FIEMAP, map);
  out << hash << ' ' << flags << ' ' << generation << ' ' << map->fm_extents[0].fe_physical;
  std::array<char, kPage> names{}, value{};
  const ssize_t length = listxattr(path.c_str(), names.data(), names.size());
  for (ssize_t at = 0; at < length;) {
    const char* name = names.data() + at;
    const ssize_t size = getxattr(path.c_str(), name, value.data(), value.size());
    out << ' ' << name << '=' << std::string(value.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    at += static_cast<ssize_t>(std::strlen(name)) + 1;
  }
  return out.str();
}

/// Other bytes at every call.
std::array<char, 24> bytes() {
  static int count = 0;
  std::array<char, 24> out{};
  std::snprintf(out.data(), out.size(), "changed %7d", ++count);
  return out;
}

bool writes(int fd) {
  const auto text = bytes();
  return fd >= 0 && pwrite(fd, text.data(), text.size(), 0) > 0;
}
bool writes(const std::string& path, int flags) {
  const Open file(path, flags);
  return file && writes(file.fd());
}

bool writes_by_handle(const std::string& path) {
  struct {
    file_handle head;
    std::array<unsigned char, MAX_HANDLE_SZ> bytes;
  } handle{};
  handle.head.handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  if (name_to_handle_at(AT_FDCWD, path.c_str(), &handle.head, &mount_id, 0) != 0) return false;
  const Open dir(path.substr(0, path.rfind('/') + 1), O_RDONLY | O_DIRECTORY);
  const Open file(open_by_handle_at(dir.fd(), &handle.head, O_RDWR));
  return file && writes(file.fd());
}

bool writes_by_tree(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const Open tree(open_tree(AT_FDCWD, path.substr(0, slash + 1).c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) return false;
  const Open file(openat(tree.fd(), path.c_str() + slash + 1, O_RDWR));
  return file && writes(file.fd());
}

using Prepare = std::function<void(io_uring_sqe*)>;
int by_ring(const Prepare& prepare, int registered = -1) {
  io_uring ring{};
  if (const int code = io_uring_queue_init(4, &ring, 0); code != 0) return code;
  if (registered >= 0) io_uring_register_files(&ring, &registered, 1);
  prepare(io_uring_get_sqe(&ring));
  io_uring_submit(&ring);
  io_uring_cqe* done = nullptr;
  int result = io_uring_wait_cqe(&ring, &done);
  if (result == 0) result = done->res;
  io_uring_queue_exit(&ring);
  if (result < 0) errno = -result;
  return result;
}

bool writes_by_aio(int fd) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, 1, &context) != 0) return false;
  const auto text = bytes();
  iocb request{};
  request.aio_lio_opcode = IOCB_CMD_PWRITE;
  request.aio_fildes = static_cast<std::uint32_t>(fd);
  request.aio_buf = reinterpret_cast<std::uintptr_t>(text.data());
  request.aio_nbytes = text.size();
  iocb* list = &request;
  io_event done{};
  bool ok =
      syscall(SYS_io_submit, context, 1, &list) == 1 && syscall(SYS_io_getevents, context, 1, 1, &done, nullptr) == 1;
  if (ok && done.res < 0) {
    errno = static_cast<int>(-done.res);
    ok = false;
  }
  const int code = errno;
  syscall(SYS_io_destroy, context);
  errno = code;
  return ok;
}

/// Of a mapping that is shared, and writable where the descriptor is.
bool with_mapping(int fd, const std::function<bool(char*)>& run) {
  void* mapped = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) mapped = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return false;
  const bool done = run(static_cast<char*>(mapped));
  const int code = errno;
  munmap(mapped, kPage);
  errno = code;
  return done;
}

bool stores(int fd) {
  void* const mapped = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return false;
  std::memcpy(mapped, bytes().data(), 16);
  return munmap(mapped, kPage) == 0;
}

bool stores_after_mprotect(int fd) {
  void* const mapped = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED || mprotect(mapped, kPage, PROT_READ | PROT_WRITE) != 0) return false;
  std::memcpy(mapped, bytes().data(), 16);
  return munmap(mapped, kPage) == 0;
}

/// As a debugger writes, who is let past the protection of a mapping, though not of a shared one.
bool writes_by_mem(char* mapped) {
  const Open memory("/proc/self/mem", O_RDWR);
  const auto text = bytes();
  return pwrite(memory.fd(), text.data(), text.size(), reinterpret_cast<off_t>(mapped)) > 0;
}

bool writes_by_process_vm(char* mapped) {
  auto text = bytes();
  const iovec from{text.data(), text.size()}, to{mapped, text.size()};
  return process_vm_writev(getpid(), &from, 1, &to, 1, 0) > 0;
}

bool writes_by_ptrace(char* mapped) {
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  long word = 0;
  std::memcpy(&word, bytes().data() + 8, sizeof word);
  const bool done = ptrace(PTRACE_POKEDATA, child, mapped, word) == 0;
  const int code = errno;
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  errno = code;
  return done;
}

bool splices(int fd) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return false;
  const Open out(ends[0]), in(ends[1]);
  const auto text = bytes();
  loff_t at = 0;
  return write(in.fd(), text.data(), text.size()) > 0 && splice(out.fd(), nullptr, fd, &at, text.size(), 0) > 0;
}

/// A page of the file in a pipe, which a kernel before 5.16.11 let the next writer write on.
bool writes_to_spliced_page(const std::string& path) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return false;
  const Open out(ends[0]), in(ends[1]), file(path, O_RDONLY);
  std::array<char, kPage> page{};
  const int size = fcntl(in.fd(), F_GETPIPE_SZ);
  for (int filled = 0; filled < size; filled += static_cast<int>(page.size()))
    (void)!write(in.fd(), page.data(), page.size());
  for (int filled = 0; filled < size; filled += static_cast<int>(page.size()))
    (void)!read(out.fd(), page.data(), page.size());
  loff_t at = 0;
  return splice(file.fd(), &at, in.fd(), nullptr, 1, 0) == 1 && write(in.fd(), "dirty", 5) == 5;
}

/// A file of the caller's own with the same bytes, or with others.
enum class Bytes { same, others };
std::string partner_of(const std::string& path, const std::string& spare, Bytes which) {
  const std::string name = spare + "/partner";
  unlink(name.c_str());
  const Open from(path, O_RDONLY), to(name, O_RDWR | O_CREAT);
  struct stat stat {};
  fstat(from.fd(), &stat);
  std::vector<char> all(static_cast<std::size_t>(stat.st_size));
  (void)!pread(from.fd(), all.data(), all.size(), 0);
  (void)!pwrite(to.fd(), all.data(), all.size(), 0);
  if (which == Bytes::others) writes(to.fd());
  fsync(to.fd());
  return name;
}

bool dedupes(const std::string& path, const std::string& partner) {
  const Open from(partner, O_RDONLY), to(path, O_RDONLY);
  struct stat stat {};
  fstat(to.fd(), &stat);
  alignas(file_dedupe_range) std::array<std::byte, sizeof(file_dedupe_range) + sizeof(file_dedupe_range_info)> room{};
  auto* range = reinterpret_cast<file_dedupe_range*>(room.data());
  range->src_length = static_cast<std::uint64_t>(stat.st_size);
  range->dest_count = 1;
  range->info[0].dest_fd = to.fd();
  if (ioctl(from.fd(), FIDEDUPERANGE, range) != 0) return false;
  if (range->info[0].status < 0) errno = -range->info[0].status;
  return range->info[0].status == 0;
}

/// fs/ext4/ext4.h: EXT4_IOC_MOVE_EXT
bool moves_extents(int fd, int donor) {
  struct {
    std::uint32_t reserved = 0, donor = 0;
    std::uint64_t start = 1, donor_start = 1, length = 4, moved = 0;  // blocks, behind the hole that was made
  } extents;
  extents.donor = static_cast<std::uint32_t>(donor);
  return ioctl(fd, _IOWR('f', 15, decltype(extents)), &extents) == 0;
}

/// include/linux/falloc.h: struct space_resv
struct SpaceReservation {
  std::int16_t type = 0, whence = 0;
  std::int64_t start = 0, length = 0;
  std::int32_t system = 0;
  std::uint32_t process = 0;
  std::array<std::int32_t, 4> reserved{};
};

/// linux/fsverity.h
bool enables_verity(int fd) {
  struct {
    std::uint32_t version = 1, hash_algorithm = 1, block_size = kPage, salt_size = 0;
    std::uint64_t salt_ptr = 0;
    std::uint32_t sig_size = 0, reserved1 = 0;
    std::uint64_t sig_ptr = 0;
    std::array<std::uint64_t, 11> reserved2{};
  } verity;
  return ioctl(fd, _IOW('f', 133, decltype(verity)), &verity) == 0;
}

bool toggles_flag(int fd, int flag) {
  int flags = 0;
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return false;
  flags ^= flag;
  return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

bool toggles_extended_flag(int fd, unsigned flag) {
  fsxattr attributes{};
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) != 0) return false;
  attributes.fsx_xflags ^= flag;
  return ioctl(fd, FS_IOC_FSSETXATTR, &attributes) == 0;
}

/// Linux 6.17
bool sets_file_attributes(const std::string& path) {
  struct {
    std::uint64_t xflags = 0;
    std::uint32_t extsize = 0, nextents = 0, projid = 0, cowextsize = 0;
  } attributes;
  constexpr long kFileGetattr = 468, kFileSetattr = 469;
  if (syscall(kFileGetattr, AT_FDCWD, path.c_str(), &attributes, sizeof attributes, 0) != 0) return false;
  attributes.xflags ^= FS_XFLAG_NODUMP;
  return syscall(kFileSetattr, AT_FDCWD, path.c_str(), &attributes, sizeof attributes, 0) == 0;
}

bool sets_version(int fd, unsigned long command) {
  int version = 0;
  (void)ioctl(fd, FS_IOC_GETVERSION, &version);
  ++version;
  return ioctl(fd, command, &version) == 0;
}

/// version 2; user:rw-, user of that number:r--, group r--, mask r--, other r--
bool sets_acl(const std::string& path, std::uint16_t user) {
  const std::array<std::uint16_t, 22> acl{2, 0,      1,      6,  0xffff, 0xffff, 2,      4,  user, 0,      4,
                                          4, 0xffff, 0xffff, 16, 4,      0xffff, 0xffff, 32, 4,    0xffff, 0xffff};
  return setxattr(path.c_str(), "system.posix_acl_access", acl.data(), sizeof acl, 0) == 0;
}

/// vfs_cap_data, revision 2, cap_net_raw
bool sets_capability(const std::string& path) {
  const std::array<std::uint32_t, 5> capability{0x02000000, 1U << 13, 0, 0, 0};
  return setxattr(path.c_str(), "security.capability", capability.data(), sizeof capability, 0) == 0;
}

bool sets_attribute(const std::string& path, const char* name) {
  const auto text = bytes();
  return setxattr(path.c_str(), name, text.data(), text.size(), 0) == 0;
}

/// To another day at each call.
std::array<timespec, 2> other_times() {
  static time_t day = 1'000'000'000;
  day += 86400;
  return {timespec{day, 5}, timespec{day, 5}};
}

mode_t other_mode(const std::string& path) {
  struct stat stat {};
  ::stat(path.c_str(), &stat);
  return (stat.st_mode & 07777) ^ S_IWOTH;
}

uid_t other_owner() {
  static uid_t owner = 32;
  return ++owner;
}

off_t size_of(const std::string& path) {
  struct stat stat {};
  ::stat(path.c_str(), &stat);
  return stat.st_size;
}

void attempt(const std::string& path, const std::string& way, const std::function<bool()>& run) {
  const std::string before = image_of(path);
  errno = 0;
  const bool done = run();
  const int code = errno;
  const bool changed = image_of(path) != before;
  std::printf("%-36s %s\n", way.c_str(), changed ? "changed" : done ? "ok" : strerrorname_np(code));
  std::fflush(stdout);
}

/// By another path to it: a mount of the caller's own.
void harm_by(const std::string& path, const std::string& other, const std::string& how) {
  const auto tried = [&](const char* way, const std::function<bool()>& run) { attempt(path, how + ": " + way, run); };
  tried("write", [&] { return writes(other, O_RDWR); });
  tried("truncate", [&] { return truncate(other.c_str(), size_of(other) + 1) == 0; });
  tried("mmap", [&] { return stores(Open(best(other)).fd()); });
  tried("chmod", [&] { return chmod(other.c_str(), other_mode(other)) == 0; });
  tried("chown", [&] { return chown(other.c_str(), other_owner(), 0) == 0; });
  tried("utimensat", [&] { return utimensat(AT_FDCWD, other.c_str(), other_times().data(), 0) == 0; });
  tried("set ACL", [&] { return sets_acl(other, static_cast<std::uint16_t>(other_owner())); });
  tried("FS_IOC_SETFLAGS", [&] { return toggles_flag(Open(other, O_RDONLY).fd(), FS_NOATIME_FL); });
}

void harm_content(const std::string& path, const std::string& spare) {
  const char* const name = path.c_str();
  const auto tried = [&](const char* way, const std::function<bool()>& run) { attempt(path, way, run); };
  // Who waits for others makes them wait; first, while the owner is the caller.
  tried("write lease", [&] {
    std::signal(SIGIO, SIG_IGN);
    return fcntl(Open(path, O_RDONLY).fd(), F_SETLEASE, F_WRLCK) == 0;
  });
  tried("flock exclusive", [&] { return flock(Open(path, O_RDONLY).fd(), LOCK_EX | LOCK_NB) == 0; });
  tried("fcntl exclusive", [&] {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    return fcntl(Open(best(path)).fd(), F_SETLK, &lock) == 0;
  });
  tried("open O_WRONLY", [&] { return writes(path, O_WRONLY); });
  tried("open O_RDWR", [&] { return writes(path, O_RDWR); });
  tried("open O_APPEND", [&] { return writes(path, O_WRONLY | O_APPEND); });
  tried("open O_CREAT", [&] { return writes(path, O_RDWR | O_CREAT); });
  tried("openat2", [&] {
    open_how how{};
    how.flags = O_RDWR;
    const Open file(static_cast<int>(syscall(SYS_openat2, AT_FDCWD, name, &how, sizeof how)));
    return file && writes(file.fd());
  });
  tried("/proc/self/fd of O_PATH", [&] {
    const Open first(path, O_PATH);
    return writes("/proc/self/fd/" + std::to_string(first.fd()), O_RDWR);
  });
  tried("/proc/self/fd of O_RDONLY", [&] {
    const Open first(path, O_RDONLY);
    return writes("/proc/self/fd/" + std::to_string(first.fd()), O_RDWR);
  });
  tried("open_by_handle_at", [&] { return writes_by_handle(path); });
  tried("open_tree and openat", [&] { return writes_by_tree(path); });
  tried("another name of it", [&] {
    const std::string other = spare + "/name";
    unlink(other.c_str());
    const bool done = link(name, other.c_str()) == 0 && writes(other, O_RDWR);
    const int code = errno;
    unlink(other.c_str());
    errno = code;
    return done;
  });
  tried("io_uring openat", [&] {
    const Open file(by_ring([&](io_uring_sqe* sqe) { io_uring_prep_openat(sqe, AT_FDCWD, name, O_RDWR, 0); }));
    return file && writes(file.fd());
  });
  const auto by_best = [&](const char* way, const std::function<bool(int)>& run) {
    tried(way, [&] {
      const Open file(best(path));
      return run(file.fd());
    });
  };
  by_best("io_uring write", [&](int fd) {
    const auto text = bytes();
    return by_ring([&](io_uring_sqe* sqe) { io_uring_prep_write(sqe, fd, text.data(), text.size(), 0); }) > 0;
  });
  by_best("io_uring write, registered", [&](int fd) {
    const auto text = bytes();
    const auto prepare = [&](io_uring_sqe* sqe) {
      io_uring_prep_write(sqe, 0, text.data(), text.size(), 0);
      io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    };
    return by_ring(prepare, fd) > 0;
  });
  by_best("io_uring fallocate", [&](int fd) {
    return by_ring([&](io_uring_sqe* sqe) { io_uring_prep_fallocate(sqe, fd, 0, 0, size_of(path) + 4096); }) == 0;
  });
  by_best("aio write", writes_by_aio);
  by_best("write", [](int fd) { return writes(fd); });
  by_best("pwritev2", [](int fd) {
    auto text = bytes();
    const iovec vector{text.data(), text.size()};
    return pwritev2(fd, &vector, 1, 0, RWF_DSYNC) > 0;
  });
  by_best("splice into", splices);
  tried("write to a spliced page", [&] { return writes_to_spliced_page(path); });
  by_best("sendfile into", [&](int fd) {
    const Open from(partner_of(path, spare, Bytes::others), O_RDONLY);
    return sendfile(fd, from.fd(), nullptr, 16) > 0;
  });
  by_best("copy_file_range into", [&](int fd) {
    const Open from(partner_of(path, spare, Bytes::others), O_RDONLY);
    return copy_file_range(from.fd(), nullptr, fd, nullptr, 16, 0) > 0;
  });
  by_best("mmap shared", stores);
  by_best("mprotect of a mapping", stores_after_mprotect);
  by_best("/proc/self/mem", [](int fd) { return with_mapping(fd, writes_by_mem); });
  by_best("process_vm_writev", [](int fd) { return with_mapping(fd, writes_by_process_vm); });
  by_best("ptrace of a mapping", [](int fd) { return with_mapping(fd, writes_by_ptrace); });
  by_best("madvise MADV_REMOVE", [](int fd) {
    return with_mapping(fd, [](char* mapped) { return madvise(mapped, kPage, MADV_REMOVE) == 0; });
  });
  by_best("FICLONE over",
          [&](int fd) { return ioctl(fd, FICLONE, Open(partner_of(path, spare, Bytes::others), O_RDONLY).fd()) == 0; });
  by_best("FICLONERANGE over", [&](int fd) {
    const Open from(partner_of(path, spare, Bytes::others), O_RDONLY);
    const file_clone_range range{from.fd(), 0, kPage, 0};
    return ioctl(fd, FICLONERANGE, &range) == 0;
  });
  tried("FIDEDUPERANGE", [&] { return dedupes(path, partner_of(path, spare, Bytes::same)); });
  by_best("EXT4_IOC_MOVE_EXT",
          [&](int fd) { return moves_extents(fd, Open(partner_of(path, spare, Bytes::same), O_RDWR).fd()); });
  by_best("EXT4_IOC_MOVE_EXT, donor",
          [&](int fd) { return moves_extents(Open(partner_of(path, spare, Bytes::same), O_RDWR).fd(), fd); });
  by_best("fallocate", [&](int fd) { return fallocate(fd, 0, 0, size_of(path) + 4096) == 0; });
  by_best("fallocate, a hole",
          [](int fd) { return writes(fd) && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0; });
  by_best("FS_IOC_RESVSP64", [&](int fd) {
    SpaceReservation range;
    range.start = size_of(path);
    range.length = 1 << 20;
    return ioctl(fd, _IOW('X', 42, SpaceReservation), &range) == 0;
  });
  tried("truncate", [&] { return truncate(name, size_of(path) + 1) == 0; });
  by_best("ftruncate", [&](int fd) { return ftruncate(fd, size_of(path) + 1) == 0; });
  tried("creat", [&] { return static_cast<bool>(Open(creat(name, 0600))) && writes(path, O_WRONLY); });
  tried("open O_RDONLY O_TRUNC", [&] { return static_cast<bool>(Open(path, O_RDONLY | O_TRUNC)); });
}

void harm_metadata(const std::string& path) {
  const char* const name = path.c_str();
  const auto tried = [&](const char* way, const std::function<bool()>& run) { attempt(path, way, run); };
  const auto by_reading = [&](const char* way, const std::function<bool(int)>& run) {
    tried(way, [&] {
      const Open file(path, O_RDONLY);
      return run(file.fd());
    });
  };
  by_reading("fchmod", [&](int fd) { return fchmod(fd, other_mode(path)) == 0; });
  by_reading("fchown", [](int fd) { return fchown(fd, other_owner(), 0) == 0; });
  by_reading("futimens", [](int fd) { return futimens(fd, other_times().data()) == 0; });
  tried("chmod", [&] { return chmod(name, other_mode(path)) == 0; });
  tried("chown", [&] { return chown(name, other_owner(), 0) == 0; });
  tried("lchown", [&] { return lchown(name, 0, 0) == 0; });
  tried("utimensat", [&] { return utimensat(AT_FDCWD, name, other_times().data(), 0) == 0; });
  tried("utimensat now", [&] { return utimensat(AT_FDCWD, name, nullptr, 0) == 0; });
  tried("setxattr user", [&] { return sets_attribute(path, "user.attempt"); });
  by_reading("fsetxattr", [](int fd) { return fsetxattr(fd, "user.other", bytes().data(), 8, 0) == 0; });
  by_reading("io_uring fsetxattr", [](int fd) {
    return by_ring([&](io_uring_sqe* sqe) { io_uring_prep_fsetxattr(sqe, fd, "user.ring", "x", 0, 1); }) == 0;
  });
  tried("removexattr", [&] { return removexattr(name, "user.attempt") == 0; });
  tried("setxattr trusted", [&] { return sets_attribute(path, "trusted.attempt"); });
  tried("setxattr security", [&] { return sets_attribute(path, "security.attempt"); });
  tried("set capability", [&] { return sets_capability(path); });
  tried("remove capability", [&] { return removexattr(name, "security.capability") == 0; });
  tried("set ACL", [&] { return sets_acl(path, 0); });
  tried("remove ACL", [&] { return removexattr(name, "system.posix_acl_access") == 0; });
  by_reading("FS_IOC_SETFLAGS", [](int fd) { return toggles_flag(fd, FS_NODUMP_FL); });
  by_reading("FS_IOC_SETFLAGS immutable", [](int fd) { return toggles_flag(fd, FS_IMMUTABLE_FL); });
  by_reading("FS_IOC_FSSETXATTR", [](int fd) { return toggles_extended_flag(fd, FS_XFLAG_NODUMP); });
  tried("file_setattr", [&] { return sets_file_attributes(path); });
  by_reading("FS_IOC_SETVERSION", [](int fd) { return sets_version(fd, FS_IOC_SETVERSION); });
  by_reading("EXT4_IOC_SETVERSION", [](int fd) { return sets_version(fd, _IOW('f', 4, long)); });
  by_reading("EXT4_IOC_MIGRATE", [](int fd) { return ioctl(fd, _IO('f', 9)) == 0; });
}

/// Over mounts of the caller's own: mounts are his, the inode is not.
void harm_by_mounts(const std::string& path, const std::string& spare) {
  const std::size_t slash = path.rfind('/');
  const std::string dir = path.substr(0, slash), last = path.substr(slash);
  const std::string bound = spare + "/bound", merged = spare + "/merged", lower = spare + "/lower",
                    work = spare + "/work";
  for (const std::string& made : {bound, merged, lower, work}) mkdir(made.c_str(), 0755);
  attempt(path, "bind mount", [&] { return mount(dir.c_str(), bound.c_str(), nullptr, MS_BIND, nullptr) == 0; });
  attempt(path, "mounted anew",
          [&] { return mount(nullptr, bound.c_str(), nullptr, MS_BIND | MS_REMOUNT, nullptr) == 0; });
  harm_by(path, bound + last, "bind mount");
  umount2(bound.c_str(), MNT_DETACH);
  attempt(path, "another idmapped mount", [&] {
    const Open tree(open_tree(AT_FDCWD, dir.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)),
        user("/proc/self/ns/user", O_RDONLY);
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_IDMAP;
    attributes.userns_fd = static_cast<std::uint64_t>(user.fd());
    return mount_setattr(tree.fd(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0;
  });
  // The tree as the upper directory: what is changed there is changed in place.
  const std::string options = "userxattr,lowerdir=" + lower + ",upperdir=" + dir + ",workdir=" + work;
  attempt(path, "overlay", [&] { return mount("overlay", merged.c_str(), "overlay", 0, options.c_str()) == 0; });
  harm_by(path, merged + last, "overlay");
  attempt(path, "overlay: FIDEDUPERANGE", [&] {
    const std::string other = partner_of(path, merged, Bytes::same);
    const bool done = dedupes(merged + last, other);
    const int code = errno;
    unlink(other.c_str());
    errno = code;
    return done;
  });
  umount2(merged.c_str(), MNT_DETACH);
}

/// What is refused to whoever is nobody outside, whichever file it is.
void harm_beyond(const std::string& path, const std::string& spare) {
  attempt(path, "swapon", [&] { return swapon(path.c_str(), 0) == 0 && swapoff(path.c_str()) == 0; });
  attempt(path, "acct", [&] { return acct(path.c_str()) == 0 && acct(nullptr) == 0; });
  attempt(path, "mknod of its disk", [&] {
    struct stat stat {};
    ::stat(path.c_str(), &stat);
    return mknod((spare + "/disk").c_str(), S_IFBLK | 0600, stat.st_dev) == 0;
  });
  attempt(path, "FIFREEZE", [&] {
    const Open dir(spare, O_RDONLY | O_DIRECTORY);
    int nothing = 0;
    const bool done = ioctl(dir.fd(), FIFREEZE, &nothing) == 0;
    const int code = errno;
    (void)ioctl(dir.fd(), FITHAW, &nothing);
    errno = code;
    return done;
  });
}

bool write_to(const std::string& path, const std::string& text) {
  const Open file(path, O_WRONLY);
  return write(file.fd(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// A user namespace of numbers from 200000, by a process that lives until `let_go` is closed.
int user_namespace() {
  std::array<int, 2> ready{}, let_go{};
  if (pipe(ready.data()) != 0 || pipe(let_go.data()) != 0) return -1;
  const pid_t holder = fork();
  char byte = 0;
  if (holder == 0) {
    close(let_go[1]);
    if (unshare(CLONE_NEWUSER) != 0) _exit(1);
    (void)!write(ready[1], "x", 1);
    (void)!read(let_go[0], &byte, 1);
    _exit(0);
  }
  (void)!read(ready[0], &byte, 1);
  const std::string proc = "/proc/" + std::to_string(holder);
  const bool mapped = write_to(proc + "/uid_map", "0 200000 65536") && write_to(proc + "/gid_map", "0 200000 65536");
  const int fd = mapped ? open((proc + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC) : -1;
  for (const int end : {ready[0], ready[1], let_go[0], let_go[1]}) close(end);
  waitpid(holder, nullptr, 0);
  return fd;
}

/// The machine's root is an initramfs, which is no mount to pivot from.
bool enter(const std::string& dir, int user) {
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  const Open tree(open_tree(AT_FDCWD, dir.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<std::uint64_t>(user);
  return mount_setattr(tree.fd(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0 &&
         move_mount(tree.fd(), "", AT_FDCWD, dir.c_str(), MOVE_MOUNT_F_EMPTY_PATH) == 0 && chdir(dir.c_str()) == 0 &&
         mount("/proc", "proc", nullptr, MS_BIND, nullptr) == 0 &&
         mount("/sys", "sys", nullptr, MS_BIND | MS_REC, nullptr) == 0 &&
         mount(".", "/", nullptr, MS_MOVE, nullptr) == 0 && chroot(".") == 0 && chdir("/") == 0 &&
         setns(user, CLONE_NEWUSER) == 0 && setgid(0) == 0 && setuid(0) == 0 &&
         unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) == 0;
}

/// As the first process of the pid namespace.
void run_inside(const std::vector<std::string>& command) {
  // The host's, below, is what the kernel wants to see before it mounts another.
  if (mount("proc", "proc", "proc", 0, nullptr) != 0) {
    std::perror("attempts: /proc of a guest");
    _exit(99);
  }
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execvp(words[0], words.data());
  std::perror(words[0]);
  _exit(99);
}

}  // namespace

void harm(const std::string& path, const std::string& spare) {
  harm_content(path, spare);
  // Emptied where that was let: there is something again for what follows.
  if (const Open file(path, O_WRONLY); file) {
    const std::string content(16 * kPage, 'c');
    (void)!write(file.fd(), content.data(), content.size());
  }
  harm_metadata(path);
  harm_by_mounts(path, spare);
  harm_beyond(path, spare);
  // The last: nobody writes such a file any more.
  attempt(path, "FS_IOC_ENABLE_VERITY", [&] { return enables_verity(Open(path, O_RDONLY).fd()); });
}

int idmapped(const std::string& dir, const std::vector<std::string>& command) {
  const Open user(user_namespace());
  if (!user || !enter(dir, user.fd())) {
    std::perror("attempts: an idmapped guest");
    return 99;
  }
  const pid_t first = fork();
  if (first == 0) run_inside(command);
  int status = 0;
  waitpid(first, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

}  // namespace attempts
