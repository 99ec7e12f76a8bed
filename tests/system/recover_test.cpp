// Killed at any system call, then recovered: every skel and every vserver is whole or absent, and nothing is left over.
#include "tests/support/inode_extras.h"
#include "tests/support/odd_root.h"
#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

std::vector<KillPoint> kill_points(const std::vector<std::string>& system_calls, const std::vector<int>& when) {
  std::vector<KillPoint> points;
  for (const std::string& system_call : system_calls) {
    for (const int n : when) points.push_back({system_call, n});
  }
  return points;
}

const std::vector<std::string> kChangingCalls = {
    "mkdirat", "linkat",    "symlinkat", "openat2,openat", "renameat,renameat2", "ioctl",
    "syncfs",  "fdatasync", "fsync",     "write,pwrite64", "unlinkat",           "fchown,fchownat"};
const std::vector<int> kEarlyAndLate = {1, 3, 20};
const std::vector<std::string> kFewCalls = {"linkat", "renameat,renameat2", "ioctl", "syncfs"};
const std::vector<std::string> kFewRemovingCalls = {"unlinkat", "renameat,renameat2", "ioctl", "fsync"};
const std::vector<int> kFewTimes = {1, 5};

class RecoverTest : public VskelTest {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
    VskelTest::SetUp();
  }

  // All points on the file system where most depends on order, a few on the others.
  [[nodiscard]] static std::vector<KillPoint> points(const std::vector<std::string>& few_calls = kFewCalls) {
    if (GetParam() == FileSystem::ext4) return kill_points(kChangingCalls, kEarlyAndLate);
    return kill_points(few_calls, kFewTimes);
  }

  // Whatever a round left is removed, so that the next one has less to verify.
  void remove_all_but(const std::string& kept) const {
    Arguments arguments = {"remove-vs", "--yes"};
    for (const std::string& name : names_in(vservers())) {
      if (!name.starts_with(".") && name != kept) arguments.push_back(name);
    }
    if (arguments.size() == 2) return;
    const ProcessResult result = vskel(arguments);
    ASSERT_EQ(result.code, 0) << result;
  }

  // Recovers, and recovers again, which must find nothing to do; then the store must be consistent and sound.
  void expect_sound_after_recovery() const {
    if (!fs::exists(vservers())) return;  // killed before there was a store
    const ProcessResult recovered = vskel({"recover"});
    ASSERT_EQ(recovered.code, 0) << recovered;
    const StoreSnapshot once = snapshot_store();
    ASSERT_EQ(vskel({"recover"}).code, 0);
    ASSERT_EQ(changes_since(once), "") << "recover changed something the second time";
    ASSERT_EQ(inconsistencies(), "") << recovered;
    const ProcessResult verified = vskel({"verify"});
    ASSERT_EQ(verified.code, 0) << verified;
  }

  void expect_sealed_skel() const {
    for (const std::string& path : odd_root::kLinkable) ASSERT_TRUE(is_immutable(skel() / "global" / path)) << path;
  }

  static bool was_killed(const ProcessResult& result) { return result.signal == 9 || result.code == 137; }
};

std::string text_of(const KillPoint& point) { return point.system_call + " number " + std::to_string(point.when); }

