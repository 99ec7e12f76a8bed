// Every way that the kernel offers to change a file, and every way to make, move and remove its names, tried one after
// the other as whoever runs this. One line each: WAY ANSWER, the answer being "ok" or the name of an errno.
//
//   attempts change PATH            ways to change PATH; each is undone or harmless where it succeeds
//   attempts names PATH DIR         ways to link, move and remove names of PATH within DIR; PATH itself stays
//   attempts hold PATH              opens PATH for writing, prints "open" and waits for the end of standard input, then
//                                   writes by the descriptor: "wrote ANSWER"
//   attempts rate PATH SECONDS      opens PATH for writing and closes it, over and over: opens per second
//   attempts fill DIR COUNT         makes COUNT small files DIR/N/M, a thousand in each directory
//   attempts race PATH SECONDS      opens PATH for writing over and over; who gets in writes "R"; says how often
//   attempts lease DIR              tries a write lease and an exclusive flock on every file in DIR by a descriptor for
//                                   reading, then the same for reading, and says how many of each it got; keeps what it
//                                   has until the end of standard input
//   attempts opens DIR              opens every file in DIR for reading and says how long the slowest took; not more
//                                   than ten seconds in all
//   attempts reads PATH SECONDS     reads a byte of PATH, over and over: reads per second
//   attempts dedupe FROM TO         FIDEDUPERANGE of all of TO from FROM by descriptors for reading; says whether TO
//   has
//                                   other blocks then
//   attempts maps                   looks for the guard's maps by their numbers and by their pin, and empties what it
//                                   gets
//   attempts older PATH             loads no program, but pins maps as a guard before version 0.2 has them: PATH is
//                                   sealed, and seven opens were refused
//   attempts harm PATH SPARE        ways to change PATH, each for real (guest.h)
//   attempts idmapped DIR COMMAND...  runs COMMAND as the root of a guest in DIR, by an idmapped mount (guest.h)
//   attempts beats FILE ROOT        a guest at work in ROOT, until FILE has no name any more: looks at the clock a
//                                   hundred times a second and opens, reads, writes, renames, forks at every eighth
//                                   look; notes in FILE the longest time between two, says what is not as it should
//                                   be, and at the end how often he wrote
//   attempts gaps FILE...           the longest time between two beats of those guests since the last call, in ms;
//                                   waits until each has beaten again
//
// Nothing of the engine is used: what judges it must not share its faults.

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "guest.h"
#include "liburing.h"

namespace {

/// linux/fsverity.h
struct EnableVerity {
  std::uint32_t version = 1, hash_algorithm = 1, block_size = 4096, salt_size = 0;
  std::uint64_t salt_ptr = 0;
  std::uint32_t sig_size = 0, reserved1 = 0;
  std::uint64_t sig_ptr = 0;
  std::array<std::uint64_t, 11> reserved2{};
};
constexpr unsigned long kEnableVerity = _IOW('f', 133, EnableVerity);

#if defined(__x86_64__)
/// As a 32-bit program asks: through the old gate of system calls, which has their numbers. `argument` below 4 GiB.
bool ioctl_of_32_bits(int fd, std::uint32_t command, void* argument) {
  constexpr long kIoctl = 54;
  long result = kIoctl;
  asm volatile("int $0x80" : "+a"(result) : "b"(fd), "c"(command), "d"(argument) : "memory", "r8", "r9", "r10", "r11");
  if (result >= 0) return true;
  errno = static_cast<int>(-result);
  return false;
}
#endif

void tell(const char* way, bool done) {
  const int code = errno;
  std::printf("%-28s %s\n", way, done ? "ok" : strerrorname_np(code));
  std::fflush(stdout);
}

/// What `open` gives, closed.
bool opens(int fd) {
  if (fd < 0) return false;
  close(fd);
  return true;
}

bool opens_by_handle(const std::string& path) {
  struct {
    file_handle head;
    std::array<unsigned char, MAX_HANDLE_SZ> bytes;
  } handle{};
  handle.head.handle_bytes = MAX_HANDLE_SZ;
  int mount_id = 0;
  if (name_to_handle_at(AT_FDCWD, path.c_str(), &handle.head, &mount_id, 0) != 0) return false;
  const std::string dir = path.substr(0, path.rfind('/'));
  const int mount = open(dir.c_str(), O_RDONLY | O_DIRECTORY);
  const bool done = opens(open_by_handle_at(mount, &handle.head, O_WRONLY));
  const int code = errno;
  close(mount);
  errno = code;
  return done;
}

bool by_ring(const std::string& path, int flags) {
  io_uring ring{};
  if (const int code = io_uring_queue_init(4, &ring, 0); code != 0) {
    errno = -code;
    return false;
  }
  io_uring_prep_openat(io_uring_get_sqe(&ring), AT_FDCWD, path.c_str(), flags, 0);
  io_uring_submit(&ring);
  io_uring_cqe* done = nullptr;
  io_uring_wait_cqe(&ring, &done);
  const int result = done->res;
  io_uring_queue_exit(&ring);
  if (result < 0) errno = -result;
  return result < 0 ? false : opens(result);
}

/// By a magic link to a descriptor that was opened in a way that is allowed.
bool through_proc(const std::string& path, int first) {
  const int fd = open(path.c_str(), first);
  if (fd < 0) return false;
  const bool done = opens(open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR));
  const int code = errno;
  close(fd);
  errno = code;
  return done;
}

