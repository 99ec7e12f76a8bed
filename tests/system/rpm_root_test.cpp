// Roots as rpm distributions have them: the database where /var/lib/rpm only leads to, dnf's history beside it, and
// what comes of somebody having merely looked. What rpm and dnf themselves say of such vservers is
// tests/real/rpm_cycle's.
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

constexpr const char* kPackages = "usr/lib/sysimage/rpm/rpmdb.sqlite";
constexpr const char* kHistory = "var/lib/dnf/history.sqlite";
constexpr const char* kState = "usr/lib/sysimage/libdnf5/packages.toml";

class RpmRootTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    put(root() / "var/lib/rpm", symlink_to("../../usr/lib/sysimage/rpm"));
    put(root() / kPackages, file("packages 1"));
    put(root() / kHistory, file("history 1"));
    put(root() / kState, file("state 1"));
    put(root() / "usr/bin/tool", file("tool 1", 0755));
    put(root() / "etc/alternative", symlink_to("tool"));
  }

  void start() const {
    build();
    create_vserver("web1");
    create_vserver("web2", {"--share", "copy"});
  }
  void upgrade() const {
    update_skel({{kPackages, file("packages 2")},
                 {kHistory, file("history 2")},
                 {kState, file("state 2")},
                 {"usr/bin/tool", file("tool 2", 0755)}});
  }

  void expect_upgraded(const std::string& name) const {
    EXPECT_EQ(read_file(vserver(name) / kPackages), "packages 2");
    EXPECT_EQ(read_file(vserver(name) / kHistory), "history 2");
    EXPECT_EQ(read_file(vserver(name) / kState), "state 2");
    EXPECT_EQ(read_file(vserver(name) / "usr/bin/tool"), "tool 2");
  }
  void expect_left(const std::string& name) const { EXPECT_EQ(read_file(vserver(name) / "usr/bin/tool"), "tool 1"); }

  /// web1 is skipped after `changes` of its tenant, web2 is served.
  void expect_closed(const std::map<std::string, Thing>& changes) const {
    change("web1", changes);
    upgrade();
    const Relinked relinked = relink();
    EXPECT_EQ(relinked.process.code, 3) << relinked.process;
    EXPECT_EQ(relinked.of("web1")["status"], "skipped") << relinked.process;
    EXPECT_EQ(relinked.of("web2")["status"], "done") << relinked.process;
    expect_left("web1");
    expect_upgraded("web2");
  }
  /// Both are served in spite of `changes`, of which nothing is said.
  void expect_open(const std::map<std::string, Thing>& changes) const {
    for (const char* name : {"web1", "web2"}) change(name, changes);
    upgrade();
    const Relinked relinked = relink();
    EXPECT_EQ(relinked.process.code, 0) << relinked.process;
    for (const char* name : {"web1", "web2"}) {
      EXPECT_EQ(relinked.kept(name), (std::map<std::string, std::string>{})) << relinked.process;
      expect_upgraded(name);
    }
  }
};

TEST_P(RpmRootTest, ALinkToTheDatabaseIsNoChangedDatabase) {
  start();
  expect_open({});
  EXPECT_EQ(fs::read_symlink(vserver("web1") / "var/lib/rpm"), "../../usr/lib/sysimage/rpm");
}

TEST_P(RpmRootTest, AnAbsoluteLinkNeither) {
  put(root() / "var/lib/rpm", symlink_to("/usr/lib/sysimage/rpm/"));
  start();
  expect_open({});
}

TEST_P(RpmRootTest, ALinkThatATenantTurnedElsewhereClosesTheGate) {
  start();
  expect_closed({{"var/lib/rpm", symlink_to("../../usr/lib/sysimage/libdnf5")}});
}

TEST_P(RpmRootTest, ALinkToWhereNoDatabaseIsKnownClosesTheGate) {
  put(root() / "var/lib/rpm", symlink_to("../../opt/rpm"));
  put(root() / "opt/rpm/rpmdb.sqlite", file("packages 1"));
  start();
  upgrade();
  EXPECT_EQ(relink().process.code, 3);
  expect_left("web1");
  EXPECT_EQ(relink({"--config", config_file("[relink]\npkgdb = [\"/opt/rpm\"]\n")}).process.code, 0);
  expect_upgraded("web1");
}

TEST_P(RpmRootTest, ALinkOnTheWayIsNotFollowed) {
  start();
  put(vserver("web1") / "elsewhere/rpm/rpmdb.sqlite", file("packages 1"));
  expect_closed({{"usr/lib/sysimage", symlink_to("../../elsewhere")}});
}

TEST_P(RpmRootTest, PackagesAndHistoryMoveTogetherOrNotAtAll) {
  start();
  const std::map<std::string, const char*> changes{{"own1", kPackages}, {"own2", kHistory}, {"own3", kState}};
  for (const auto& [name, path] : changes) {
    create_vserver(name);
    change(name, {{path, file("the tenant's")}});
  }
  upgrade();
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 3);
  for (const auto& [name, changed] : changes) {
    EXPECT_EQ(relinked.of(name)["status"], "skipped") << relinked.process;
    expect_left(name);
    for (const char* path : {kPackages, kHistory, kState})
      EXPECT_FALSE(read_file(vserver(name) / path).ends_with(" 2"));
  }
  expect_upgraded("web1");
}

