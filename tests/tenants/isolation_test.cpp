// A tenant tries every change that the kernel knows on what it shares: no other tenant and no skel may see any of it.
// About 5 s on all file systems together.
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <set>
#include <sstream>

#include "tests/support/inode_extras.h"
#include "tests/support/requirement.h"
#include "tests/system/relink_fixture.h"
#include "tests/tenants/tenant.h"

namespace vskel::test {
namespace {

const std::vector<std::string> kShared = {"usr/bin/program", "usr/lib/library", "usr/share/data"};

/// One try on the file at `path`: 0, or the errno that it met.
struct Attempt {
  const char* name;
  int (*make)(const char* path);
};

int result_of(long value) { return value < 0 ? errno : 0; }

/// `use` gets the descriptor, and is not asked where opening fails already.
template <class Use>
int with_open(const char* path, int how, Use use) {
  const int fd = ::open(path, how | O_CLOEXEC | O_NONBLOCK, 0644);
  if (fd < 0) return errno;
  const int result = use(fd);
  ::close(fd);
  return result;
}

int write_one(int fd) { return result_of(::pwrite(fd, "!", 1, 0)); }

int store_through_mapping(int fd, int first_protection) {
  void* const mapped = ::mmap(nullptr, 1, first_protection, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return errno;
  int result = result_of(::mprotect(mapped, 1, PROT_READ | PROT_WRITE));
  if (result == 0) *static_cast<char*>(mapped) = '!';
  if (result == 0) result = result_of(::msync(mapped, 1, MS_SYNC));
  ::munmap(mapped, 1);
  return result;
}

/// All that changes an inode. What is by descriptor takes one that was opened for reading only, where that can do.
const std::vector<Attempt> kOnTheInode = {
    {"open for writing", [](const char* path) { return with_open(path, O_WRONLY, write_one); }},
    {"open for appending", [](const char* path) { return with_open(path, O_WRONLY | O_APPEND, write_one); }},
    {"open to truncate", [](const char* path) { return with_open(path, O_RDONLY | O_TRUNC, [](int) { return 0; }); }},
    {"truncate", [](const char* path) { return result_of(::truncate(path, 1)); }},
    {"ftruncate",
     [](const char* path) { return with_open(path, O_RDWR, [](int fd) { return result_of(::ftruncate(fd, 3)); }); }},
    {"fallocate",
     [](const char* path) {
       return with_open(path, O_RDWR, [](int fd) {
         return result_of(::fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 4096));
       });
     }},
    {"write through /proc/self/fd",
     [](const char* path) {
       return with_open(path, O_RDONLY, [](int fd) {
         return with_open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR, write_one);
       });
     }},
    {"write through a mapping",
     [](const char* path) {
       return with_open(path, O_RDWR, [](int fd) { return store_through_mapping(fd, PROT_READ | PROT_WRITE); });
     }},
    {"write through a mapping made for reading",
     [](const char* path) {
       return with_open(path, O_RDONLY, [](int fd) { return store_through_mapping(fd, PROT_READ); });
     }},
    {"chmod", [](const char* path) { return result_of(::chmod(path, 04777)); }},
    {"fchmod",
     [](const char* path) { return with_open(path, O_RDONLY, [](int fd) { return result_of(::fchmod(fd, 0600)); }); }},
    {"chown", [](const char* path) { return result_of(::lchown(path, 7, 7)); }},
    {"fchown",
     [](const char* path) { return with_open(path, O_RDONLY, [](int fd) { return result_of(::fchown(fd, 8, 8)); }); }},
    {"utimes",
     [](const char* path) {
       const std::array<timespec, 2> times{timespec{1, 1}, timespec{1, 1}};
       return result_of(::utimensat(AT_FDCWD, path, times.data(), AT_SYMLINK_NOFOLLOW));
     }},
    {"touch", [](const char* path) { return result_of(::utimensat(AT_FDCWD, path, nullptr, AT_SYMLINK_NOFOLLOW)); }},
    {"setxattr",
     [](const char* path) {
       const int set = result_of(::lsetxattr(path, "user.hostile", "x", 1, 0));
       return set == EOPNOTSUPP ? EPERM : set;  // tmpfs may have no user attributes
     }},
    {"removexattr", [](const char* path) { return result_of(::lremovexattr(path, "user.kept")); }},
    {"set an ACL",
     [](const char* path) {
       const std::string acl = posix_acl(0644, {1000, 7});
       return result_of(::lsetxattr(path, "system.posix_acl_access", acl.data(), acl.size(), 0));
     }},
    {"set a capability",
     [](const char* path) {
       const std::string capability = file_capability(1);
       return result_of(::lsetxattr(path, "security.capability", capability.data(), capability.size(), 0));
     }},
    {"clear the seal",
     [](const char* path) {
       return with_open(path, O_RDONLY, [](int fd) {
         int flags = 0;
         if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return errno;
         flags = (flags & ~FS_IMMUTABLE_FL) ^ FS_NOATIME_FL;
         return result_of(::ioctl(fd, FS_IOC_SETFLAGS, &flags));
       });
     }},
    {"clone into",
     [](const char* path) {
       return with_open(path, O_RDONLY, [](int fd) { return result_of(::ioctl(fd, FICLONE, fd)) == 0 ? 0 : EPERM; });
     }},
};

/// All that changes names of it: a mainline kernel refuses those, too, while it is immutable.
const std::vector<Attempt> kOnTheName = {
    {"link", [](const char* path) { return result_of(::link(path, (std::string(path) + ".linked").c_str())); }},
    {"rename", [](const char* path) { return result_of(::rename(path, (std::string(path) + ".renamed").c_str())); }},
    {"unlink",
     [](const char* path) {
       const std::string renamed = std::string(path) + ".renamed";
       return result_of(::unlink(::access(path, F_OK) == 0 ? path : renamed.c_str()));
     }},
};

/// "NAME PATH: errno" a line, of every attempt on every shared file.
std::string try_all() {
  std::ostringstream said;
  for (const std::string& path : kShared)
    for (const auto* attempts : {&kOnTheInode, &kOnTheName})
      for (const Attempt& attempt : *attempts)
        said << attempt.name << ' ' << attempt.make(("/" + path).c_str()) << '\n';
  return said.str();
}

/// Attempts (by name) that succeeded.
std::set<std::string> succeeded(const std::string& said) {
  std::set<std::string> names;
  std::istringstream lines(said);
  for (std::string line; std::getline(lines, line);)
    if (line.ends_with(" 0")) names.insert(line.substr(0, line.size() - 2));
  return names;
}

class IsolationTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    put(root() / "usr/lib/library", file(std::string(70'000, 'l')));
    put(root() / "usr/share/data", file("data of all"));
    put(root() / "usr/bin/su", file("set-id", 04755));
    build();
  }

  static std::vector<std::string> ways() {
    std::vector<std::string> ways = {"hardlink", "copy"};
    if (has_reflinks(GetParam())) ways.emplace_back("reflink");
    return ways;
  }
};

// Link and rename move ctime and the number of names, which no snapshot holds; everything else of the others stays.
TEST_P(IsolationTest, NoChangeReachesTheSkelOrAnotherTenant) {
  for (const std::string& share : ways())
    for (const Confinement confinement : {Confinement::root, Confinement::user_namespace}) {
      SCOPED_TRACE(share + " " + confinement_name(confinement));
      const std::string prefix = share + (confinement == Confinement::root ? "-r" : "-u");
      create_vserver(prefix + "a", {"--share", share});
      create_vserver(prefix + "b", {"--share", share});
      if (HasFatalFailure()) return;
      const TreeSnapshot b = snapshot_tree(vserver(prefix + "b")), skels = snapshot_tree(skel());
      Tenant tenant(vserver(prefix + "a"), confinement, try_all);
      const std::set<std::string> done = succeeded(tenant.wait());
      EXPECT_EQ(joined(compare_snapshots(b, snapshot_tree(vserver(prefix + "b")), {}, Identity::compared)), "");
      EXPECT_EQ(joined(compare_snapshots(skels, snapshot_tree(skel()), {}, Identity::compared)), "");
      const ProcessResult verified = vskel({"verify"});
      EXPECT_EQ(verified.code, 0) << verified;
      if (share == "hardlink") {
        EXPECT_EQ(done, std::set<std::string>{}) << "an immutable seal refuses all, names too";
      } else if (confinement == Confinement::root) {
        for (const char* own : {"open for writing", "truncate", "chmod", "chown", "utimes", "link", "rename", "unlink"})
          EXPECT_TRUE(done.contains(own)) << own << ": what is its own it may change";
      }
    }
}

// The measure of the test above: without the seals the same attempts do reach the other tenant.
TEST_P(IsolationTest, WithoutSealsTheAttemptsWouldReachOthers) {
  create_vserver("a");
  create_vserver("b");
  if (HasFatalFailure()) return;
  for (const std::string& path : kShared) clear_immutable(skel() / "global" / path);
  const TreeSnapshot b = snapshot_tree(vserver("b"));
  Tenant tenant(vserver("a"), Confinement::root, try_all);
  EXPECT_TRUE(succeeded(tenant.wait()).contains("write through a mapping"));
  EXPECT_NE(joined(compare_snapshots(b, snapshot_tree(vserver("b")))), "");
  EXPECT_EQ(vskel({"verify"}).code, 1) << "verify sees it";
}

// Of what is one inode, a lock of one tenant's is seen by another: that is what sharing inodes means, and documented.
// Where nothing is shared it is not.
TEST_P(IsolationTest, ALockIsSeenByOthersOnlyThroughASharedInode) {
  for (const std::string& share : ways()) {
    SCOPED_TRACE(share);
    create_vserver(share + "-a", {"--share", share});
    create_vserver(share + "-b", {"--share", share});
    if (HasFatalFailure()) return;
    const auto try_lock = [] {
      const int fd = ::open("/usr/share/data", O_RDONLY | O_CLOEXEC);
      return std::to_string(result_of(::flock(fd, LOCK_EX | LOCK_NB)));
    };
    const int held = ::open((vserver(share + "-a") / "usr/share/data").c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_EQ(::flock(held, LOCK_EX | LOCK_NB), 0);
    Tenant other(vserver(share + "-b"), Confinement::root, try_lock);
    EXPECT_EQ(other.wait(), share == "hardlink" ? std::to_string(EWOULDBLOCK) : "0");
    ::close(held);
  }
}

/// How long the kernel lets a lease be kept once somebody else opens the file, in seconds: for all of the machine.
class LeaseBreakTime {
 public:
  explicit LeaseBreakTime(const std::string& seconds) { write_file(kFile, seconds); }
  ~LeaseBreakTime() { write_file(kFile, before_); }
  LeaseBreakTime(const LeaseBreakTime&) = delete;
  LeaseBreakTime& operator=(const LeaseBreakTime&) = delete;

 private:
  static constexpr const char* kFile = "/proc/sys/fs/lease-break-time";
  std::string before_ = read_file(kFile);
};

// A tenant's lease on a shared inode is waited for as long as the kernel lets him keep it, and no longer.
TEST_P(IsolationTest, ALeaseOfATenantHoldsNobodyUpForLong) {
  const LeaseBreakTime two_seconds("2");
  create_vserver("a");
  create_vserver("b", {"--share", "copy"});
  if (HasFatalFailure()) return;
  std::array<int, 2> leased{}, stay{};
  ASSERT_EQ(::pipe2(leased.data(), O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(stay.data(), O_CLOEXEC), 0);
  Tenant holder(vserver("a"), Confinement::root, [&] {
    ::signal(SIGIO, SIG_IGN);
    ::close(stay[1]);
    std::string said;
    for (const std::string& path : kShared) {
      const int fd = ::open(("/" + path).c_str(), O_RDONLY);
      said += std::to_string(result_of(::fcntl(fd, F_SETLEASE, F_WRLCK))) + " ";
    }
    (void)!::write(leased[1], "l", 1);
    char end = 0;
    (void)!::read(stay[0], &end, 1);
    return said;
  });
  char begin = 0;
  ASSERT_EQ(::read(leased[0], &begin, 1), 1);
  for (const Arguments& command :
       {Arguments{"verify"}, Arguments{"relink", "base", "b"},
        Arguments{"create-vs", "base", "c", "c.example.com", "192.0.2.77"},
        Arguments{"create-vs", "base", "d", "d.example.com", "192.0.2.78", "--share", "copy"}}) {
    const auto start = std::chrono::steady_clock::now();
    const ProcessResult result = vskel(command);
    EXPECT_NE(result.signal, 9) << result;
    const auto took = std::chrono::steady_clock::now() - start;
    EXPECT_LT(took, std::chrono::seconds(10)) << command[0] << " waited for a tenant's lease";
    if (took > std::chrono::seconds(10)) break;
  }
  ::close(stay[1]);
  EXPECT_EQ(holder.wait(), "0 0 0 ") << "the leases were held";
}

INSTANTIATE_TEST_SUITE_P(On, IsolationTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