void change(const std::string& path) {
  const char* const name = path.c_str();
  tell("open O_WRONLY", opens(open(name, O_WRONLY)));
  tell("open O_RDWR", opens(open(name, O_RDWR)));
  tell("open O_WRONLY O_APPEND", opens(open(name, O_WRONLY | O_APPEND)));
  tell("open O_RDWR O_CREAT", opens(open(name, O_RDWR | O_CREAT, 0600)));
  tell("open 3 (ioctl only)", opens(open(name, 3)));
  tell("open O_WRONLY /proc/self/fd", through_proc(path, O_PATH));
  tell("open O_RDWR of O_RDONLY", through_proc(path, O_RDONLY));
  tell("open_by_handle_at", opens_by_handle(path));
  tell("io_uring openat O_RDWR", by_ring(path, O_RDWR));
  struct stat stat {};
  ::stat(name, &stat);
  // Truncating to the size that it has changes its times only, where it is let.
  tell("truncate", truncate(name, stat.st_size) == 0);
  tell("chmod", chmod(name, stat.st_mode & 07777) == 0);
  tell("chown", chown(name, stat.st_uid, stat.st_gid) == 0);
  tell("lchown", lchown(name, stat.st_uid, stat.st_gid) == 0);
  const std::array<timespec, 2> times{stat.st_atim, stat.st_mtim}, as_is{stat.st_mtim, stat.st_mtim};
  const timespec omitted{0, UTIME_OMIT}, now{0, UTIME_NOW};
  timespec later = stat.st_mtim, a_bit_later = stat.st_mtim;
  later.tv_sec += 1;
  a_bit_later.tv_nsec = (a_bit_later.tv_nsec + 4) % 1'000'000'000;
  const auto set_times = [&](const char* way, timespec atime, timespec mtime) {
    const std::array<timespec, 2> both{atime, mtime};
    const bool done = utimensat(AT_FDCWD, name, both.data(), 0) == 0;
    tell(way, done);
    if (done) utimensat(AT_FDCWD, name, times.data(), 0);
  };
  set_times("utimensat mtime + 1 s", stat.st_mtim, later);
  set_times("utimensat mtime + 4 ns", stat.st_mtim, a_bit_later);
  set_times("utimensat atime + 1 s", later, stat.st_mtim);
  set_times("utimensat atime + 4 ns", a_bit_later, stat.st_mtim);
  set_times("utimensat atime alone", stat.st_mtim, omitted);
  set_times("utimensat mtime alone", omitted, stat.st_mtim);
  set_times("utimensat atime now", now, stat.st_mtim);
  set_times("utimensat mtime now", stat.st_mtim, now);
  tell("utimensat as it is", utimensat(AT_FDCWD, name, as_is.data(), 0) == 0);
  tell("utimensat now", utimensat(AT_FDCWD, name, nullptr, 0) == 0);
  tell("setxattr user", setxattr(name, "user.attempt", "x", 1, 0) == 0);
  tell("setxattr trusted", setxattr(name, "trusted.attempt", "x", 1, 0) == 0);
  tell("setxattr security", setxattr(name, "security.attempt", "x", 1, 0) == 0);
  tell("removexattr", removexattr(name, "user.attempt") == 0);
  // version 2; user:rw-, user 1:r--, group r--, mask r--, other r--
  const std::array<std::uint16_t, 22> acl{2, 0,      1,      6,  0xffff, 0xffff, 2,      4,  1, 0,      4,
                                          4, 0xffff, 0xffff, 16, 4,      0xffff, 0xffff, 32, 4, 0xffff, 0xffff};
  tell("set ACL", setxattr(name, "system.posix_acl_access", acl.data(), sizeof acl, 0) == 0);
  tell("remove ACL", removexattr(name, "system.posix_acl_access") == 0);
  // vfs_cap_data, revision 2, cap_net_raw
  const std::array<std::uint32_t, 5> capability{0x02000000, 1U << 13, 0, 0, 0};
  tell("set capability", setxattr(name, "security.capability", capability.data(), sizeof capability, 0) == 0);

  const int fd = open(name, O_RDONLY);
  tell("open O_RDONLY", fd >= 0);
  std::array<char, 8> bytes{};
  tell("read", read(fd, bytes.data(), bytes.size()) >= 0);
  tell("open O_RDONLY O_TRUNC", opens(open(name, O_RDONLY | O_TRUNC)));
  tell("ftruncate of O_RDONLY", ftruncate(fd, stat.st_size) == 0);
  tell("fchmod", fchmod(fd, stat.st_mode & 07777) == 0);
  tell("fchown", fchown(fd, stat.st_uid, stat.st_gid) == 0);
  const std::array<timespec, 2> other_times{later, later};
  tell("futimens", futimens(fd, other_times.data()) == 0);
  utimensat(AT_FDCWD, name, times.data(), 0);
  tell("fsetxattr", fsetxattr(fd, "user.attempt", "x", 1, 0) == 0);
  tell("fallocate of O_RDONLY", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
  tell("mmap shared of O_RDONLY", mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
  void* const mapped = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
  tell("mprotect of it", mprotect(mapped, 4096, PROT_READ | PROT_WRITE) == 0);
  tell("write by O_RDONLY", write(fd, "x", 1) == 1);
  tell("copy_file_range into", copy_file_range(fd, nullptr, fd, nullptr, 1, 0) == 1);
  tell("FICLONE into", ioctl(fd, FICLONE, fd) == 0);
  int flags = 0;
  tell("FS_IOC_GETFLAGS", ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0);
  tell("FS_IOC_SETFLAGS", ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0);
  fsxattr extended{};
  tell("FS_IOC_FSGETXATTR", ioctl(fd, FS_IOC_FSGETXATTR, &extended) == 0);
  tell("FS_IOC_FSSETXATTR", ioctl(fd, FS_IOC_FSSETXATTR, &extended) == 0);
  int version = 7;
  tell("FS_IOC_SETVERSION", ioctl(fd, FS_IOC_SETVERSION, &version) == 0);
#if defined(__x86_64__)
  void* const low = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  tell("FS_IOC32_GETFLAGS", ioctl_of_32_bits(fd, FS_IOC32_GETFLAGS, low));
  tell("FS_IOC32_SETFLAGS", ioctl_of_32_bits(fd, FS_IOC32_SETFLAGS, low));
  tell("FS_IOC32_SETVERSION", ioctl_of_32_bits(fd, FS_IOC32_SETVERSION, low));
#endif
  EnableVerity verity;
  tell("FS_IOC_ENABLE_VERITY", ioctl(fd, kEnableVerity, &verity) == 0);
  struct {
    std::uint64_t xflags = 0;
    std::uint32_t extsize = 0, nextents = 0, projid = 0, cowextsize = 0;
  } attributes;
  constexpr long kFileSetattr = 469;
  tell("file_setattr", syscall(kFileSetattr, AT_FDCWD, name, &attributes, sizeof attributes, 0) == 0);
  close(fd);
}

void names(const std::string& path, const std::string& dir) {
  const std::string a = dir + "/a", b = dir + "/b", c = dir + "/c";
  tell("link", link(path.c_str(), a.c_str()) == 0);
  tell("rename", rename(a.c_str(), b.c_str()) == 0);
  close(open(c.c_str(), O_WRONLY | O_CREAT, 0600));
  tell("rename over another", rename(c.c_str(), b.c_str()) == 0);
  tell("link again", link(path.c_str(), a.c_str()) == 0);
  tell("exchange", renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0);
  tell("rename another over it", rename(a.c_str(), b.c_str()) == 0);
  tell("symlink to it", symlink(path.c_str(), c.c_str()) == 0);
  unlink(c.c_str());
  const int fd = open(path.c_str(), O_RDONLY);
  tell("link of a descriptor",
       linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(fd)).c_str(), AT_FDCWD, c.c_str(), AT_SYMLINK_FOLLOW) == 0);
  close(fd);
  tell("unlink", unlink(c.c_str()) == 0);
  unlink(b.c_str());
}

