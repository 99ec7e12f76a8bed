// Looking at inodes and setting what they say of themselves: statx, owner, mode, times, extended attributes, inode
// flags.

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "engine/sys/call.h"
#include "engine/sys/kernel.h"

namespace vskel::sys {

using detail::Effect;

namespace {

FileType type_of(unsigned mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return FileType::regular;
    case S_IFDIR:
      return FileType::directory;
    case S_IFLNK:
      return FileType::symlink;
    case S_IFIFO:
      return FileType::fifo;
    case S_IFSOCK:
      return FileType::socket;
    case S_IFCHR:
      return FileType::character;
    case S_IFBLK:
      return FileType::block;
    default:
      return FileType::unknown;
  }
}

Stat from_statx(const struct statx& raw) {
  Stat out;
  out.type = type_of(raw.stx_mode);
  out.mode = raw.stx_mode & 07777U;
  out.uid = raw.stx_uid;
  out.gid = raw.stx_gid;
  out.nlink = raw.stx_nlink;
  out.inode = raw.stx_ino;
  out.device = makedev(raw.stx_dev_major, raw.stx_dev_minor);
  out.rdev = makedev(raw.stx_rdev_major, raw.stx_rdev_minor);
  out.size = raw.stx_size;
  out.blocks = raw.stx_blocks;
  out.atime = {raw.stx_atime.tv_sec, raw.stx_atime.tv_nsec};
  out.mtime = {raw.stx_mtime.tv_sec, raw.stx_mtime.tv_nsec};
  out.ctime = {raw.stx_ctime.tv_sec, raw.stx_ctime.tv_nsec};
  out.immutable = (raw.stx_attributes & STATX_ATTR_IMMUTABLE) != 0;
  out.append = (raw.stx_attributes & STATX_ATTR_APPEND) != 0;
  out.mount_root = (raw.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  return out;
}

Result<Stat> stat_name(const Fd& dir, const char* name, int flags) {
  struct statx raw {};
  TRY(detail::perform("stat", "statx", Effect::looks, dir, name, [&] {
    return ::statx(dir.number(), name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &raw);
  }));
  return from_statx(raw);
}

/// Inode number and generation in a file's handle; nullopt: of a form that is not known.
struct HandleParts {
  std::uint64_t inode;
  std::uint32_t generation;
};
std::optional<HandleParts> parts_of(int type, std::span<const std::byte> handle) {
  constexpr int kInode32Generation = 1;  // include/linux/exportfs.h: FILEID_INO32_GEN; also tmpfs, with its own order
  constexpr int kXfs64 = 0x81;           // fs/xfs/xfs_export.h: XFS_FILEID_TYPE_64FLAG | FILEID_INO32_GEN
  std::array<std::uint32_t, 3> words{};
  if (handle.size() > sizeof words) return std::nullopt;
  std::memcpy(words.data(), handle.data(), handle.size());
  const auto [first, second, third] = words;
  if (type == kInode32Generation && handle.size() == 8) return HandleParts{first, second};
  if (type == kInode32Generation && handle.size() == 12)
    return HandleParts{second | (std::uint64_t{third} << 32), first};
  if (type == kXfs64 && handle.size() == 12) return HandleParts{first | (std::uint64_t{second} << 32), third};
  return std::nullopt;
}

Result<Identity> identity_of(const Fd& dir, const char* name, int flags) {
  const Stat stat = TRY(stat_name(dir, name, flags));
  struct {
    file_handle head;
    std::array<std::byte, MAX_HANDLE_SZ> bytes;
  } handle{};
  handle.head.handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  TRY(detail::perform("identify", "name_to_handle_at", Effect::looks, dir, name,
                      [&] { return ::name_to_handle_at(dir.number(), name, &handle.head, &mount, flags); }));
  const auto parts = parts_of(handle.head.handle_type, std::span(handle.bytes).first(handle.head.handle_bytes));
  // Who swapped the name between the two calls gets an error; so does a file system whose inode has another number than
  // statx(2) tells.
  if (!parts || parts->inode != stat.inode) return detail::failed("identify", dir, name, EOPNOTSUPP);
  return Identity{stat.device, stat.inode, parts->generation, stat.immutable};
}

/// The path by which xattr calls, which have no *at form before Linux 6.13, reach what `fd` pins.
std::array<char, 32> self_path(const Fd& fd) {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd.number());
  return path;
}

Result<Fd> pin(const DirFd& dir, Name name) {
  return Fd(TRY(detail::attempt("open", "openat", Effect::looks, dir, name.c_str(), [&] {
    return ::openat(dir.number(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
  })));
}

/// listxattr and getxattr of what stands at `path`; both forms of xattrs() end here. lgetxattr on /proc/self/fd would
/// look at the magic link itself, so the following forms are right: they end at the pinned inode, be it a symlink.
Result<std::vector<Xattr>> xattrs_at(const char* path, const Fd& blamed_dir, const char* blamed_name) {
  std::vector<Xattr> out;
  std::array<char, 1024> small{};
  std::string names;
  ssize_t size = ::listxattr(path, small.data(), small.size());
  if (size < 0 && (errno == ENOTSUP || errno == ENODATA)) return out;
  if (size < 0 && errno == ERANGE) {
    names.resize(XATTR_LIST_MAX);
    size = ::listxattr(path, names.data(), names.size());
  } else if (size > 0) {
    names.assign(small.data(), static_cast<std::size_t>(size));
  }
  if (size < 0) return detail::failed("list attributes", blamed_dir, blamed_name, errno);
  names.resize(static_cast<std::size_t>(size));
  for (std::size_t at = 0; at < names.size(); at += std::char_traits<char>::length(names.c_str() + at) + 1) {
    Xattr xattr{names.c_str() + at, std::string(256, '\0')};
    ssize_t length = ::getxattr(path, xattr.name.c_str(), xattr.value.data(), xattr.value.size());
    if (length < 0 && errno == ERANGE) {
      xattr.value.resize(XATTR_SIZE_MAX);
      length = ::getxattr(path, xattr.name.c_str(), xattr.value.data(), xattr.value.size());
    }
    if (length < 0 && errno == ENODATA) continue;
    if (length < 0) return detail::failed("read attribute", blamed_dir, blamed_name, errno);
    xattr.value.resize(static_cast<std::size_t>(length));
    out.push_back(std::move(xattr));
  }
  std::ranges::sort(out);
  return out;
}

timespec to_timespec(Time time) { return {time.seconds, static_cast<long>(time.nanoseconds)}; }

Result<> set_times_at(const Fd& dir, const char* name, int flags, Time atime, Time mtime) {
  const std::array<timespec, 2> times{to_timespec(atime), to_timespec(mtime)};
  return detail::perform("set times", "utimensat", Effect::changes, dir, name, [&] {
    return *name == '\0' ? ::futimens(dir.number(), times.data())
                         : ::utimensat(dir.number(), name, times.data(), flags);
  });
}

// file_getattr(2) and file_setattr(2), Linux 6.17; headers of Debian 12 don't know them.
constexpr long kSysFileGetattr = 468, kSysFileSetattr = 469;
static_assert(sizeof(FileAttributes) == 24, "struct fsxattr without its padding, FILE_ATTR_SIZE_VER0");
constexpr std::uint64_t kXflagAppend = 0x10;

std::uint64_t to_xflags(std::uint32_t flags) {
  return ((flags & kImmutableFlag) != 0 ? FileAttributes::kXflagImmutable : 0) |
         ((flags & kAppendFlag) != 0 ? kXflagAppend : 0);
}

std::atomic<bool> has_file_attributes{true};

/// True if it was done; false where kernel or file system have no file_setattr(2).
Result<bool> change_flags_by_name(const DirFd& dir, Name name, std::uint32_t set, std::uint32_t clear) {
  auto attributes = TRY(file_attributes(dir, name));
  if (!attributes) return false;
  const std::uint64_t wanted = (attributes->xflags | to_xflags(set)) & ~to_xflags(clear);
  if (wanted == attributes->xflags) return true;
  attributes->xflags = wanted;
  return set_file_attributes(dir, name, *attributes);
}

}  // namespace

Result<Identity> identity(const DirFd& dir, Name name) { return identity_of(dir, name.c_str(), 0); }

Result<Identity> identity(const Fd& fd) { return identity_of(fd, "", AT_EMPTY_PATH); }

Result<Stat> stat(const DirFd& dir, Name name) { return stat_name(dir, name.c_str(), 0); }
Result<Stat> stat(const Fd& fd) { return stat_name(fd, "", AT_EMPTY_PATH); }

Result<std::optional<Stat>> stat_if_there(const DirFd& dir, Name name) {
  auto found = stat(dir, name);
  if (found) return *found;
  if (found.error().code == ENOENT) return std::nullopt;
  return std::unexpected(std::move(found).error());
}

Result<bool> is_mount_point(const DirFd& dir, Name name) {
  if (detail::is_mounted_over(dir, name.c_str())) return true;
  const auto found = TRY(stat_if_there(dir, name));
  return found && found->mount_root;
}

Result<std::string> read_link(const DirFd& dir, Name name) {
  std::string target(4096, '\0');  // PATH_MAX bounds a link's target
  const ssize_t size = TRY(detail::attempt("read link", "readlinkat", Effect::looks, dir, name.c_str(), [&] {
    return ::readlinkat(dir.number(), name.c_str(), target.data(), target.size());
  }));
  target.resize(static_cast<std::size_t>(size));
  return target;
}

Result<std::size_t> get_dents(const DirFd& dir, std::span<std::byte> buffer) {
  return static_cast<std::size_t>(TRY(detail::attempt("read directory", "getdents64", Effect::looks, dir, "", [&] {
    return ::syscall(SYS_getdents64, dir.number(), buffer.data(), buffer.size());
  })));
}

Result<> rewind(const DirFd& dir) {
  (void)TRY(detail::attempt("read directory", "lseek", Effect::looks, dir, "",
                            [&] { return ::lseek(dir.number(), 0, SEEK_SET); }));
  return {};
}

Result<std::vector<Xattr>> xattrs(const Fd& fd) {
  // The f-forms work on open descriptors without /proc; the first call answers for the common file, which has none.
  std::array<char, 1> probe{};
  const ssize_t size = ::flistxattr(fd.number(), probe.data(), 0);
  if (size == 0 || (size < 0 && (errno == ENOTSUP || errno == ENODATA))) return std::vector<Xattr>{};
  return xattrs_at(self_path(fd).data(), fd, "");
}

Result<std::vector<Xattr>> xattrs(const DirFd& dir, Name name) {
  // listxattrat(2), Linux 6.13, answers for the common name, which has none, in one call instead of three.
  constexpr long kSysListxattrat = 465;
  const long size = ::syscall(kSysListxattrat, dir.number(), name.c_str(), AT_SYMLINK_NOFOLLOW, nullptr, 0);
  if (size == 0 || (size < 0 && (errno == ENOTSUP || errno == ENODATA))) return std::vector<Xattr>{};
  const Fd pinned = TRY(pin(dir, name));
  return xattrs_at(self_path(pinned).data(), dir, name.c_str());
}

Result<> set_owner(const Fd& fd, std::uint32_t uid, std::uint32_t gid) {
  return detail::perform("set owner", "fchown", Effect::changes, fd, "",
                         [&] { return ::fchown(fd.number(), uid, gid); });
}

Result<> set_owner(const DirFd& dir, Name name, std::uint32_t uid, std::uint32_t gid) {
  return detail::perform("set owner", "fchownat", Effect::changes, dir, name.c_str(),
                         [&] { return ::fchownat(dir.number(), name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW); });
}

Result<> set_mode(const Fd& fd, std::uint32_t mode) {
  return detail::perform("set mode", "fchmod", Effect::changes, fd, "", [&] { return ::fchmod(fd.number(), mode); });
}

Result<> set_mode(const DirFd& dir, Name name, std::uint32_t mode) {
  // fchmodat2(2) is Linux 6.6; before it, chmod through the pinned inode's magic link is what glibc does as well.
  const Fd pinned = TRY(pin(dir, name));
  const Stat what = TRY(stat(pinned));
  if (what.type == FileType::symlink) return detail::failed("set mode", dir, name.c_str(), ELOOP);
  return detail::perform("set mode", "fchmodat", Effect::changes, dir, name.c_str(),
                         [&] { return ::chmod(self_path(pinned).data(), mode); });
}

Result<> set_times(const Fd& fd, Time atime, Time mtime) { return set_times_at(fd, "", 0, atime, mtime); }
Result<> set_times(const DirFd& dir, Name name, Time atime, Time mtime) {
  return set_times_at(dir, name.c_str(), AT_SYMLINK_NOFOLLOW, atime, mtime);
}

Result<> set_xattr(const Fd& fd, const Xattr& xattr) {
  return detail::perform("set attribute", "fsetxattr", Effect::changes, fd, "", [&] {
    return ::fsetxattr(fd.number(), xattr.name.c_str(), xattr.value.data(), xattr.value.size(), 0);
  });
}

Result<> set_xattr(const DirFd& dir, Name name, const Xattr& xattr) {
  const Fd pinned = TRY(pin(dir, name));
  return detail::perform("set attribute", "setxattr", Effect::changes, dir, name.c_str(), [&] {
    return ::setxattr(self_path(pinned).data(), xattr.name.c_str(), xattr.value.data(), xattr.value.size(), 0);
  });
}

Result<> remove_xattr(const Fd& fd, const std::string& name) {
  return detail::perform("remove attribute", "fremovexattr", Effect::changes, fd, "",
                         [&] { return ::fremovexattr(fd.number(), name.c_str()); });
}

Result<std::uint32_t> flags(const Fd& fd) {
  int value = 0;  // the ioctl is declared with long and takes int: linux/fs.h, ioctl_iflags(2)
  TRY(detail::perform("read flags", "FS_IOC_GETFLAGS", Effect::looks, fd, "",
                      [&] { return ::ioctl(fd.number(), FS_IOC_GETFLAGS, &value); }));
  return static_cast<std::uint32_t>(value);
}

Result<> set_flags(const Fd& fd, std::uint32_t wanted) {
  int value = static_cast<int>(wanted);
  return detail::perform("set flags", "FS_IOC_SETFLAGS", Effect::changes, fd, "",
                         [&] { return ::ioctl(fd.number(), FS_IOC_SETFLAGS, &value); });
}

Result<> make_subvolume_writable(const DirFd& dir) {
  std::uint64_t value = 0;
  TRY(detail::perform("read flags of subvolume", "BTRFS_IOC_SUBVOL_GETFLAGS", Effect::looks, dir, "",
                      [&] { return ::ioctl(dir.number(), BTRFS_IOC_SUBVOL_GETFLAGS, &value); }));
  if ((value & BTRFS_SUBVOL_RDONLY) == 0) return {};
  value &= ~static_cast<std::uint64_t>(BTRFS_SUBVOL_RDONLY);
  return detail::perform("set flags of subvolume", "BTRFS_IOC_SUBVOL_SETFLAGS", Effect::changes, dir, "",
                         [&] { return ::ioctl(dir.number(), BTRFS_IOC_SUBVOL_SETFLAGS, &value); });
}

Result<std::optional<FileAttributes>> file_attributes(const DirFd& dir, Name name) {
  if (!has_file_attributes.load(std::memory_order_relaxed)) return std::nullopt;
  FileAttributes out;
  const auto found = detail::perform("read flags", "file_getattr", Effect::looks, dir, name.c_str(), [&] {
    return ::syscall(kSysFileGetattr, dir.number(), name.c_str(), &out, sizeof out, AT_SYMLINK_NOFOLLOW);
  });
  if (found) return out;
  const int code = found.error().code;
  if (code == ENOSYS) has_file_attributes.store(false, std::memory_order_relaxed);
  if (code == ENOSYS || code == EOPNOTSUPP || code == ENOTTY) return std::nullopt;
  return std::unexpected(found.error());
}

Result<bool> set_file_attributes(const DirFd& dir, Name name, const FileAttributes& attributes) {
  FileAttributes wanted = attributes;
  const auto done = detail::perform("set flags", "file_setattr", Effect::changes, dir, name.c_str(), [&] {
    return ::syscall(kSysFileSetattr, dir.number(), name.c_str(), &wanted, sizeof wanted, AT_SYMLINK_NOFOLLOW);
  });
  if (done) return true;
  const int code = done.error().code;
  // Read-only bits that file_getattr reports (HASATTR, say) are refused by some file systems as EINVAL: the ioctl knows
  // better.
  // A container's filter may know the one call and not the other.
  if (code == ENOSYS) has_file_attributes.store(false, std::memory_order_relaxed);
  if (code == ENOSYS || code == EOPNOTSUPP || code == ENOTTY || code == EINVAL) return false;
  return std::unexpected(done.error());
}

Result<> change_flags(const DirFd& dir, Name name, std::uint32_t set, std::uint32_t clear) {
  constexpr std::uint32_t kByName = kImmutableFlag | kAppendFlag;
  if (((set | clear) & ~kByName) == 0 && TRY(change_flags_by_name(dir, name, set, clear))) return {};
  const auto open = [&]() -> Result<int> {
    return detail::attempt("open", "openat", Effect::looks, dir, name.c_str(), [&] {
      return ::openat(dir.number(), name.c_str(),
                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_NOATIME | O_CLOEXEC);
    });
  };
  auto opened = open();
  if (!opened && opened.error().code == EAGAIN) opened = detail::open_past_lease(dir, name.c_str(), open);
  const Fd file(TRY(std::move(opened)));
  const std::uint32_t now = TRY(flags(file));
  const std::uint32_t wanted = (now | set) & ~clear;
  if (wanted == now) return {};
  return set_flags(file, wanted);
}

}  // namespace vskel::sys
