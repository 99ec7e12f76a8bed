#include "tests/faults/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "tests/support/guard_map.h"
#include "tests/support/inode_extras.h"

namespace vskel::test {
namespace {

namespace fs = std::filesystem;

void check(bool good, const char* what, const fs::path& path) {
  if (!good) throw std::system_error(errno, std::generic_category(), std::string(what) + " " + path.string());
}

struct stat status_of(const fs::path& path) {
  struct stat status {};
  check(::lstat(path.c_str(), &status) == 0, "stat", path);
  return status;
}

class Copier {
 public:
  void copy(const fs::path& from, const fs::path& to) {
    const struct stat status = status_of(from);
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      const auto [first, is_first] = copied_.try_emplace(status.st_ino, to);
      if (!is_first) {
        check(::link(first->second.c_str(), to.c_str()) == 0, "link", to);
        return;
      }
    }
    make(from, to, status);
    if (S_ISDIR(status.st_mode))
      for (const fs::directory_entry& entry : fs::directory_iterator(from))
        copy(entry.path(), to / entry.path().filename());
    // After the names in it, which change a directory's time.
    const std::array times{status.st_atim, status.st_mtim};
    check(::utimensat(AT_FDCWD, to.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) == 0, "set times of", to);
    if (!S_ISREG(status.st_mode) || status.st_size == 0) return;
    if (is_immutable(from)) sealed_.push_back(to);
    if (is_guarded(from)) guarded_.push_back(to);
  }

  /// Last: a sealed file takes no further name.
  void seal() const {
    for (const fs::path& path : sealed_) set_immutable(path);
    for (const fs::path& path : guarded_) put_under_guard(path);
  }

 private:
  static void make(const fs::path& from, const fs::path& to, const struct stat& status) {
    if (S_ISDIR(status.st_mode)) {
      check(::mkdir(to.c_str(), 0700) == 0, "make", to);
    } else if (S_ISLNK(status.st_mode)) {
      check(::symlink(fs::read_symlink(from).c_str(), to.c_str()) == 0, "link", to);
    } else if (S_ISREG(status.st_mode)) {
      std::ofstream out(to, std::ios::binary);
      if (status.st_size > 0) out << std::ifstream(from, std::ios::binary).rdbuf();
      out.close();
      check(static_cast<bool>(out), "write", to);
    } else {
      check(::mknod(to.c_str(), status.st_mode, status.st_rdev) == 0, "make", to);
    }
    check(::lchown(to.c_str(), status.st_uid, status.st_gid) == 0, "chown", to);
    if (!S_ISLNK(status.st_mode)) check(::chmod(to.c_str(), status.st_mode & 07777) == 0, "chmod", to);
    copy_attributes(from, to);
  }

  static void copy_attributes(const fs::path& from, const fs::path& to) {
    std::array<char, 4096> names{}, value{};
    const ssize_t length = ::llistxattr(from.c_str(), names.data(), names.size());
    if (length < 0 && errno == EOPNOTSUPP) return;
    check(length >= 0, "list attributes of", from);
    for (const char* name = names.data(); name < names.data() + length; name += std::strlen(name) + 1) {
      const ssize_t size = ::lgetxattr(from.c_str(), name, value.data(), value.size());
      check(size >= 0, "read attribute of", from);
      check(::lsetxattr(to.c_str(), name, value.data(), static_cast<std::size_t>(size), 0) == 0, "set attribute of",
            to);
    }
  }

  std::map<ino_t, fs::path> copied_;
  std::vector<fs::path> sealed_, guarded_;
};

}  // namespace

void copy_whole_tree(const fs::path& from, const fs::path& to) {
  Copier copier;
  copier.copy(from, to);
  copier.seal();
}

void remove_whole_tree(const fs::path& root) {
  struct stat status {};
  if (::lstat(root.c_str(), &status) != 0) {
    check(errno == ENOENT, "stat", root);
    return;
  }
  if (S_ISDIR(status.st_mode)) {
    std::vector<fs::path> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(root)) names.push_back(entry.path());
    for (const fs::path& name : names) remove_whole_tree(name);
    check(::rmdir(root.c_str()) == 0, "remove", root);
    return;
  }
  if (::unlink(root.c_str()) == 0) return;
  check(errno == EPERM, "remove", root);
  clear_immutable(root);
  check(::unlink(root.c_str()) == 0, "remove", root);
}

void set_mtime(const fs::path& path, std::int64_t seconds) {
  const std::array<timespec, 2> times{timespec{seconds, 0}, timespec{seconds, 0}};
  check(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) == 0, "set times of", path);
}

}  // namespace vskel::test
