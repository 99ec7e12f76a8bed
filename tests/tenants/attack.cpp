#include "tests/tenants/attack.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace vskel::test {

namespace {

constexpr const char* kMade = "attacker-made";
constexpr int kNotTried = ESTALE;

int outcome(long value) { return value < 0 ? errno : 0; }

int exchange_names(const std::string& a, const std::string& b) {
  return outcome(::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE));
}

/// What was made as kMade takes the place of what stands at `path`, in one step where something stands there.
int put_made(const std::string& path, int made) {
  if (made != 0) return made;
  const int exchanged = exchange_names(kMade, path);
  return exchanged == ENOENT ? outcome(::rename(kMade, path.c_str())) : exchanged;
}

int make_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) return errno;
  const int result = outcome(::write(fd, kMark, std::strlen(kMark)));
  ::close(fd);
  return result;
}

int make_socket() {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, kMade);
  const int result = outcome(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address));
  ::close(fd);
  return result;
}

/// Is it a file of the tenant's own, which no seal is to keep him from? Else the errno.
int is_own_file(const AttackPlace& place) {
  struct stat status {};
  if (::lstat(place.path.c_str(), &status) != 0) return errno;
  return S_ISREG(status.st_mode) && !place.sealed->contains(status.st_ino) ? 0 : kNotTried;
}

template <class Use>
int with_own_file(const AttackPlace& place, int how, Use use) {
  if (const int code = is_own_file(place); code != 0) return code;
  const int fd = ::open(place.path.c_str(), how | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno;
  const int result = use(fd);
  ::close(fd);
  return result;
}

int write_mark(int fd) { return outcome(::write(fd, kMark, std::strlen(kMark))); }

std::string moved_target(const AttackPlace& place) { return place.canary + "/directory"; }

int rewrite_unseen(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return errno;
  if (status.st_size < static_cast<off_t>(std::strlen(kMark))) return kNotTried;
  if (const int code = outcome(::pwrite(fd, kMark, std::strlen(kMark), 0)); code != 0) return code;
  const std::array<timespec, 2> times{status.st_atim, status.st_mtim};
  return outcome(::futimens(fd, times.data()));
}

int parent_for_symlink(const AttackPlace& place) {
  const std::string parent = parent_of(place.path);
  if (parent == ".") return kNotTried;
  if (const int code = outcome(::rename(parent.c_str(), kMovedName)); code != 0) return code;
  return outcome(::symlink(moved_target(place).c_str(), parent.c_str()));
}

int remove_subtree(const AttackPlace& place) {
  std::error_code error;
  const std::string parent = parent_of(place.path);
  if (parent == ".") return kNotTried;
  std::filesystem::remove_all(parent, error);
  return error.value();
}

int keep_mapping(const AttackPlace& place, Kept& kept) {
  return with_own_file(place, O_RDWR, [&](int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || status.st_size < 16) return kNotTried;
    void* const at = ::mmap(nullptr, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return errno;
    kept.mapped = static_cast<char*>(at);
    return 0;
  });
}

int mount_over_parent(const AttackPlace& place, Kept& kept) {
  const std::string parent = parent_of(place.path);
  if (parent == ".") return kNotTried;
  const int code = outcome(::mount(moved_target(place).c_str(), parent.c_str(), nullptr, MS_BIND, nullptr));
  if (code == 0) kept.mount = ::open(parent.c_str(), O_PATH | O_CLOEXEC);  // wherever it is moved with what it covers
  return code;
}

using P = const AttackPlace&;

}  // namespace

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