void hold(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY);
  if (fd < 0) {
    tell("open", false);
    return;
  }
  std::puts("open");
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  tell("wrote", pwrite(fd, "H", 1, 0) == 1);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void rate(const std::string& path, double seconds) {
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t count = 0, refused = 0;
  while (count % 256 != 0 || seconds_since(start) < seconds) {
    if (!opens(open(path.c_str(), O_WRONLY))) ++refused;
    ++count;
  }
  std::printf("%.0f %s\n", static_cast<double>(count) / seconds_since(start), refused > 0 ? "refused" : "opened");
}

void race(const std::string& path, double seconds) {
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t opened = 0, refused = 0;
  while (seconds_since(start) < seconds) {
    const int fd = open(path.c_str(), O_WRONLY);
    if (fd < 0) {
      ++refused;
      continue;
    }
    ++opened;
    if (pwrite(fd, "R", 1, 0) != 1) std::puts("not written");
    close(fd);
  }
  std::printf("opened %llu refused %llu\n", static_cast<unsigned long long>(opened),
              static_cast<unsigned long long>(refused));
}

int fill(const std::string& dir, int count) {
  for (int at = 0; at < count; ++at) {
    const std::string parent = dir + "/" + std::to_string(at / 1000);
    if (at % 1000 == 0 && mkdir(parent.c_str(), 0755) != 0) return 1;
    const int fd = open((parent + "/" + std::to_string(at % 1000)).c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644);
    const std::string content = "file " + std::to_string(at) + "\n";
    if (fd < 0 || write(fd, content.data(), content.size()) != static_cast<ssize_t>(content.size())) return 1;
    close(fd);
  }
  return 0;
}

