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
const std::vector<int> kEarlyAndLate = {1, 2, 3, 7, 20, 60};
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
