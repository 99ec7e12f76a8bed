// remove-vs and remove-skel: all of it goes, nothing else does.
#include <sys/mount.h>

#include "tests/support/inode_extras.h"
#include "tests/support/odd_root.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

class RemoveTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    build_base();
  }
};

TEST_P(RemoveTest, RemovesEverythingThatBelongsToAVserver) {
  create("web1", "192.0.2.1");
  create("web2", "192.0.2.2");
  const ProcessResult result = vskel({"remove-vs", "web1", "--yes"});
  ASSERT_EQ(result.code, 0) << result;
  EXPECT_FALSE(fs::exists(vserver("web1")));
  EXPECT_FALSE(fs::exists(config("web1")));
  EXPECT_FALSE(fs::exists(record("web1")));
  EXPECT_FALSE(fs::exists(fs::symlink_status(etc() / "contexts/50")));
  EXPECT_EQ(inconsistencies(), "");
  EXPECT_EQ(differences_from_source("web2"), "");
}

TEST_P(RemoveTest, LeavesTheSkelSealedAndWhole) {
  const TreeSnapshot before = snapshot_tree(skel());
  create("web1", "192.0.2.1");
  ASSERT_EQ(vskel({"remove-vs", "web1", "--yes"}).code, 0);
  const std::vector<Exception> exceptions = {{"instances", Aspect::mtime}};
  EXPECT_EQ(joined(compare_snapshots(before, snapshot_tree(skel()), exceptions, Identity::compared)), "");
  for (const std::string& path : odd_root::kLinkable) EXPECT_TRUE(is_immutable(skel() / "global" / path)) << path;
  EXPECT_EQ(vskel({"verify"}).code, 0);
}

TEST_P(RemoveTest, RemovesSeveralAtOnce) {
  for (int i = 1; i <= 5; ++i) create("web" + std::to_string(i), "192.0.2." + std::to_string(i));
  const ProcessResult result = vskel({"remove-vs", "web1", "web2", "web3", "web4", "web5", "--yes"});
  ASSERT_EQ(result.code, 0) << result;
  EXPECT_EQ(inconsistencies(), "");
  EXPECT_EQ(names_in(skel() / "instances"), std::set<std::string>{});
}

TEST_P(RemoveTest, DoesNotFollowWhatATenantPlanted) {
  create("web1", "192.0.2.1");
  fs::create_directory(mount() / "victim");
  write_file(mount() / "victim/file", "untouched");
  fs::create_directory_symlink(mount() / "victim", vserver("web1") / "var/planted");
  fs::remove_all(vserver("web1") / "opt");
  fs::create_directory_symlink(mount() / "victim", vserver("web1") / "opt");
  ASSERT_EQ(vskel({"remove-vs", "web1", "--yes"}).code, 0);
  EXPECT_EQ(read_file(mount() / "victim/file"), "untouched");
}

TEST_P(RemoveTest, NotWhatSomethingIsMountedOn) {
  create("web1", "192.0.2.1");
  create("web2", "192.0.2.2");
  ASSERT_EQ(::mount("tmpfs", vserver("web1").c_str(), "tmpfs", 0, nullptr), 0);
  for (const Arguments& arguments :
       {Arguments{"remove-vs", "--yes", "web2", "web1"}, Arguments{"remove-vs", "-n", "web1"}}) {
    const ProcessResult refused = vskel(arguments);
    EXPECT_EQ(refused.code, 2) << refused;
    EXPECT_EQ(refused.err,
              "vskel: remove vserver web1: " + vserver("web1").string() + " is a mount point; unmount it first\n");
    EXPECT_TRUE(fs::exists(vserver("web2") / "etc"));
    EXPECT_EQ(names_in(vservers() / ".vskel/journal"), std::set<std::string>{});
  }
  EXPECT_EQ(vskel({"recover"}).code, 0);
  ASSERT_EQ(::umount2(vserver("web1").c_str(), 0), 0);
  EXPECT_EQ(vskel({"remove-vs", "--yes", "web2", "web1"}).code, 0);
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(RemoveTest, RemovesASkelWithoutInstances) {
  create("web1", "192.0.2.1");
  ASSERT_EQ(vskel({"remove-vs", "web1", "--yes"}).code, 0);
  const ProcessResult result = vskel({"remove-skel", "base", "--yes"});
  ASSERT_EQ(result.code, 0) << result;
  EXPECT_FALSE(fs::exists(skel()));
  EXPECT_EQ(inconsistencies(), "");
}

INSTANTIATE_TEST_SUITE_P(On, RemoveTest, kAllFileSystems, kParameterName);

class RemoveRefusedTest : public RemoveTest {};

TEST_P(RemoveRefusedTest, WantsYesWhereThereIsNoTerminal) {
  create("web1", "192.0.2.1");
  const StoreSnapshot before = snapshot_store();
  EXPECT_EQ(vskel({"remove-vs", "web1"}).code, 2);
  EXPECT_EQ(vskel({"remove-skel", "base"}).code, 2);
  EXPECT_EQ(changes_since(before), "");
}

TEST_P(RemoveRefusedTest, AnUnknownNameKeepsAllOthers) {
  create("web1", "192.0.2.1");
  const StoreSnapshot before = snapshot_store();
  const ProcessResult result = vskel({"remove-vs", "web1", "nobody", "--yes"});
  EXPECT_EQ(result.code, 2) << result;
  EXPECT_NE(result.err.find("nobody"), std::string::npos) << result;
  EXPECT_EQ(changes_since(before), "");
}

TEST_P(RemoveRefusedTest, ASkelWithInstancesStays) {
  create("web1", "192.0.2.1");
  const StoreSnapshot before = snapshot_store();
  const ProcessResult result = vskel({"remove-skel", "base", "--yes"});
  EXPECT_TRUE(result.code == 1 || result.code == 2) << result;
  EXPECT_NE(result.err.find("base"), std::string::npos) << result;
  EXPECT_EQ(changes_since(before), "");
}

TEST_P(RemoveRefusedTest, ADryRunChangesNothing) {
  create("web1", "192.0.2.1");
  const StoreSnapshot before = snapshot_store();
  EXPECT_EQ(vskel({"remove-vs", "web1", "--yes", "--dry-run"}).code, 0);
  EXPECT_EQ(changes_since(before), "");
}

INSTANTIATE_TEST_SUITE_P(On, RemoveRefusedTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