std::vector<std::string> files_in(const std::string& dir) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(dir))
    if (entry.is_regular_file()) out.push_back(entry.path());
  return out;
}

void lease(const std::string& dir) {
  std::signal(SIGIO, SIG_IGN);  // which would end us when a lease is broken
  int files = 0, leases = 0, locks = 0, read_leases = 0, shared_locks = 0;
  for (const std::string& path : files_in(dir)) {
    ++files;
    const int fd = open(path.c_str(), O_RDONLY);
    const bool leased = fcntl(fd, F_SETLEASE, F_WRLCK) == 0, locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
    leases += leased;
    locks += locked;
    read_leases += !leased && fcntl(fd, F_SETLEASE, F_RDLCK) == 0 && fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
    shared_locks += !locked && flock(fd, LOCK_SH | LOCK_NB) == 0 && flock(fd, LOCK_UN) == 0;
  }
  std::printf("of %d files: write leases %d, exclusive locks %d, read leases %d, shared locks %d\n", files, leases,
              locks, read_leases, shared_locks);
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
}

void opens_of(const std::string& dir) {
  const auto start = std::chrono::steady_clock::now();
  double longest = 0;
  int count = 0;
  for (const std::string& path : files_in(dir)) {
    if (seconds_since(start) > 10) break;
    const auto before = std::chrono::steady_clock::now();
    count += opens(open(path.c_str(), O_RDONLY));
    longest = std::max(longest, seconds_since(before));
  }
  std::printf("opened %d, slowest %.0f ms\n", count, longest * 1000);
}

