// Made with plain calls on paths: the tree is ours alone while it is made. Times come last and from below, because
// making a name changes its directory's.
#include "tests/support/odd_root.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>
#include <system_error>

#include "tests/support/inode_extras.h"

namespace vskel::test {
namespace {

namespace fs = std::filesystem;

struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};

void check(int result, const fs::path& path) {
  if (result != 0) throw std::system_error(errno, std::generic_category(), "make " + path.string());
}

class TreeMaker {
 public:
  explicit TreeMaker(fs::path root) : root_(std::move(root)) {}

  void dir(const fs::path& path, mode_t mode = 0755, Owner owner = {}) {
    if (path.has_parent_path() && !fs::exists(root_ / path.parent_path())) dir(path.parent_path());
    fs::create_directory(root_ / path);
    check(::lchown((root_ / path).c_str(), owner.uid, owner.gid), path);
    check(::chmod((root_ / path).c_str(), mode), path);
  }

  void file(const fs::path& path, std::string_view content, mode_t mode = 0644, Owner owner = {}) {
    if (!fs::exists(root_ / path.parent_path())) dir(path.parent_path());
    std::ofstream stream(root_ / path, std::ios::binary);
    stream << content;
    stream.close();
    check(stream ? 0 : -1, path);
    check(::lchown((root_ / path).c_str(), owner.uid, owner.gid), path);
    check(::chmod((root_ / path).c_str(), mode), path);  // after chown, which takes set-id bits away
  }

  void symlink(const fs::path& path, const std::string& target, Owner owner = {}) {
    check(::symlink(target.c_str(), (root_ / path).c_str()), path);
    check(::lchown((root_ / path).c_str(), owner.uid, owner.gid), path);
  }

  void hard_link(const fs::path& path, const fs::path& first) {
    if (!fs::exists(root_ / path.parent_path())) dir(path.parent_path());
    check(::link((root_ / first).c_str(), (root_ / path).c_str()), path);
  }

  void node(const fs::path& path, mode_t mode, dev_t device = 0, Owner owner = {}) {
    if (!fs::exists(root_ / path.parent_path())) dir(path.parent_path());
    check(::mknod((root_ / path).c_str(), mode, device), path);
    check(::lchown((root_ / path).c_str(), owner.uid, owner.gid), path);
    check(::chmod((root_ / path).c_str(), mode & 07777), path);
  }

  void xattr(const fs::path& path, const std::string& name, const std::string& value) {
    set_xattr(root_ / path, name, value);
  }

  void sparse_file(const fs::path& path) {
    file(path, "head");
    fs::resize_file(root_ / path, 48ULL << 20);
    const int fd = ::open((root_ / path).c_str(), O_WRONLY | O_CLOEXEC);
    check(::pwrite(fd, "middle", 6, 16LL << 20) == 6 ? 0 : -1, path);
    check(::close(fd), path);
  }