TEST_P(RecoverTest, CreateVsKilledAtAnyCall) {
  build_base();
  create("reference", "192.0.2.200");
  int killed = 0, number = 0;
  for (const KillPoint& point : points()) {
    SCOPED_TRACE(text_of(point));
    const std::string name = "web" + std::to_string(++number);
    const ProcessResult result =
        vskel_killed_at(point, {"create-vs", "base", name, name + ".example.com", "192.0.2." + std::to_string(number)});
    killed += was_killed(result) ? 1 : 0;
    ASSERT_TRUE(was_killed(result) || result.code == 0) << result;
    expect_sound_after_recovery();
    expect_sealed_skel();
    if (fs::exists(vserver(name))) {
      ASSERT_EQ(differences_from_source(name), "");
    }
    remove_all_but("reference");
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(killed, 4);
}

TEST_P(RecoverTest, FleetKilledAtAnyCall) {
  build_base();
  int number = 0;
  for (const KillPoint& point : kill_points(kFewCalls, {1, 200})) {
    SCOPED_TRACE(text_of(point));
    const std::string prefix = "f" + std::to_string(++number) + "-";
    const ProcessResult result =
        vskel_killed_at(point, {"create-vs", "base", "--count", "4", "--name", prefix + "%d", "--fqdn",
                                "%s.example.com", "--ip-from", "10.0." + std::to_string(number) + ".1"});
    ASSERT_TRUE(was_killed(result) || result.code == 0) << result;
    expect_sound_after_recovery();
    expect_sealed_skel();
    for (const std::string& name : names_in(vservers())) {
      if (name.starts_with(prefix)) {
        ASSERT_EQ(differences_from_source(name), "") << name;
      }
    }
    remove_all_but("");
    if (HasFatalFailure()) return;
  }
}

TEST_P(RecoverTest, BuildSkelKilledAtAnyCall) {
  int killed = 0;
  for (const KillPoint& point : points()) {
    SCOPED_TRACE(text_of(point));
    const ProcessResult result = vskel_killed_at(point, {"build-skel", "base", "--from", source().string()});
    killed += was_killed(result) ? 1 : 0;
    ASSERT_TRUE(was_killed(result) || result.code == 0) << result;
    expect_sound_after_recovery();
    if (HasFatalFailure()) return;
    if (!fs::exists(skel())) continue;
    expect_sealed_skel();
    ASSERT_EQ(vskel({"remove-skel", "base", "--yes"}).code, 0);
  }
  EXPECT_GT(killed, 4);
  build_base();
}

TEST_P(RecoverTest, RemoveVsKilledAtAnyCall) {
  build_base();
  int killed = 0;
  for (const KillPoint& point : points(kFewRemovingCalls)) {
    SCOPED_TRACE(text_of(point));
    if (!fs::exists(vserver("web1"))) create("web1", "192.0.2.1");
    const ProcessResult result = vskel_killed_at(point, {"remove-vs", "web1", "--yes"});
    killed += was_killed(result) ? 1 : 0;
    ASSERT_TRUE(was_killed(result) || result.code == 0) << result;
    expect_sound_after_recovery();
    expect_sealed_skel();
    if (fs::exists(vserver("web1"))) {
      ASSERT_EQ(differences_from_source("web1"), "");
    }
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(killed, 4);
}

// Two generations of one skel: killed anywhere, merge, split and rollback leave the one or the other.
TEST_P(RecoverTest, MergeSplitAndRollbackKilledAtAnyCall) {
  build_base();
  create("web1", "192.0.2.1");
  const fs::path merged = vservers() / "tmp_skel_base";
  const auto generations = [&] { return names_in(skel() / "generations"); };
  int killed = 0, round = 0;
  // Three commands to kill at every point: each call early, in the middle and late.
  const bool all = GetParam() == FileSystem::ext4;
  for (const KillPoint& point : all ? kill_points(kChangingCalls, {1, 4, 25}) : points()) {
    SCOPED_TRACE(text_of(point));
    const ProcessResult merge = vskel_killed_at(point, {"merge-skel", "base"});
    killed += was_killed(merge) ? 1 : 0;
    ASSERT_TRUE(was_killed(merge) || merge.code == 0) << merge;
    expect_sound_after_recovery();
    if (!fs::exists(skel() / "global.bak")) {
      ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
    }
    write_file(merged / "usr/bin/updated", "round " + std::to_string(++round));
    write_file(merged / "etc/updated", "round " + std::to_string(round));

    const std::size_t before = generations().size();
    const ProcessResult split = vskel_killed_at(point, {"split-skel", "base"});
    killed += was_killed(split) ? 1 : 0;
    ASSERT_TRUE(was_killed(split) || split.code == 0) << split;
    expect_sound_after_recovery();
    if (fs::exists(merged)) {
      ASSERT_EQ(generations().size(), before) << "undone, with something of the new generation left";
      ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
    }
    ASSERT_EQ(read_file(skel() / "global/usr/bin/updated"), "round " + std::to_string(round));
    ASSERT_TRUE(is_immutable(skel() / "global/usr/bin/updated"));

    const ProcessResult back = vskel_killed_at(point, {"rollback", "base", "1"});
    ASSERT_TRUE(was_killed(back) || back.code == 0) << back;
    expect_sound_after_recovery();
    const bool rolled_back = !fs::exists(skel() / "global/usr/bin/updated");
    ASSERT_TRUE(rolled_back || was_killed(back));
    ASSERT_EQ(fs::exists(skel() / "local/etc/updated"), !rolled_back);
    expect_sealed_skel();
    ASSERT_EQ(differences_from_source("web1"), "");
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(killed, 8);
}

// Killed anywhere, a relink leaves every path of a vserver at the one generation or the other; the next run brings the
// rest, and what the tenant changed stays.
TEST_P(RecoverTest, RelinkKilledAtAnyCall) {
  build_base();
  for (const char* share : {"hardlink", "copy"}) {
    SCOPED_TRACE(share);
    create(std::string("web-") + share, share == std::string("copy") ? "192.0.2.1" : "192.0.2.2", {"--share", share});
  }
  const fs::path merged = vservers() / "tmp_skel_base";
  int killed = 0, round = 0;
  for (const KillPoint& point : points()) {
    SCOPED_TRACE(text_of(point));
    const std::string before = "round " + std::to_string(round), after = "round " + std::to_string(++round);
    ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
    for (const char* path : {"usr/bin/updated", "usr/lib/updated", "etc/updated", "etc/kept"})
      write_file(merged / path, after);
    fs::create_directories(merged / "usr/share" / after);
    write_file(merged / "usr/share" / after / "inside", after);
    if (round > 1) fs::remove_all(merged / "usr/share" / before);
    ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
    const ProcessResult relink = vskel_killed_at(point, {"relink", "base"});
    killed += was_killed(relink) ? 1 : 0;
    ASSERT_TRUE(was_killed(relink) || relink.code == 0) << relink;
    expect_sound_after_recovery();
    expect_sealed_skel();
    for (const char* name : {"web-hardlink", "web-copy"})
      for (const char* path : {"usr/bin/updated", "usr/lib/updated", "etc/updated"})
        if (round > 1) {
          const std::string content = read_file(vserver(name) / path);
          ASSERT_TRUE(content == before || content == after) << name << "/" << path << ": " << content;
        }
    const ProcessResult rest = vskel({"relink", "base"});
    ASSERT_EQ(rest.code, 0) << rest;
    for (const char* name : {"web-hardlink", "web-copy"}) {
      for (const char* path : {"usr/bin/updated", "usr/lib/updated", "etc/updated"})
        ASSERT_EQ(read_file(vserver(name) / path), after) << name << "/" << path;
      ASSERT_EQ(read_file(vserver(name) / "usr/share" / after / "inside"), after);
      ASSERT_FALSE(round > 1 && fs::exists(vserver(name) / "usr/share" / before)) << name;
      ASSERT_EQ(read_file(vserver(name) / "etc/kept"), round == 1 ? after : "the tenant's") << name;
      write_file(vserver(name) / "etc/kept", "the tenant's");
    }
    ASSERT_EQ(inode_of(vserver("web-hardlink") / "usr/bin/updated"), inode_of(skel() / "global/usr/bin/updated"));
    ASSERT_EQ(inconsistencies(), "");
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(killed, 4);
}

TEST_P(RecoverTest, RecoverKilledAndRepeated) {
  build_base();
  int number = 0;
  for (const KillPoint& second : kill_points({"unlinkat", "ioctl", "renameat,renameat2", "fsync"}, {1, 3, 20})) {
    SCOPED_TRACE(text_of(second));
    const std::string name = "web" + std::to_string(++number);
    static_cast<void>(vskel_killed_at(
        {"syncfs", 1}, {"create-vs", "base", name, name + ".example.com", "192.0.2." + std::to_string(number)}));
    static_cast<void>(vskel_killed_at(second, {"recover"}));
    expect_sound_after_recovery();
    expect_sealed_skel();
    if (HasFatalFailure()) return;
  }
}

TEST_P(RecoverTest, TheNextCommandRecoversByItself) {
  build_base();
  const ProcessResult killed =
      vskel_killed_at({"linkat", 2}, {"create-vs", "base", "web1", "web1.example.com", "192.0.2.1"});
  ASSERT_TRUE(was_killed(killed)) << killed;
  create("web1", "192.0.2.1");
  EXPECT_EQ(inconsistencies(), "");
  EXPECT_EQ(differences_from_source("web1"), "");
}

TEST_P(RecoverTest, RecoverOnASoundStoreSaysAndChangesNothing) {
  build_base();
  create("web1", "192.0.2.1");
  const StoreSnapshot before = snapshot_store();
  EXPECT_EQ(vskel({"recover"}).code, 0);
  EXPECT_EQ(changes_since(before), "");
}

INSTANTIATE_TEST_SUITE_P(On, RecoverTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