int call_bpf(bpf_cmd command, bpf_attr& attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

int make_map(bpf_map_type type, std::uint32_t key, std::uint32_t value, std::uint32_t entries, const char* pin) {
  bpf_attr attributes{};
  attributes.map_type = type;
  attributes.key_size = key;
  attributes.value_size = value;
  attributes.max_entries = entries;
  attributes.map_flags = type == BPF_MAP_TYPE_HASH ? BPF_F_NO_PREALLOC : 0;
  const int map = call_bpf(BPF_MAP_CREATE, attributes);
  if (map < 0) return map;
  attributes = {};
  attributes.pathname = reinterpret_cast<std::uintptr_t>(pin);
  attributes.bpf_fd = static_cast<std::uint32_t>(map);
  return call_bpf(BPF_OBJ_PIN, attributes) == 0 ? map : -1;
}

bool put(int map, const void* key, const void* value) {
  bpf_attr attributes{};
  attributes.map_fd = static_cast<std::uint32_t>(map);
  attributes.key = reinterpret_cast<std::uintptr_t>(key);
  attributes.value = reinterpret_cast<std::uintptr_t>(value);
  return call_bpf(BPF_MAP_UPDATE_ELEM, attributes) == 0;
}

void reads(const std::string& path, double seconds) {
  const int fd = open(path.c_str(), O_RDONLY);
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t count = 0;
  char byte = 0;
  while (count % 256 != 0 || seconds_since(start) < seconds) count += pread(fd, &byte, 1, 0) == 1;
  std::printf("%.0f\n", static_cast<double>(count) / seconds_since(start));
}

/// What ends in an array without a length, with one element.
template <class Head, class Element>
struct WithOne {
  alignas(Head) std::array<std::byte, sizeof(Head) + sizeof(Element)> bytes{};
  Head* operator->() { return reinterpret_cast<Head*>(bytes.data()); }
};

std::uint64_t first_block(int fd) {
  WithOne<fiemap, fiemap_extent> map;
  map->fm_length = FIEMAP_MAX_OFFSET;
  map->fm_flags = FIEMAP_FLAG_SYNC;
  map->fm_extent_count = 1;
  return ioctl(fd, FS_IOC_FIEMAP, map.bytes.data()) == 0 ? map->fm_extents[0].fe_physical : 0;
}

void dedupe(const std::string& from, const std::string& to) {
  const int source = open(from.c_str(), O_RDONLY), target = open(to.c_str(), O_RDONLY);
  struct stat stat {};
  fstat(target, &stat);
  const std::uint64_t before = first_block(target);
  WithOne<file_dedupe_range, file_dedupe_range_info> range;
  range->src_length = static_cast<std::uint64_t>(stat.st_size);
  range->dest_count = 1;
  range->info[0].dest_fd = target;
  const bool asked = ioctl(source, FIDEDUPERANGE, range.bytes.data()) == 0;
  if (asked && range->info[0].status < 0) errno = -range->info[0].status;
  tell("FIDEDUPERANGE", asked && range->info[0].status == 0);
  std::puts(first_block(target) == before ? "same blocks" : "other blocks");
}

/// Whether `map` is that of sealed inodes, and is empty now.
bool empties(int map) {
  bpf_map_info info{};
  bpf_attr attributes{};
  attributes.info.bpf_fd = static_cast<std::uint32_t>(map);
  attributes.info.info_len = sizeof info;
  attributes.info.info = reinterpret_cast<std::uintptr_t>(&info);
  if (call_bpf(BPF_OBJ_GET_INFO_BY_FD, attributes) != 0 || std::strcmp(info.name, "sealed") != 0) return false;
  std::array<unsigned char, 16> key{};
  for (;;) {
    attributes = {};
    attributes.map_fd = static_cast<std::uint32_t>(map);
    attributes.next_key = reinterpret_cast<std::uintptr_t>(key.data());
    if (call_bpf(BPF_MAP_GET_NEXT_KEY, attributes) != 0) return errno == ENOENT;
    attributes = {};
    attributes.map_fd = static_cast<std::uint32_t>(map);
    attributes.key = reinterpret_cast<std::uintptr_t>(key.data());
    if (call_bpf(BPF_MAP_DELETE_ELEM, attributes) != 0) return false;
  }
}

void maps() {
  bpf_attr attributes{};
  int seen = 0, refused = 0, emptied = 0;
  for (std::uint32_t id = 0;; ++seen) {
    attributes = {};
    attributes.start_id = id;
    if (call_bpf(BPF_MAP_GET_NEXT_ID, attributes) != 0) break;
    id = attributes.next_id;
    attributes = {};
    attributes.map_id = id;
    const int map = call_bpf(BPF_MAP_GET_FD_BY_ID, attributes);
    refused += map < 0;
    emptied += map >= 0 && empties(map);
  }
  attributes = {};
  attributes.pathname = reinterpret_cast<std::uintptr_t>("/sys/fs/bpf/vskel/sealed");
  const int pinned = call_bpf(BPF_OBJ_GET, attributes);
  tell("BPF_OBJ_GET", pinned >= 0);
  emptied += pinned >= 0 && empties(pinned);
  std::printf("by number: %d seen, %d refused; emptied: %d\n", seen, refused, emptied);
}

int older(const std::string& path) {
  struct {
    std::uint64_t inode;
    std::uint32_t device, generation;
  } key{};
  struct stat stat {};
  const int fd = open(path.c_str(), O_RDONLY);
  if (fstat(fd, &stat) != 0 || ioctl(fd, FS_IOC_GETVERSION, &key.generation) != 0) return 1;
  key.inode = stat.st_ino;
  key.device = major(stat.st_dev) << 20 | minor(stat.st_dev);
  mkdir("/sys/fs/bpf/vskel", 0700);
  constexpr std::uint32_t kHooks = 8, kOpen = 0;
  const int sealed = make_map(BPF_MAP_TYPE_HASH, sizeof key, 1, 1 << 20, "/sys/fs/bpf/vskel/sealed");
  const int refusals = make_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, kHooks, "/sys/fs/bpf/vskel/refusals");
  const std::uint8_t state = 1;
  const std::array<std::uint64_t, 1024> counts{7};  // of each CPU; more than there are
  return put(sealed, &key, &state) && put(refusals, &kOpen, counts.data()) ? 0 : 1;
}