 private:
  fs::path root_;
};

void set_time(const fs::path& path, std::uint64_t seed) {
  // Spread over a century around 1970, with odd nanoseconds, always in the past: ext4 and XFS hold from 1901 on.
  timespec time{};
  time.tv_sec = static_cast<time_t>((seed * 7919 + 12345) % 2'100'000'000ULL) - 500'000'000;
  time.tv_nsec = static_cast<long>((seed * 104'729'331 + 1) % 1'000'000'000ULL);
  const std::array<timespec, 2> times{time, time};
  check(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW), path);
}

void set_times_below(const fs::path& directory, std::uint64_t& seed) {
  std::vector<fs::path> children;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) children.push_back(entry.path());
  std::sort(children.begin(), children.end());
  for (const fs::path& child : children) {
    if (fs::symlink_status(child).type() == fs::file_type::directory)
      set_times_below(child, seed);
    else
      set_time(child, ++seed);
  }
  set_time(directory, ++seed);
}

bool takes_user_xattrs(const fs::path& root) {
  // tmpfs learned them in Linux 6.6.
  if (::lsetxattr(root.c_str(), "user.probe", "1", 1, 0) != 0) return false;
  ::lremovexattr(root.c_str(), "user.probe");
  return true;
}

/// Directories that hand something down to what is made in them, with inodes that have none of it.
void make_heritage(TreeMaker& make, const fs::path& directory) {
  const fs::path group = directory / "group.d", acl = directory / "acl.d";
  make.dir(group, 02775, {0, 50});
  make.dir(acl, 0750);
  for (const fs::path& heir : {group, acl}) {
    make.file(heir / "file", "not of the group of its directory, and without an ACL");
    make.symlink(heir / "symlink", "file");
    make.node(heir / "fifo", S_IFIFO | 0620);
    make.dir(heir / "directory", 0755);
  }
  make.xattr(acl, "system.posix_acl_access", posix_acl(0750, {1234, 7}));
  make.xattr(acl, "system.posix_acl_default", posix_acl(0740, {4321, 5}));
  make.file(acl / "heir", "made below a default ACL");
}

void make_programs(TreeMaker& make) {
  for (const char* name : {"bin", "sbin", "lib", "lib64"}) {
    make.dir(fs::path("usr") / name);
    make.symlink(name, fs::path("usr") / name);  // merged /usr
  }
  make.file("usr/bin/tool", "#!/bin/sh\necho tool\n", 0755);
  make.file("usr/bin/su", "set user id", 04755);
  make.hard_link("usr/bin/su-too", "usr/bin/su");
  make.file("usr/bin/wall", "set group id", 02755, {0, 5});
  make.file("usr/bin/sticky", "sticky", 01755);
  make.file("usr/bin/empty", "");
  make.file("usr/bin/ping", "has a capability", 0755);
  make.xattr("usr/bin/ping", "security.capability", file_capability(1U << 13));  // CAP_NET_RAW
  make.file("usr/bin/acl", "has an ACL", 0754);
  make.xattr("usr/bin/acl", "system.posix_acl_access", posix_acl(0754, {1234, 6}));
  make.file("usr/bin/hard-a", "three names");
  make.hard_link("usr/bin/hard-b", "usr/bin/hard-a");
  make.hard_link("usr/lib/hard-c", "usr/bin/hard-a");
  make.file("usr/lib/libodd.so.1.2", std::string(70'000, 'l'), 0644, {0, 50});
  make.symlink("usr/lib/libodd.so.1", "libodd.so.1.2", {7, 8});
  make.symlink("usr/lib/libodd.so", "/usr/lib/libodd.so.1");
  make.symlink("usr/lib/dangling", "../nowhere/at all", {1000, 1000});
  make.file("usr/share/big", std::string(3'000'000, 'b'));
  make.file("usr/share/unreadable", "mode 0", 0);
  make.file("usr/share/writable", "mode 0666, another owner", 0666, {1000, 1001});
  make.file("usr/share/large-id", "owner beyond 16 bits", 0640, {4'000'000'000U, 3'000'000'000U});
  make.sparse_file("usr/share/sparse");
  make.dir("usr/share/empty-directory", 0700, {33, 33});
  make_heritage(make, "usr/share");
}

void make_local_usr(TreeMaker& make) {
  make.dir("usr/local", 02775, {0, 50});
  make.file("usr/local/bin/own-tool", "local to each vserver", 0755);
  make.file("usr/share/across", "one inode in three parts of the tree");
  make.hard_link("usr/local/share/across", "usr/share/across");
  make.hard_link("var/lib/across", "usr/share/across");
}

void make_odd_names(TreeMaker& make) {
  const fs::path odd = "usr/share/odd names";
  for (const std::string& name :
       {std::string("new\nline"), std::string("tab\tbell\a"), std::string("-rf"), std::string(" leading and trailing "),
        std::string("back\\slash\\012"), std::string("\xc3\xbc\xe2\x82\xac"), std::string("bad\xff\xfeutf8"),
        std::string("#=hash"), std::string("quote'\"`$(id)"), std::string("*?[a]"), std::string("%%VS_NAME%%"),
        std::string(255, 'n'), std::string("...")}) {
    make.file(odd / name, "named " + name);
    make.file(fs::path("var/lib/odd names") / name, "local, named " + name);
  }
  make.symlink(odd / "link to \xff", "target\nwith \xff\\");
  fs::path deep = "usr/share/deep";
  for (int level = 0; level < 100; ++level) deep /= "level-" + std::to_string(level);
  make.file(deep / "bottom", "a hundred levels down");
}

void make_etc(TreeMaker& make) {
  make.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
  make.file("etc/shadow", "root:*:19000:0:99999:7:::\nuser:$y$j9T$abc$def:19000:0:99999:7:::\n", 0640, {0, 42});
  make.file("etc/group", "root:x:0:\nshadow:x:42:\n");
  make.file("etc/gshadow", "root:*::\nshadow:!::\n", 0640, {0, 42});
  make.file("etc/hosts", "127.0.0.1 localhost\n192.0.2.1 template.example.com template\n");
  make.file("etc/hostname", "template\n");
  make.file("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0444);
  make.file("etc/ssh/ssh_host_ed25519_key", "PRIVATE\n", 0600);
  make.file("etc/os-release", "ID=odd\n");
  make.file("etc/link-a", "two names in etc");
  make.hard_link("etc/link-b", "etc/link-a");
  make.file("etc/alternatives/README", "tokens stay outside static: %%VS_NAME%%\n");
  make.symlink("etc/alternatives/tool", "/usr/bin/tool");
  make_heritage(make, "etc");
}

void make_var(TreeMaker& make) {
  make.file("var/lib/dpkg/status", "Package: odd\nStatus: install ok installed\n\n");
  make.file("var/lib/dpkg/info/odd.list", "/usr/bin/tool\n");
  make.file("usr/lib/sysimage/rpm/rpmdb.sqlite", "a package database below usr");
  make.file("var/log/syslog", "log\n", 0640, {0, 4});
  make.dir("var/tmp", 01777);
  make.dir("var/mail", 02775, {0, 8});
  make.symlink("var/run", "/run");
  make.node("var/lib/odd/fifo", S_IFIFO | 0620, 0, {3, 4});
  make.node("var/lib/odd/socket", S_IFSOCK | 0755);
  make.node("var/lib/odd/character", S_IFCHR | 0644, makedev(1, 5));
  make.node("var/lib/odd/block", S_IFBLK | 0600, makedev(7, 200), {0, 6});
  make.sparse_file("var/lib/odd/sparse");
  make.file("var/lib/odd/su", "local and set-id", 06755, {9, 10});
  make.file("opt/package/data", "opt");
  make.dir("srv");
  make.dir("mnt");
  make.dir("run/lock", 01777);
}

// What a skel leaves behind.
void make_refuse(TreeMaker& make) {
  make.dir("home", 0755);
  make.file("home/user/.bash_history", "secret\n", 0600, {1000, 1000});
  make.dir("root", 0700);
  make.file("root/.ssh/id_ed25519", "secret\n", 0600);
  make.dir("tmp", 01777);
  make.file("tmp/junk/deeper", "junk");
  make.dir("proc", 0555);
  make.file("proc/left-over", "no kernel made this");
  make.dir("sys", 0555);
  make.file("sys/left-over", "no kernel made this");
  make.dir("dev", 0755);
  make.node("dev/null", S_IFCHR | 0666, makedev(1, 3));
  make.node("dev/sda", S_IFBLK | 0660, makedev(8, 0), {0, 6});
  make.node("dev/mem", S_IFCHR | 0640, makedev(1, 1), {0, 15});
  make.node("dev/log", S_IFSOCK | 0666);
}

void make_xattrs(TreeMaker& make) {
  make.xattr("usr/share/writable", "user.text", "value");
  make.xattr("etc/os-release", "user.binary", std::string("\0\xff\n", 3));
  make.xattr("var/log", "user.directory", "on a directory");
}

}  // namespace

void make_root(const fs::path& directory) {
  const mode_t old_mask = ::umask(0);
  TreeMaker make(directory);
  make_programs(make);
  make_local_usr(make);
  make_odd_names(make);
  make_etc(make);
  make_var(make);
  make_refuse(make);
  if (takes_user_xattrs(directory)) make_xattrs(make);
  std::uint64_t seed = 0;
  set_times_below(directory, seed);
  ::umask(old_mask);
}

}  // namespace vskel::test
