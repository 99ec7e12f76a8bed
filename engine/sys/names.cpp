// Opening, making, moving and removing names: the calls that take a directory descriptor and one component.

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

#include "engine/sys/call.h"
#include "engine/sys/kernel.h"

namespace vskel::sys {

using detail::Effect;

namespace {

constexpr std::uint64_t kBeneath = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

/// openat2(2), Linux 5.6. A single component with O_NOFOLLOW is what it does for us, so an older kernel loses only the
/// mount check.
long open_by_openat2(const Fd& dir, const char* name, int flags, std::uint32_t mode, std::uint64_t resolve) {
  struct open_how how {};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC | O_NOFOLLOW;
  how.mode = mode;
  how.resolve = resolve;
  const long number = ::syscall(SYS_openat2, dir.number(), name, &how, sizeof how);
  if (number >= 0 || errno != ENOSYS) return number;
  return ::openat(dir.number(), name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
}

Result<int> open_name(const char* operation, const Fd& dir, const char* name, int flags, std::uint32_t mode,
                      std::uint64_t resolve) {
  if ((resolve & RESOLVE_NO_XDEV) != 0 && detail::is_mounted_over(dir, name)) [[unlikely]]
    return detail::failed(operation, dir, name, EXDEV);
  const Effect effect = (flags & O_CREAT) != 0 ? Effect::changes : Effect::looks;
  return detail::attempt(operation, "openat2", effect, dir, name,
                         [&] { return static_cast<int>(open_by_openat2(dir, name, flags, mode, resolve)); });
}

constexpr int kOpenDir = O_RDONLY | O_DIRECTORY;

mode_t type_bits(FileType type) {
  switch (type) {
    case FileType::fifo:
      return S_IFIFO;
    case FileType::character:
      return S_IFCHR;
    case FileType::block:
      return S_IFBLK;
    case FileType::socket:
      return S_IFSOCK;
    default:
      return S_IFREG;
  }
}

}  // namespace

Result<DirFd> open_root(const std::string& path) {
  const int number = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (number < 0) return fail("open", path, errno);
  return DirFd(number);
}

Result<Fd> open_input(const std::string& path) {
  const int number = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (number < 0) return fail("open", path, errno);
  return Fd(number);
}

Result<DirFd> open_dir(const DirFd& dir, Name name) {
  return DirFd(TRY(open_name("open", dir, name.c_str(), kOpenDir, 0, kBeneath | RESOLVE_NO_XDEV)));
}

Result<DirFd> open_dir_crossing(const DirFd& dir, Name name) {
  return DirFd(TRY(open_name("open", dir, name.c_str(), kOpenDir, 0, kBeneath)));
}

Result<DirFd> reopen(const DirFd& dir) {
  const int number = TRY(detail::attempt("open", "openat", Effect::looks, dir, "",
                                         [&] { return ::openat(dir.number(), ".", kOpenDir | O_CLOEXEC); }));
  return DirFd(number);
}

Result<DirFd> open_dirs(const DirFd& dir, std::string_view relative_path) {
  DirFd current = TRY(reopen(dir));
  while (!relative_path.empty()) {
    const std::size_t slash = relative_path.find('/');
    const std::string component(relative_path.substr(0, slash));
    const auto name = Name::check(component);
    if (!name) return detail::failed("open", current, component.c_str(), EINVAL);
    current = TRY(open_dir(current, *name));
    relative_path.remove_prefix(slash == relative_path.npos ? relative_path.size() : slash + 1);
  }
  return current;
}

Result<std::optional<Pinned>> pin_if_there(const DirFd& dir, Name name) {
  auto pinned = open_name("open", dir, name.c_str(), O_PATH, 0, kBeneath | RESOLVE_NO_XDEV);
  if (!pinned && pinned.error().code == ENOENT) return std::nullopt;
  Fd fd(TRY(std::move(pinned)));
  const Stat what = TRY(stat(fd));
  return Pinned{std::move(fd), what};
}

Result<Fd> open_pinned(const Pinned& pinned) {
  if (pinned.stat.type != FileType::regular) return detail::failed("open", pinned.fd, "", EINVAL);
  // One directory of proc for the life of the process: a name in it instead of a path of four.
  static const Fd own_descriptors(::open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
  std::array<char, 16> number{};
  std::snprintf(number.data(), number.size(), "%d", pinned.fd.number());
  return Fd(TRY(detail::attempt("open", "open", Effect::looks, pinned.fd, "", [&] {
    return ::openat(own_descriptors.number(), number.data(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOATIME | O_CLOEXEC);
  })));
}

Result<Fd> open_file(const DirFd& dir, Name name) {
  auto pinned = TRY(pin_if_there(dir, name));
  if (!pinned) return detail::failed("open", dir, name.c_str(), ENOENT);
  return open_pinned(*pinned);
}

Result<Fd> open_trusted_file(const DirFd& dir, Name name) {
  const auto open = [&] {
    return open_name("open", dir, name.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOATIME, 0,
                     kBeneath | RESOLVE_NO_XDEV);
  };
  auto opened = open();
  if (!opened && opened.error().code == EAGAIN) opened = detail::open_past_lease(dir, name.c_str(), open);
  return Fd(TRY(std::move(opened)));
}

Result<Fd> create_file(const DirFd& dir, Name name, std::uint32_t mode) {
  return Fd(TRY(open_name("create", dir, name.c_str(), O_RDWR | O_CREAT | O_EXCL, mode, kBeneath | RESOLVE_NO_XDEV)));
}

Result<Fd> open_or_create(const DirFd& dir, Name name, std::uint32_t mode) {
  return Fd(TRY(open_name("open", dir, name.c_str(), O_RDWR | O_CREAT, mode, kBeneath | RESOLVE_NO_XDEV)));
}

Result<Fd> open_to_write(const DirFd& dir, Name name) {
  return Fd(TRY(open_name("open", dir, name.c_str(), O_RDWR | O_NONBLOCK | O_NOCTTY, 0, kBeneath | RESOLVE_NO_XDEV)));
}

Result<Fd> create_unnamed_file(const DirFd& dir, std::uint32_t mode) {
  return Fd(TRY(open_name("create unnamed file", dir, ".", O_RDWR | O_TMPFILE, mode, kBeneath | RESOLVE_NO_XDEV)));
}

Result<> make_dir(const DirFd& dir, Name name, std::uint32_t mode) {
  return detail::perform("make directory", "mkdirat", Effect::changes, dir, name.c_str(),
                         [&] { return ::mkdirat(dir.number(), name.c_str(), mode); });
}

Result<DirFd> ensure_dir(const DirFd& dir, Name name, std::uint32_t mode) {
  auto there = open_dir(dir, name);
  if (there || there.error().code != ENOENT) return there;
  if (auto made = make_dir(dir, name, mode); !made && made.error().code != EEXIST) return std::unexpected(made.error());
  return open_dir(dir, name);
}

Result<> make_symlink(const DirFd& dir, Name name, const std::string& target) {
  return detail::perform("make symlink", "symlinkat", Effect::changes, dir, name.c_str(),
                         [&] { return ::symlinkat(target.c_str(), dir.number(), name.c_str()); });
}

Result<> make_node(const DirFd& dir, Name name, FileType type, std::uint32_t mode, std::uint64_t rdev) {
  return detail::perform("make node", "mknodat", Effect::changes, dir, name.c_str(),
                         [&] { return ::mknodat(dir.number(), name.c_str(), type_bits(type) | mode, rdev); });
}

Result<> link(const DirFd& source_dir, Name source, const DirFd& dir, Name name) {
  return detail::perform("link", "linkat", Effect::changes, dir, name.c_str(),
                         [&] { return ::linkat(source_dir.number(), source.c_str(), dir.number(), name.c_str(), 0); });
}

Result<> rename_new(const DirFd& from_dir, Name from, const DirFd& to_dir, Name to) {
  return detail::perform("rename", "renameat2", Effect::changes, to_dir, to.c_str(), [&] {
    return ::renameat2(from_dir.number(), from.c_str(), to_dir.number(), to.c_str(), RENAME_NOREPLACE);
  });
}

Result<> rename_over(const DirFd& from_dir, Name from, const DirFd& to_dir, Name to) {
  return detail::perform("rename", "renameat", Effect::changes, to_dir, to.c_str(),
                         [&] { return ::renameat(from_dir.number(), from.c_str(), to_dir.number(), to.c_str()); });
}

Result<> exchange(const DirFd& a_dir, Name a, const DirFd& b_dir, Name b) {
  return detail::perform("exchange", "renameat2", Effect::changes, b_dir, b.c_str(), [&] {
    return ::renameat2(a_dir.number(), a.c_str(), b_dir.number(), b.c_str(), RENAME_EXCHANGE);
  });
}

Result<> unlink(const DirFd& dir, Name name) {
  return detail::perform("remove", "unlinkat", Effect::changes, dir, name.c_str(),
                         [&] { return ::unlinkat(dir.number(), name.c_str(), 0); });
}

Result<> remove_dir(const DirFd& dir, Name name) {
  return detail::perform("remove", "unlinkat", Effect::changes, dir, name.c_str(),
                         [&] { return ::unlinkat(dir.number(), name.c_str(), AT_REMOVEDIR); });
}

Result<> unlink_if_there(const DirFd& dir, Name name) {
  auto gone = unlink(dir, name);
  if (!gone && gone.error().code == ENOENT) return {};
  return gone;
}

}  // namespace vskel::sys