const std::vector<Move>& all_moves() {
  static const std::vector<Move> moves = {
      {"a symlink to a file outside", Trace::node,
       [](P p, Kept&) { return put_made(p.path, outcome(::symlink((p.canary + "/file").c_str(), kMade))); }},
      {"a symlink to a directory outside", Trace::node,
       [](P p, Kept&) { return put_made(p.path, outcome(::symlink(moved_target(p).c_str(), kMade))); }},
      {"a symlink upwards", Trace::node,
       [](P p, Kept&) { return put_made(p.path, outcome(::symlink("../../../../canary/file", kMade))); }},
      {"an empty directory", Trace::node, [](P p, Kept&) { return put_made(p.path, outcome(::mkdir(kMade, 0755))); }},
      {"a directory with a file", Trace::node,
       [](P p, Kept&) {
         if (const int code = outcome(::mkdir(kMade, 0755)); code != 0) return code;
         return put_made(p.path, make_file(std::string(kMade) + "/inside"));
       }},
      {"a FIFO", Trace::node, [](P p, Kept&) { return put_made(p.path, outcome(::mkfifo(kMade, 0644))); }},
      {"a character device", Trace::node,
       [](P p, Kept&) { return put_made(p.path, outcome(::mknod(kMade, S_IFCHR | 0600, makedev(5, 0)))); }},
      {"a block device", Trace::node,
       [](P p, Kept&) { return put_made(p.path, outcome(::mknod(kMade, S_IFBLK | 0600, makedev(7, 250)))); }},
      {"a socket", Trace::node, [](P p, Kept&) { return put_made(p.path, make_socket()); }},
      {"another file", Trace::node, [](P p, Kept&) { return put_made(p.path, make_file(kMade)); }},
      {"a hard link to another file", Trace::node,
       [](P p, Kept&) { return put_made(p.path, outcome(::link(p.partner.c_str(), kMade))); }},
      {"a further name of it", Trace::nothing,
       [](P p, Kept&) { return outcome(::link(p.path.c_str(), (p.path + kBesideSuffix).c_str())); }},
      {"the parent moved up", Trace::moved_parent,
       [](P p, Kept&) {
         const std::string parent = parent_of(p.path);
         return parent == "." ? kNotTried : outcome(::rename(parent.c_str(), kMovedName));
       }},
      {"a symlink for the parent", Trace::parent_node, [](P p, Kept&) { return parent_for_symlink(p); }},
      {"the parent exchanged with a symlink", Trace::parent_node,
       [](P p, Kept&) {
         const std::string parent = parent_of(p.path);
         if (parent == ".") return kNotTried;
         if (const int code = outcome(::symlink(moved_target(p).c_str(), kMovedName)); code != 0) return code;
         return exchange_names(kMovedName, parent);
       }},
      {"the parent away and back", Trace::nothing,
       [](P p, Kept&) {
         const std::string parent = parent_of(p.path);
         if (parent == ".") return kNotTried;
         if (const int code = outcome(::rename(parent.c_str(), kMovedName)); code != 0) return code;
         return outcome(::rename(kMovedName, parent.c_str()));
       }},
      {"two names exchanged", Trace::node, [](P p, Kept&) { return exchange_names(p.path, p.partner); }},
      {"renamed", Trace::nothing,
       [](P p, Kept&) { return outcome(::rename(p.path.c_str(), (p.path + kBesideSuffix).c_str())); }},
      {"renamed over another", Trace::nothing,
       [](P p, Kept&) {
         return p.path == p.partner ? kNotTried : outcome(::rename(p.path.c_str(), p.partner.c_str()));
       }},
      {"truncated", Trace::emptied,
       [](P p, Kept&) { return with_own_file(p, O_WRONLY, [](int fd) { return outcome(::ftruncate(fd, 0)); }); }},
      {"appended to", Trace::mark, [](P p, Kept&) { return with_own_file(p, O_WRONLY | O_APPEND, write_mark); }},
      {"rewritten with its old times", Trace::mark,
       [](P p, Kept&) { return with_own_file(p, O_RDWR, rewrite_unseen); }},
      {"chmod", Trace::mode,
       [](P p, Kept&) {
         const int code = is_own_file(p);
         return code != 0 ? code : outcome(::chmod(p.path.c_str(), kAttackerMode));
       }},
      {"chown", Trace::owner,
       [](P p, Kept&) {
         const int code = is_own_file(p);
         return code != 0 ? code : outcome(::lchown(p.path.c_str(), kAttackerOwner, kAttackerOwner));
       }},
      {"setxattr", Trace::xattr,
       [](P p, Kept&) {
         const int code = is_own_file(p);
         return code != 0 ? code : outcome(::lsetxattr(p.path.c_str(), "user.attacker", "x", 1, 0));
       }},
      {"utimes", Trace::nothing,
       [](P p, Kept&) {
         const int code = is_own_file(p);
         return code != 0 ? code : outcome(::utimensat(AT_FDCWD, p.path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW));
       }},
      {"deleted", Trace::absent, [](P p, Kept&) { return outcome(::unlink(p.path.c_str())); }},
      {"the parent removed", Trace::nothing, [](P p, Kept&) { return remove_subtree(p); }},
      {"a file added beside", Trace::file_beside, [](P p, Kept&) { return make_file(p.path + kBesideSuffix); }},
      {"a descriptor kept and written to later", Trace::mark,
       [](P p, Kept& kept) {
         return with_own_file(p, O_RDWR | O_APPEND, [&](int fd) { return outcome(kept.fd = ::dup(fd)); });
       }},
      {"a mapping kept and written to later", Trace::mark, keep_mapping},
      {"a write lease kept", Trace::nothing,
       [](P p, Kept& kept) {
         return with_own_file(p, O_RDONLY, [&](int fd) {
           ::signal(SIGIO, SIG_IGN);
           const int code = outcome(::fcntl(fd, F_SETLEASE, F_WRLCK));
           kept.fd = ::dup(fd);
           return code;
         });
       }},
      {"a mount over the parent", Trace::nothing, mount_over_parent},
  };
  return moves;
}

void finish(Kept& kept) {
  if (kept.fd >= 0) {
    (void)!::write(kept.fd, kMark, std::strlen(kMark));
    ::close(kept.fd);
  }
  if (kept.mapped != nullptr) std::memcpy(kept.mapped, kMark, std::strlen(kMark));
  if (kept.mount >= 0) {
    ::umount2(("/proc/self/fd/" + std::to_string(kept.mount)).c_str(), MNT_DETACH);
    ::close(kept.mount);
  }
}

}  // namespace vskel::test