/// What a guest notes in his file.
struct Beats {
  std::atomic<std::int64_t> longest_gap_ns;
  std::atomic<std::uint64_t> count;
};

/// Of a file that is open for reading and writing; stays mapped.
Beats* map_beats(int fd) {
  void* const mapped = fd < 0 || ftruncate(fd, sizeof(Beats)) != 0
                           ? MAP_FAILED
                           : mmap(nullptr, sizeof(Beats), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return mapped == MAP_FAILED ? nullptr : static_cast<Beats*>(mapped);
}

/// A shared file is always there, and whole: a line of one version or the other. Nobody may open it for writing.
bool is_as_it_should_be(const std::string& path) {
  std::array<char, 64> bytes{};
  const int fd = open(path.c_str(), O_RDONLY);
  const ssize_t got = fd < 0 ? -1 : read(fd, bytes.data(), bytes.size());
  if (fd >= 0) close(fd);
  const std::string_view text(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if ((text.starts_with("file ") || text.starts_with("newer ")) && text.ends_with('\n')) return true;
  std::printf("read %s: %zd bytes, %s\n", path.c_str(), got, got < 0 ? strerrorname_np(errno) : "not a line of it");
  return false;
}
bool is_sealed(const std::string& path) {
  if (!opens(open(path.c_str(), O_WRONLY)) && errno == EPERM) return true;
  std::printf("open %s for writing: %s\n", path.c_str(), strerrorname_np(errno));
  return false;
}
bool writes(const char* path, int how, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CREAT | how, 0644);
  const bool done = fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (!done) std::printf("write %s: %s\n", path, strerrorname_np(errno));
  if (fd >= 0) close(fd);
  return done;
}
bool replaces(const char* path, const std::string& text) {
  const std::string other = std::string(path) + ".new";
  if (!writes(other.c_str(), O_TRUNC, text)) return false;
  if (rename(other.c_str(), path) == 0) return true;
  std::printf("rename %s: %s\n", path, strerrorname_np(errno));
  return false;
}
bool has_a_child_that_reads(const std::string& path) {
  const pid_t child = fork();
  if (child == 0) _exit(opens(open(path.c_str(), O_RDONLY)) ? 0 : 1);
  int status = 1;
  if (child > 0 && waitpid(child, &status, 0) == child && status == 0) return true;
  std::printf("a child that reads %s: %d\n", path.c_str(), status);
  return false;
}

/// A little always, more sometimes.
bool works(std::uint64_t time) {
  // Of the first two hundred files there are two versions; the others may stay.
  const std::string changing = "/usr/lib/0/" + std::to_string(time % 200);
  const std::string staying = "/usr/lib/0/" + std::to_string(200 + time % 800);
  const std::string line = std::to_string(time) + "\n";
  return is_as_it_should_be(changing) && is_as_it_should_be(staying) && writes("/var/log", O_APPEND, line) &&
         (time % 8 != 0 || (is_sealed(changing) && replaces("/var/state", line))) &&
         (time % 32 != 0 || has_a_child_that_reads(staying));
}

int beats(const std::string& file, const std::string& root) {
  const int fd = open(file.c_str(), O_RDWR | O_CREAT, 0600);
  Beats* const told = map_beats(fd);
  if (told == nullptr || chroot(root.c_str()) != 0 || chdir("/") != 0) return 1;
  std::uint64_t beat = 0;
  constexpr std::uint64_t kAtWork = 8;  // ten guests at work all the time would want more than an emulated CPU has
  bool good = true;
  struct stat stat {};
  auto last = std::chrono::steady_clock::now();
  while (good && fstat(fd, &stat) == 0 && stat.st_nlink > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    good = ++beat % kAtWork != 0 || works(beat / kAtWork);
    const auto now = std::chrono::steady_clock::now();
    const std::int64_t gap = std::chrono::nanoseconds(now - last).count();
    last = now;
    if (gap > told->longest_gap_ns) told->longest_gap_ns = gap;
    ++told->count;
  }
  std::printf("wrote %llu\n", static_cast<unsigned long long>(beat / kAtWork));
  return good ? 0 : 1;
}

int gaps(const std::vector<std::string>& files) {
  std::vector<Beats*> all;
  std::vector<std::uint64_t> before;
  for (const std::string& file : files) {
    all.push_back(map_beats(open(file.c_str(), O_RDWR)));
    if (all.back() == nullptr) return 1;
    before.push_back(all.back()->count);
  }
  std::int64_t longest = 0;
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t at = 0; at < all.size(); ++at) {
    // Two: the first one may have been in work before.
    while (all[at]->count < before[at] + 2) {
      if (seconds_since(start) > 20) return 1;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    longest = std::max(longest, all[at]->longest_gap_ns.exchange(0));
  }
  std::printf("%lld\n", static_cast<long long>(longest / 1'000'000));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 2 && words[0] == "change") return change(words[1]), 0;
  if (words.size() == 3 && words[0] == "names") return names(words[1], words[2]), 0;
  if (words.size() == 2 && words[0] == "hold") return hold(words[1]), 0;
  if (words.size() == 3 && words[0] == "fill") return fill(words[1], std::atoi(words[2].c_str()));
  if (words.size() == 3 && words[0] == "rate") return rate(words[1], std::atof(words[2].c_str())), 0;
  if (words.size() == 2 && words[0] == "lease") return lease(words[1]), 0;
  if (words.size() == 2 && words[0] == "opens") return opens_of(words[1]), 0;
  if (words.size() == 3 && words[0] == "reads") return reads(words[1], std::atof(words[2].c_str())), 0;
  if (words.size() == 3 && words[0] == "dedupe") return dedupe(words[1], words[2]), 0;
  if (words.size() == 1 && words[0] == "maps") return maps(), 0;
  if (words.size() == 2 && words[0] == "older") return older(words[1]);
  if (words.size() == 3 && words[0] == "beats") return beats(words[1], words[2]);
  if (words.size() >= 2 && words[0] == "gaps") return gaps({words.begin() + 1, words.end()});
  if (words.size() == 3 && words[0] == "race") return race(words[1], std::atof(words[2].c_str())), 0;
  if (words.size() == 3 && words[0] == "harm") return attempts::harm(words[1], words[2]), 0;
  if (words.size() >= 3 && words[0] == "idmapped")
    return attempts::idmapped(words[1], {words.begin() + 2, words.end()});
  std::fputs("attempts: see the head of attempts.cpp\n", stderr);
  return 2;
}
