// A tool inside that has read what relink is about to replace holds its lock: dpkg, useradd, vipw. Who holds it is left
// alone, and told; who comes while relink works waits for relink.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

constexpr const char *kFrontend = "var/lib/dpkg/lock-frontend", *kDatabase = "var/lib/dpkg/lock",
                     *kAccounts = "etc/.pwd.lock", *kStatus = "var/lib/dpkg/status";

std::string status_of(const std::string& version) {
  return "Package: one\nStatus: install ok installed\nArchitecture: all\nVersion: " + version + "\n\n";
}

/// As dpkg and lckpwdf(3) take theirs.
class HeldLock {
 public:
  explicit HeldLock(const fs::path& path) : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    struct flock whole {};
    whole.l_type = F_WRLCK;
    is_held_ = fd_ >= 0 && ::fcntl(fd_, F_SETLK, &whole) == 0;
  }
  ~HeldLock() { ::close(fd_); }
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;
  [[nodiscard]] bool is_held() const { return is_held_; }

 private:
  int fd_ = -1;
  bool is_held_ = false;
};

class ToolLocksTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    put(root() / kStatus, file(status_of("1")));
    for (const char* lock : {kFrontend, kDatabase, kAccounts}) put(root() / lock, file("", 0640));
    put(root() / "usr/bin/one", file("one 1", 0755));
    build();
    for (const std::string& name : names_) create_vserver(name, {"--share", name});
    for (const std::string& name : names_)
      for (const char* lock : {kFrontend, kDatabase, kAccounts})
        if (!fs::exists(vserver(name) / lock)) write_file(vserver(name) / lock, "");
  }
  void upgrade() const { update_skel({{kStatus, file(status_of("2"))}, {"usr/bin/one", file("one 2", 0755)}}); }
  void expect_upgraded(const std::string& name) const {
    EXPECT_EQ(read_file(vserver(name) / "usr/bin/one"), "one 2") << name;
    EXPECT_EQ(read_file(vserver(name) / kStatus), status_of("2")) << name;
  }

  const std::vector<std::string> names_ = {"hardlink", "copy"};
};

TEST_P(ToolLocksTest, WhoHoldsOneIsLeftAloneAndTheOthersFollow) {
  upgrade();
  for (const char* lock : {kFrontend, kDatabase, kAccounts}) {
    const TreeSnapshot before = snapshot_tree(vserver("copy"));
    const HeldLock held(vserver("copy") / lock);
    ASSERT_TRUE(held.is_held());
    for (const Arguments& arguments : {Arguments{"copy", "--dry-run"}, {"copy"}, {"copy", "--pkgdb", "force"}}) {
      const Relinked relinked = relink(arguments);
      EXPECT_EQ(relinked.process.code, 3) << relinked.process;
      EXPECT_EQ(relinked.of("copy")["status"], "skipped") << relinked.of("copy");
      EXPECT_NE(relinked.of("copy")["error"].get<std::string>().find("/" + std::string(lock)), std::string::npos);
    }
    EXPECT_EQ(joined(compare_snapshots(before, snapshot_tree(vserver("copy")), {}, Identity::compared)), "") << lock;
  }
  const HeldLock held(vserver("copy") / kFrontend);
  EXPECT_EQ(relink().process.code, 3);
  expect_upgraded("hardlink");
  EXPECT_EQ(read_file(vserver("copy") / "usr/bin/one"), "one 1");
}

TEST_P(ToolLocksTest, IsAskedOnlyWhereThereIsSomethingToDo) {
  const HeldLock held(vserver("copy") / kDatabase), accounts(vserver("hardlink") / kAccounts);
  EXPECT_EQ(relink().process.code, 0);
}

TEST_P(ToolLocksTest, OnesThatAreNoFilesLeadNowhere) {
  upgrade();
  for (const std::string& name : names_) fs::remove(vserver(name) / kAccounts);
  ASSERT_EQ(::mkfifo((vserver("copy") / kAccounts).c_str(), 0600), 0);
  fs::create_symlink(mount() / "outside", vserver("hardlink") / kAccounts);
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  for (const std::string& name : names_) expect_upgraded(name);
  EXPECT_FALSE(fs::exists(mount() / "outside"));
}

TEST_P(ToolLocksTest, OneThatVserversHaveInCommonHoldsUpNobody) {
  upgrade();
  for (const char* lock : {kFrontend, kDatabase, kAccounts}) {
    fs::remove(vserver("copy") / lock);
    fs::create_hard_link(vserver("hardlink") / lock, vserver("copy") / lock);
  }
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  for (const std::string& name : names_) expect_upgraded(name);
}

TEST_P(ToolLocksTest, WhoeverComesMeanwhileWaits) {
  upgrade();
  std::atomic<bool> over{false};
  ProcessResult relinked;
  std::thread relinking([&] {
    relinked = vskel({"relink", "base", "copy"});
    over = true;
  });
  std::set<std::string> held;
  std::map<std::string, int> opened;
  for (const char* lock : {kFrontend, kDatabase, kAccounts})
    opened[lock] = ::open((vserver("copy") / lock).c_str(), O_RDWR | O_CLOEXEC);
  while (!over)
    for (const auto& [lock, fd] : opened) {
      struct flock whole {};
      whole.l_type = F_WRLCK;
      if (::fcntl(fd, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK) held.insert(lock);
    }
  relinking.join();
  for (const auto& [lock, fd] : opened) ::close(fd);
  EXPECT_EQ(relinked.code, 0) << relinked;
  EXPECT_EQ(held, (std::set<std::string>{kFrontend, kDatabase, kAccounts}));
}

TEST_P(ToolLocksTest, TheLockOfAccountsStaysWhereItIs) {
  upgrade();
  const auto inode_of = [](const fs::path& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
  };
  const auto before = inode_of(vserver("copy") / kAccounts);
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_EQ(inode_of(vserver("copy") / kAccounts), before) << "who opens it now locks another than those before";
}

/// After a crash: what is half done waits.
TEST_P(ToolLocksTest, RecoverLeavesAloneWhoHoldsOne) {
  upgrade();
  (void)vskel_killed_at({"renameat2", 1}, {"relink", "base", "copy"});
  {
    const TreeSnapshot before = snapshot_tree(vserver("copy") / "var/lib/dpkg");
    const HeldLock held(vserver("copy") / kDatabase);  // until this process closes any descriptor of it
    ASSERT_TRUE(held.is_held());
    const ProcessResult recovered = vskel({"recover"});
    EXPECT_EQ(recovered.code, 0) << recovered;
    EXPECT_NE(recovered.out.find("/var/lib/dpkg/lock is held"), std::string::npos) << recovered;
    EXPECT_EQ(
        joined(compare_snapshots(before, snapshot_tree(vserver("copy") / "var/lib/dpkg"), {}, Identity::compared)), "");
  }
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  for (const std::string& name : names_) expect_upgraded(name);
  EXPECT_EQ(inconsistencies(), "");
}

INSTANTIATE_TEST_SUITE_P(On, ToolLocksTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
