// What belongs together moves together or not at all (upgrade.md): bundles, trees that would be torn, directories that
// become links, times, removals, and paths that are each vserver's own.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

const Thing kOne = file("the content X"), kTwo = file("the content Y"), kTenants = file("the content Z");
constexpr const char* kBundleInUse = "in use by the tenant, changed in the skel";
constexpr const char* kBundleRemoved = "in use by the tenant, removed in the skel";

using Kept = std::map<std::string, std::string>;

std::string line_of(const Relinked& relinked, const std::string& name) { return relinked.of(name)["error"]; }

timespec time_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status.st_mtim;
}

void set_time(const fs::path& path, time_t seconds, long nanoseconds = 0) {
  const timespec times[] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0) << path;
}

bool operator==(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

/// Both ways of having files: as the skel's inodes, and as copies.
class TogetherTest : public RelinkTest {
 protected:
  void make(const std::map<std::string, Thing>& things) {
    for (const auto& [path, thing] : things) put(root() / path, thing);
    build();
    for (const std::string& name : names_) create_vserver(name, {"--share", name});
  }

  void change_all(const std::map<std::string, Thing>& things) const {
    for (const std::string& name : names_) change(name, things);
  }

  [[nodiscard]] Relinked relink_all(int code, const Arguments& arguments = {}) const {
    Relinked relinked = relink(arguments);
    EXPECT_EQ(relinked.process.code, code) << relinked.process;
    return relinked;
  }

  void expect(const std::map<std::string, Thing>& things) const {
    for (const std::string& name : names_)
      for (const auto& [path, thing] : things) EXPECT_EQ(differences_from(thing, vserver(name) / path), "");
  }

  void expect_kept(const Relinked& relinked, const Kept& kept) const {
    for (const std::string& name : names_) {
      EXPECT_EQ(relinked.kept(name), kept) << name;
      EXPECT_EQ(relinked.of(name)["status"], "done") << name;
    }
  }

  void expect_second_run_changes_nothing() const {
    const StoreSnapshot before = snapshot_store();
    (void)relink();
    EXPECT_EQ(changes_since(before), "");
  }

  /// All vservers are skipped for `path`, whole: nothing of them is changed, nor of their records.
  void expect_skipped(const std::string& path) const {
    const StoreSnapshot before = snapshot_store();
    for (const Arguments& arguments : {Arguments{"--dry-run"}, Arguments{}}) {
      const Relinked relinked = relink_all(3, arguments);
      for (const std::string& name : names_) {
        EXPECT_EQ(relinked.of(name)["status"], "skipped") << name;
        EXPECT_NE(line_of(relinked, name).find(path + ": "), std::string::npos) << line_of(relinked, name);
      }
    }
    EXPECT_EQ(changes_since(before), "");
  }

  const std::vector<std::string> names_ = {"hardlink", "copy"};
};

// --- bundles

const Thing kDatabase = directory({{"ibdata1", kOne}, {"ib_logfile0", kOne}, {"mysql", directory({{"db.MAI", kOne}})}});
const Thing kNewDatabase =
    directory({{"ibdata1", kTwo}, {"ib_logfile0", kTwo}, {"mysql", directory({{"db.MAI", kTwo}, {"new", kTwo}})}});

TEST_P(TogetherTest, ABundleThatItsTenantLeftAloneFollowsWhole) {
  make({{"var/lib/mysql", kDatabase}});
  update_skel({{"var/lib/mysql", kNewDatabase}});
  expect_kept(relink_all(0), {});
  expect({{"var/lib/mysql", kNewDatabase}});
  expect_second_run_changes_nothing();
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(TogetherTest, ABundleInUseStaysWhole) {
  make({{"var/lib/mysql", kDatabase}, {"var/lib/other", directory({{"a", kOne}})}, {"usr/bin/mysqld", kOne}});
  change_all({{"var/lib/mysql/ibdata1", kTenants}});
  update_skel({{"var/lib/mysql", kNewDatabase}, {"var/lib/other/a", kTwo}, {"usr/bin/mysqld", kTwo}});
  const Relinked relinked = relink_all(0);
  expect_kept(relinked, {{"/var/lib/mysql", kBundleInUse}});
  Thing theirs = kDatabase;
  theirs.entries["ibdata1"] = kTenants;
  expect({{"var/lib/mysql", theirs}, {"var/lib/other/a", kTwo}, {"usr/bin/mysqld", kTwo}});
  expect_second_run_changes_nothing();
  expect_kept(relink_all(0), {{"/var/lib/mysql", kBundleInUse}});
  // Seen, and still his.
  expect_kept(relink_all(0, {"--ack"}), {{"/var/lib/mysql", kBundleInUse}});
  expect_kept(relink_all(0), {});
  expect({{"var/lib/mysql", theirs}});
}

TEST_P(TogetherTest, AnEntryOfTheTenantsOwnOrOneThatHeDeletedIsUse) {
  make({{"var/lib/added", kDatabase}, {"var/lib/deleted", kDatabase}, {"srv/mode", kDatabase}});
  change_all({{"var/lib/added/tenant", kTenants}, {"var/lib/deleted/mysql/db.MAI", absent()}});
  for (const std::string& name : names_) fs::permissions(vserver(name) / "srv/mode/mysql", fs::perms::owner_all);
  update_skel({{"var/lib/added", kNewDatabase}, {"var/lib/deleted", kNewDatabase}, {"srv/mode", kNewDatabase}});
  expect_kept(relink_all(0),
              {{"/var/lib/added", kBundleInUse}, {"/var/lib/deleted", kBundleInUse}, {"/srv/mode", kBundleInUse}});
  Thing added = kDatabase, deleted = kDatabase;
  added.entries["tenant"] = kTenants;
  deleted.entries["mysql"].entries.clear();
  expect({{"var/lib/added", added}, {"var/lib/deleted", deleted}});
}

TEST_P(TogetherTest, ABundleThatTheSkelRemovedGoesWholeOrStaysWhole) {
  make({{"var/lib/gone", kDatabase}, {"var/lib/used", kDatabase}});
  change_all({{"var/lib/used/ibdata1", kTenants}});
  update_skel({{"var/lib/gone", absent()}, {"var/lib/used", absent()}});
  expect_kept(relink_all(0), {{"/var/lib/used", kBundleRemoved}});
  Thing used = kDatabase;
  used.entries["ibdata1"] = kTenants;
  expect({{"var/lib/gone", absent()}, {"var/lib/used", used}});
  expect_second_run_changes_nothing();
}

TEST_P(TogetherTest, ADirectoryOfBundlesGoesWithThem) {
  make({{"var/lib/php", directory({{"modules", kDatabase}, {"sessions", directory({})}})}});
  update_skel({{"var/lib/php", absent()}});
  expect_kept(relink_all(0), {});
  expect({{"var/lib/php", absent()}});
  expect_second_run_changes_nothing();
}

TEST_P(TogetherTest, ABundleWithAFileOpenForWritingStaysWhole) {
  make({{"var/lib/mysql", kDatabase}});
  // The open file is one that the skel did not change.
  update_skel({{"var/lib/mysql/ib_logfile0", kTwo}, {"var/lib/mysql/mysql/new", kTwo}});
  const int writer = ::open((vserver("copy") / "var/lib/mysql/ibdata1").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(writer, 0);
  const Relinked relinked = relink_all(0, {"copy"});
  EXPECT_EQ(relinked.kept("copy"), (Kept{{"/var/lib/mysql", kBundleInUse}}));
  EXPECT_EQ(differences_from(kDatabase, vserver("copy") / "var/lib/mysql"), "");
  ::close(writer);
  EXPECT_EQ(relink_all(0, {"copy"}).kept("copy"), Kept());
  EXPECT_EQ(differences_from(kTwo, vserver("copy") / "var/lib/mysql/ib_logfile0"), "");
}

TEST_P(TogetherTest, WhatTheTenantHasAlreadyIsNoConflict) {
  make({{"var/lib/mysql", kDatabase}});
  change_all({{"var/lib/mysql", kNewDatabase}});
  update_skel({{"var/lib/mysql", kNewDatabase}});
  expect_kept(relink_all(0), {});
  expect_second_run_changes_nothing();
}

/// More conflicts than what follows: the record goes on naming the old generation, and what followed one by one.
std::map<std::string, Thing> many_conflicts(const Thing& thing) {
  std::map<std::string, Thing> things;
  for (int number = 0; number < 8; ++number) things["etc/conflict" + std::to_string(number)] = thing;
  return things;
}
Kept all_conflicts() {
  Kept kept;
  for (const auto& [path, thing] : many_conflicts(kOne)) kept["/" + path] = "changed on both sides";
  return kept;
}

TEST_P(TogetherTest, ABundleThatLostAFileBesideConflictsHasFollowed) {
  std::map<std::string, Thing> things = many_conflicts(kOne), update = many_conflicts(kTwo);
  things["var/lib/db"] = directory({{"a", kOne}, {"b", kOne}});
  update["var/lib/db"] = directory({{"a", kOne}}, 0700);
  make(things);
  change_all(many_conflicts(kTenants));
  update_skel(update);
  expect_kept(relink_all(0), all_conflicts());
  expect({{"var/lib/db", directory({{"a", kOne}}, 0700)}});
  expect_second_run_changes_nothing();
  // What the tenant does from then on is not the skel's change.
  change_all({{"var/lib/db/a", kTenants}});
  expect_kept(relink_all(0), all_conflicts());
}

TEST_P(TogetherTest, ADirectoryThatFollowedBesideConflictsIsTheTenantsToChangeBack) {
  std::map<std::string, Thing> things = many_conflicts(kOne), update = many_conflicts(kTwo);
  things["usr/lib/of-all"] = directory({{"a", kOne}});
  update["usr/lib/of-all"] = directory({{"a", kOne}}, 0700);
  make(things);
  change_all(many_conflicts(kTenants));
  update_skel(update);
  expect_kept(relink_all(0), all_conflicts());
  expect({{"usr/lib/of-all", directory({{"a", kOne}}, 0700)}});
  for (const std::string& name : names_) fs::permissions(vserver(name) / "usr/lib/of-all", fs::perms(0755));
  expect_second_run_changes_nothing();
  expect({{"usr/lib/of-all", directory({{"a", kOne}})}});
}

TEST_P(TogetherTest, WhereOneDirectoryHoldsSeveralStatesEachIsABundle) {
  make({{"var/lib/systemd/timers", directory({{"stamp", kOne}})},
        {"var/lib/systemd/catalog", directory({{"database", kOne}})}});
  change_all({{"var/lib/systemd/timers/stamp", kTenants}});
  update_skel({{"var/lib/systemd/timers/stamp", kTwo}, {"var/lib/systemd/catalog/database", kTwo}});
  expect_kept(relink_all(0), {{"/var/lib/systemd/timers", kBundleInUse}});
  expect({{"var/lib/systemd/timers/stamp", kTenants}, {"var/lib/systemd/catalog/database", kTwo}});
}

// --- trees that would be torn

const Thing kTree = directory({{"a", kOne}, {"c", kOne}}), kNewTree = directory({{"a", kTwo}, {"b", kTwo}});

TEST_P(TogetherTest, AChangedFileWhereADirectoryComesSkipsTheVserver) {
  make({{"usr/share/tree", kOne}, {"usr/bin/other", kOne}});
  change_all({{"usr/share/tree", kTenants}});
  update_skel({{"usr/share/tree", kTree}, {"usr/bin/other", kTwo}});
  expect_skipped("/usr/share/tree");
  change_all({{"usr/share/tree", kOne}});
  expect_kept(relink_all(0), {});
  expect({{"usr/share/tree", kTree}, {"usr/bin/other", kTwo}});
}

TEST_P(TogetherTest, ADirectoryOfTheTenantsWhereAFileComesSkipsTheVserver) {
  make({{"etc/tree", kTree}, {"usr/bin/other", kOne}});
  change_all({{"etc/tree/own", kTenants}});
  update_skel({{"etc/tree", kOne}, {"usr/bin/other", kTwo}});
  expect_skipped("/etc/tree");
}

TEST_P(TogetherTest, ASymlinkInTheWayOfAnUpdateSkipsTheVserver) {
  make({{"usr/share/tree", kTree}, {"usr/bin/other", kOne}});
  change_all({{"srv/elsewhere", kTree}, {"usr/share/tree", symlink_to("/srv/elsewhere")}});
  update_skel({{"usr/share/tree", kNewTree}, {"usr/bin/other", kTwo}});
  expect_skipped("/usr/share/tree");
  expect({{"srv/elsewhere", kTree}});
  // What the administrator exempts is in nobody's way.
  const std::string configuration = config_file("[relink]\nfreeze = [\"/usr/share/tree\"]\n");
  expect_kept(relink_all(0, {"--config", configuration}), {});
  expect({{"usr/bin/other", kTwo}, {"usr/share/tree", symlink_to("/srv/elsewhere")}, {"srv/elsewhere", kTree}});
}

/// Then no database says what the tenant has, and all that the skel changed may be behind it.
TEST_P(TogetherTest, ASymlinkOverThePackageDatabaseItselfSkipsTheVserver) {
  const auto status = [](const std::string& version) {
    return file("Package: base\nStatus: install ok installed\nArchitecture: all\nVersion: " + version + "\n\n");
  };
  const Thing libraries = directory(
      {{"dpkg", directory({{"status", status("1")}, {"info", directory({{"base.list", file("/.\n")}})}})},
       {"server", kDatabase}});
  make({{"var/lib", libraries}});
  change_all({{"srv/lib", libraries}, {"var/lib", symlink_to("/srv/lib")}});
  update_skel({{"var/lib/dpkg/status", status("2")}, {"var/lib/server", kNewDatabase}});
  expect_skipped("/var/lib");
  expect({{"srv/lib", libraries}});
}

TEST_P(TogetherTest, ASymlinkWhereTheSkelChangesNothingIsInNobodysWay) {
  make({{"usr/share/tree", kTree}, {"usr/bin/other", kOne}});
  change_all({{"usr/share/tree", symlink_to("/srv/elsewhere")}});
  update_skel({{"usr/bin/other", kTwo}});
  expect_kept(relink_all(0), {});
  expect({{"usr/bin/other", kTwo}});
}

TEST_P(TogetherTest, AMountInTheWayOfAnUpdateSkipsTheVserver) {
  make({{"usr/share/tree", kTree}});
  std::vector<fs::path> mounted;
  for (const std::string& name : names_) {
    mounted.push_back(vserver(name) / "usr/share/tree");
    ASSERT_EQ(::mount("tmpfs", mounted.back().c_str(), "tmpfs", 0, "mode=755"), 0);
    put(mounted.back() / "a", kOne);
  }
  update_skel({{"usr/share/tree", kNewTree}});
  for (int run = 0; run < 2; ++run) {
    const Relinked relinked = relink_all(3);
    for (const std::string& name : names_)
      EXPECT_NE(line_of(relinked, name).find("/usr/share/tree: blocked"), std::string::npos);
  }
  for (const fs::path& path : mounted) {
    EXPECT_EQ(differences_from(directory({{"a", kOne}}), path), "");
    ASSERT_EQ(::umount2(path.c_str(), MNT_DETACH), 0);
  }
  expect_kept(relink_all(0), {});
  expect({{"usr/share/tree", kNewTree}});
}

// --- directories that become links, and links that become directories

TEST_P(TogetherTest, TheTenantsOwnEntriesGoAlongWhereADirectoryBecomesALink) {
  make({{"lib", directory({{"libc.so", kOne}, {"modules", directory({{"a.ko", kOne}})}})},
        {"usr/lib", directory({{"x", kOne}})}});
  change_all({{"lib/own.so", kTenants},
              {"lib/modules/own.ko", kTenants},
              {"lib/firmware", directory({{"blob", kTenants}, {"link", symlink_to("blob")}})}});
  update_skel({{"lib", symlink_to("usr/lib")},
               {"usr/lib", directory({{"x", kOne}, {"libc.so", kTwo}, {"modules", directory({{"a.ko", kTwo}})}})}});
  const Relinked relinked = relink_all(0);
  expect_kept(relinked, {});
  const Thing merged = directory({{"x", kOne},
                                  {"libc.so", kTwo},
                                  {"own.so", kTenants},
                                  {"modules", directory({{"a.ko", kTwo}, {"own.ko", kTenants}})},
                                  {"firmware", directory({{"blob", kTenants}, {"link", symlink_to("blob")}})}});
  expect({{"lib", symlink_to("usr/lib")}, {"usr/lib", merged}});
  expect_second_run_changes_nothing();
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(TogetherTest, WhereANameIsTakenTheVserverIsSkipped) {
  make({{"bin", directory({{"sh", kOne}})}, {"usr/bin/sh2", kOne}});
  change_all({{"bin/tool", kTenants}, {"usr/bin/tool", kTwo}});
  update_skel({{"bin", symlink_to("usr/bin")}, {"usr/bin/sh", kTwo}});
  expect_skipped("/bin");
  expect({{"bin/tool", kTenants}, {"usr/bin/tool", kTwo}, {"bin/sh", kOne}});
}

TEST_P(TogetherTest, WhatTheTenantChangedOfTheSkelsDoesNotMove) {
  make({{"bin", directory({{"sh", kOne}})}});
  change_all({{"bin/sh", kTenants}});
  update_skel({{"bin", symlink_to("usr/bin")}, {"usr/bin/sh", kTwo}});
  expect_skipped("/bin");
}

TEST_P(TogetherTest, AnEmptyOrUntouchedDirectoryBecomesALinkAndBack) {
  make({{"usr/share/doc", directory({{"a", kOne}})}, {"usr/share/common", directory({})}});
  update_skel({{"usr/share/doc", symlink_to("common")}, {"usr/share/common/a", kTwo}});
  expect_kept(relink_all(0), {});
  expect({{"usr/share/doc", symlink_to("common")}, {"usr/share/common", directory({{"a", kTwo}})}});
  update_skel({{"usr/share/doc", directory({{"a", kOne}, {"b", kOne}})}});
  expect_kept(relink_all(0), {});
  expect({{"usr/share/doc", directory({{"a", kOne}, {"b", kOne}})}});
}

// --- names of one inode

TEST_P(TogetherTest, NamesThatAPackageTookApartAreTwoFilesAndThoseThatItJoinedAreOne) {
  const Thing one = directory({{"a", kOne}, {"b", hard_link_to("a")}}), two = directory({{"a", kOne}, {"b", kOne}});
  make({{"usr/share/apart", one}, {"usr/share/joined", two}, {"etc/apart", one}, {"etc/joined", two}});
  update_skel({{"usr/share/apart", two}, {"usr/share/joined", one}, {"etc/apart", two}, {"etc/joined", one}});
  expect_kept(relink_all(0), {});
  expect({{"usr/share/apart", two}, {"usr/share/joined", one}, {"etc/apart", two}, {"etc/joined", one}});
  for (const std::string& name : names_)
    for (const char* path : {"usr/share/apart", "etc/apart"})
      EXPECT_NE(inode_of(vserver(name) / path / "a"), inode_of(vserver(name) / path / "b")) << name << " " << path;
  expect_second_run_changes_nothing();
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(TogetherTest, NamesOfOneInodeFollowTogetherHoweverManyFilesAreBetween) {
  std::map<std::string, Thing> things = {{"usr/share/pair/a", kOne}, {"usr/share/pair/z", hard_link_to("a")}};
  for (int number = 0; number < 600; ++number) things["usr/share/pair/m" + std::to_string(number)] = kOne;
  make(things);
  merge();
  for (auto& [path, thing] : things)
    if (thing.kind == Thing::Kind::file) put(merged() / path, kTwo);
  put(merged() / "usr/share/pair/z", hard_link_to("a"));
  split();
  // Half of the descriptors may be leases: some are given back between the two names.
  const rlimit few{1024, 1024};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);  // every test is a process of its own
  expect_kept(relink_all(0), {});
  expect({{"usr/share/pair/a", kTwo}, {"usr/share/pair/z", hard_link_to("a")}, {"usr/share/pair/m599", kTwo}});
  expect_second_run_changes_nothing();
}

TEST_P(TogetherTest, NamesOfOneSymlinkAreOneInTheVserverToo) {
  make({{"etc/links", directory({{"old", symlink_to("x")}})}});
  update_skel({{"etc/links/a", symlink_to("x")},
               {"etc/links/b", hard_link_to("a")},
               {"usr/share/links/a", symlink_to("x")},
               {"usr/share/links/b", hard_link_to("a")}});
  expect_kept(relink_all(0), {});
  for (const std::string& name : names_)
    for (const char* path : {"etc/links", "usr/share/links"}) {
      struct stat a {
      }, b{};
      ASSERT_EQ(::lstat((vserver(name) / path / "a").c_str(), &a), 0);
      ASSERT_EQ(::lstat((vserver(name) / path / "b").c_str(), &b), 0);
      EXPECT_TRUE(S_ISLNK(a.st_mode)) << name << " " << path;
      EXPECT_EQ(a.st_ino, b.st_ino) << name << " " << path;
    }
  expect_second_run_changes_nothing();
}

// --- times

TEST_P(TogetherTest, EqualBytesOfAnotherTimeComeWithTheirTime) {
  make({{"usr/lib/module.py", kOne},
        {"usr/lib/module.pyc", kTwo},
        {"usr/lib/link", symlink_to("module.py")},
        {"etc/conf", kOne}});
  merge();
  for (const char* path : {"usr/lib/module.py", "usr/lib/link", "etc/conf"})
    set_time(merged() / path, 1'500'000'000, 7);
  split();
  for (const std::string& name : names_) {
    // A touch of the tenant's is no change.
    if (name == "copy") set_time(vserver(name) / "usr/lib/module.py", 1'600'000'000);
  }
  expect_kept(relink_all(0), {});
  for (const std::string& name : names_)
    for (const char* path : {"usr/lib/module.py", "usr/lib/link", "etc/conf"})
      EXPECT_TRUE(time_of(vserver(name) / path) == (timespec{1'500'000'000, 7})) << name << " " << path;
  EXPECT_EQ(inode_of(vserver("hardlink") / "usr/lib/module.py"), inode_of(skel() / "global/usr/lib/module.py"));
  expect_second_run_changes_nothing();
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 0) << verified;
}

TEST_P(TogetherTest, OnlyTimesThatAreTheSkelsAreShared) {
  make({{"usr/lib/module.py", kOne}});
  change("hardlink", {{"usr/lib/module.py", kOne}});
  set_time(vserver("hardlink") / "usr/lib/module.py", 1'600'000'000);
  expect_kept(relink_all(0), {});
  EXPECT_NE(inode_of(vserver("hardlink") / "usr/lib/module.py"), inode_of(skel() / "global/usr/lib/module.py"));
  expect_kept(relink_all(0, {"--ignore-mtime"}), {});
  EXPECT_EQ(inode_of(vserver("hardlink") / "usr/lib/module.py"), inode_of(skel() / "global/usr/lib/module.py"));
}

TEST_P(TogetherTest, DirectoriesWithTheSkelsEntriesHaveTheSkelsTimes) {
  make({{"usr/share/fonts", kTree}, {"usr/share/icons", kTree}});
  change_all({{"usr/share/icons/own", kTenants}});
  merge();
  put(merged() / "usr/share/fonts/a", kTwo);
  put(merged() / "usr/share/icons/a", kTwo);
  for (const char* path : {"usr/share/fonts", "usr/share/icons"}) set_time(merged() / path, 1'500'000'000, 9);
  split();
  expect_kept(relink_all(0), {});
  for (const std::string& name : names_) {
    EXPECT_TRUE(time_of(vserver(name) / "usr/share/fonts") == (timespec{1'500'000'000, 9})) << name;
    EXPECT_FALSE(time_of(vserver(name) / "usr/share/icons") == (timespec{1'500'000'000, 9})) << name;
  }
  expect_second_run_changes_nothing();
}

TEST_P(TogetherTest, DirectoriesThatComeWholeHaveTheSkelsTimes) {
  make({{"usr/share/link", symlink_to("tree")}});
  merge();
  for (const char* path : {"usr/share/link", "usr/share/new"}) {
    put(merged() / path, kTree);
    set_time(merged() / path, 1'500'000'000, 9);
  }
  split();
  expect_kept(relink_all(0), {});
  for (const std::string& name : names_)
    for (const char* path : {"usr/share/link", "usr/share/new"})
      EXPECT_TRUE(time_of(vserver(name) / path) == (timespec{1'500'000'000, 9})) << name << " " << path;
}

TEST_P(TogetherTest, UsrIsNewerThanWhatSystemdUpdatedLast) {
  make({{"usr/share/fonts", kTree}});
  for (const std::string& name : names_) {
    put(vserver(name) / "etc/.updated", file(""));
    set_time(vserver(name) / "etc/.updated", 2'000'000'000);
    put(vserver(name) / "var/.updated", file(""));
  }
  update_skel({{"usr/share/fonts/a", kTwo}});
  expect_kept(relink_all(0), {});
  for (const std::string& name : names_) EXPECT_GT(time_of(vserver(name) / "usr").tv_sec, 2'000'000'000) << name;
  expect_second_run_changes_nothing();
}

// --- removed in the skel, and each vserver's own

TEST_P(TogetherTest, WhatTheSkelRemovedOfTheLocalPartGoesWhereItWasLeftAlone) {
  make({{"etc/apache2/mods-available/php.load", kOne},
        {"etc/apache2/mods-enabled/php.load", symlink_to("../mods-available/php.load")},
        {"etc/cron.d/old", kOne},
        {"etc/changed", kOne}});
  change_all({{"etc/changed", kTenants}});
  update_skel({{"etc/apache2/mods-available/php.load", absent()},
               {"etc/apache2/mods-enabled/php.load", absent()},
               {"etc/cron.d/old", absent()},
               {"etc/cron.d/new", kOne},
               {"etc/changed", absent()}});
  expect_kept(relink_all(0), {{"/etc/changed", "removed in the skel, changed here"}});
  expect({{"etc/apache2/mods-available/php.load", absent()},
          {"etc/apache2/mods-enabled/php.load", absent()},
          {"etc/cron.d", directory({{"new", kOne}})},
          {"etc/changed", kTenants}});
}

TEST_P(TogetherTest, ATokenIsNeverLaidRawIntoAVserver) {
  make({{"etc/issue", file("builder\n")}, {"etc/motd", file("hello\n")}});
  std::string rules = read_file(skel() / "layout");
  write_file(skel() / "layout",
             "static /etc/issue\nstatic /etc/new.conf\nstatic /etc/deep\nlocal /etc/hosts\n" + rules);
  update_skel({{"etc/issue", file("%%VS_NAME%%\n")},
               {"etc/new.conf", file("name = %%VS_NAME%% %%VS_FQDN%% %%VS_IP%%\n")},
               {"etc/deep", directory({{"file", file("%%VS_NAME%%\n")}})}});
  expect_kept(relink_all(0), {});
  for (const std::string& name : names_) {
    EXPECT_EQ(read_file(vserver(name) / "etc/issue"), "builder\n") << "the vserver's own stays";
    EXPECT_EQ(read_file(vserver(name) / "etc/new.conf").find("%%"), std::string::npos);
    EXPECT_NE(read_file(vserver(name) / "etc/new.conf").find("name = " + name + " " + name + ".example.com 192.0.2."),
              std::string::npos);
    EXPECT_EQ(read_file(vserver(name) / "etc/deep/file"), name + "\n");
    EXPECT_NE(read_file(vserver(name) / "etc/hosts").find(name), std::string::npos);
  }
  expect_second_run_changes_nothing();
  // And back to local.
  write_file(skel() / "layout", rules);
  update_skel({{"etc/new.conf", kTwo}});
  expect_kept(relink_all(0), {});
  for (const std::string& name : names_)
    EXPECT_NE(read_file(vserver(name) / "etc/new.conf").find(name), std::string::npos);
}

TEST_P(TogetherTest, AStaticFileThatTheSkelChangesStaysAndIsToldOf) {
  constexpr const char* kStays = "each vserver's own (static), changed in the skel";
  constexpr const char* kGoes = "each vserver's own (static), removed in the skel";
  make({{"etc/main.cf", file("myhostname = one\n")}, {"etc/gone.cf", kOne}, {"etc/followed.cf", kOne}});
  write_file(skel() / "layout",
             "static /etc/main.cf\nstatic /etc/gone.cf\nstatic /etc/followed.cf\n" + read_file(skel() / "layout"));
  update_skel({{"etc/main.cf", file("myhostname = %%VS_FQDN%%\nlevel = 1\n")}});
  expect_kept(relink_all(0), {});
  write_file(skel() / "static/etc/main.cf", "myhostname = %%VS_FQDN%%\nlevel = 2\n");
  write_file(skel() / "static/etc/followed.cf", "of %%VS_NAME%%\n");
  fs::remove(skel() / "static/etc/gone.cf");
  update_skel({{"etc/motd", kTwo}});
  for (const std::string& name : names_) write_file(vserver(name) / "etc/followed.cf", "of " + name + "\n");
  const Kept kept{{"/etc/main.cf", kStays}, {"/etc/gone.cf", kGoes}};
  expect_kept(relink_all(0), kept);
  expect_kept(relink_all(0), kept);
  for (const std::string& name : names_) EXPECT_EQ(read_file(vserver(name) / "etc/main.cf"), "myhostname = one\n");
  // He follows by hand.
  for (const std::string& name : names_) {
    write_file(vserver(name) / "etc/main.cf", "myhostname = " + name + ".example.com\nlevel = 2\n");
    fs::remove(vserver(name) / "etc/gone.cf");
  }
  expect_kept(relink_all(0), {});
  expect_second_run_changes_nothing();
}

TEST_P(TogetherTest, WhatWasSharedAndIsStaticNowBecomesTheVserversOwn) {
  make({{"usr/share/page", kOne}});
  write_file(skel() / "layout", "static /usr/share/page\n" + read_file(skel() / "layout"));
  update_skel({{"usr/share/page", file("of %%VS_NAME%%\n")}});
  expect_kept(relink_all(0), {});
  for (const std::string& name : names_) EXPECT_EQ(read_file(vserver(name) / "usr/share/page"), "of " + name + "\n");
}

TEST_P(TogetherTest, WhatMustBeEachVserversOwnIsNeverTouched) {
  make({{"etc/machine-id", file("")}, {"etc/motd", kOne}});
  change_all({{"etc/machine-id", file("0123\n")}, {"etc/ssh/ssh_host_ed25519_key", file("secret\n", 0600)}});
  update_skel({{"etc/ssh/ssh_host_ed25519_key", file("the skel's\n", 0600)}, {"etc/motd", kTwo}});
  expect_kept(relink_all(0), {});
  expect({{"etc/machine-id", file("0123\n")},
          {"etc/ssh/ssh_host_ed25519_key", file("secret\n", 0600)},
          {"etc/motd", kTwo}});
}

INSTANTIATE_TEST_SUITE_P(On, TogetherTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