TEST_P(RpmRootTest, DatabasesAreLocalWhereverTheyLie) {
  start();
  for (const char* path : {kPackages, kHistory, kState}) {
    EXPECT_TRUE(fs::exists(skel() / "local" / path)) << path;
    EXPECT_NE(inode_of(vserver("web1") / path), inode_of(skel() / "local" / path)) << path;
  }
}

const std::map<std::string, Thing> kLeftByReaders{
    {"usr/lib/sysimage/rpm/rpmdb.sqlite-shm", file("shared memory")},
    {"usr/lib/sysimage/rpm/rpmdb.sqlite-wal", file("")},
    {"usr/lib/sysimage/rpm/.rpm.lock", file("")},
    {"usr/lib/sysimage/rpm/__db.001", file("region")},
    {"usr/lib/sysimage/rpm/.dbenv.lock", file("")},
    {"var/lib/dnf/history.sqlite-shm", file("shared memory")},
    {"var/lib/dnf/history.sqlite-wal", file("")},
    {"var/lib/dnf/repos/fedora-1/countme", file("COUNTME")},
    {"usr/lib/sysimage/libdnf5/transaction_history.sqlite-shm", file("shared memory")}};

TEST_P(RpmRootTest, WhatReadersLeaveNeverMatters) {
  start();
  expect_open(kLeftByReaders);
}

TEST_P(RpmRootTest, WhatReadersLeaveInTheMergedTreeMakesNoGeneration) {
  start();
  std::map<std::string, Thing> left = kLeftByReaders;
  left.erase("var/lib/dnf/repos/fedora-1/countme");  // of no reader's: it comes with a directory
  update_skel(left);
  EXPECT_FALSE(fs::exists(skel() / "generations/0002.mtree"));
  EXPECT_FALSE(fs::exists(skel() / "local/usr/lib/sysimage/rpm/rpmdb.sqlite-shm"));
}

TEST_P(RpmRootTest, WhatReadersLeftInTheSourceIsLeftOut) {
  for (const auto& [path, thing] : kLeftByReaders) put(root() / path, thing);
  start();
  for (const auto& [path, thing] : kLeftByReaders) {
    if (path.ends_with("countme")) continue;
    EXPECT_FALSE(fs::exists(vserver("web1") / path)) << path;
  }
  expect_open({});
}

TEST_P(RpmRootTest, ALogThatHoldsSomethingIsPartOfTheDatabase) {
  start();
  expect_closed({{"usr/lib/sysimage/rpm/rpmdb.sqlite-wal", file("a transaction")}});
}

TEST_P(RpmRootTest, ALogOfTheSkelsComesAlong) {
  start();
  update_skel({{"usr/lib/sysimage/rpm/rpmdb.sqlite-wal", file("a transaction")}});
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_EQ(read_file(vserver("web1") / "usr/lib/sysimage/rpm/rpmdb.sqlite-wal"), "a transaction");
}

TEST_P(RpmRootTest, ALogThatItsLastReaderTookOverIsNoChange) {
  put(root() / "var/lib/dnf/history.sqlite-wal", file("log 1"));
  start();
  change("web1", {{"var/lib/dnf/history.sqlite-wal", absent()}});
  update_skel({{kPackages, file("packages 2")},
               {kHistory, file("history 2")},
               {kState, file("state 2")},
               {"var/lib/dnf/history.sqlite-wal", file("log 2")},
               {"usr/bin/tool", file("tool 2", 0755)}});
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  for (const char* name : {"web1", "web2"}) {
    expect_upgraded(name);
    EXPECT_EQ(read_file(vserver(name) / "var/lib/dnf/history.sqlite-wal"), "log 2") << "the database is none without";
    EXPECT_EQ(relinked.kept(name), (std::map<std::string, std::string>{}));
  }
}

TEST_P(RpmRootTest, NothingOfATenantsDatabaseIsOpenedThatIsNoFile) {
  start();
  expect_closed({{kPackages, fifo()}, {"usr/lib/sysimage/rpm/odd\nname", fifo()}});
}

TEST_P(RpmRootTest, ALoopOfLinksIsAChangedDatabase) {
  start();
  expect_closed({{"var/lib/rpm", symlink_to("rpm")}});
}

TEST_P(RpmRootTest, AHugeFileWithNothingInItIsNotRead) {
  start();
  put(vserver("web1") / kPackages, file(""));
  fs::resize_file(vserver("web1") / kPackages, std::uintmax_t{1} << 40);
  put(vserver("web1") / "usr/lib/sysimage/rpm/rpmdb.sqlite-wal", file(""));
  fs::resize_file(vserver("web1") / "usr/lib/sysimage/rpm/rpmdb.sqlite-wal", std::uintmax_t{1} << 40);
  expect_closed({});
}

TEST_P(RpmRootTest, ARollbackGivesLinksTheirTimesBack) {
  start();
  merge();
  const fs::path link = merged() / "etc/alternative";
  const timespec times[2] = {{1'700'000'000, 5}, {1'700'000'000, 5}};
  ASSERT_EQ(::utimensat(AT_FDCWD, link.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  put(merged() / "usr/bin/tool", file("tool 2", 0755));
  split();
  const ProcessResult back = vskel({"rollback", "base", "1"});
  ASSERT_EQ(back.code, 0) << back;
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 0) << verified;
  EXPECT_EQ(relink().process.code, 0);
}

INSTANTIATE_TEST_SUITE_P(On, RpmRootTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
