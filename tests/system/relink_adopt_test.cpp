// adopt: a tree that vskel did not make becomes a vserver that follows a skel.
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/support/inode_extras.h"
#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

const Thing kCommon = file("in the skel and in the old vserver"), kChanged = file("changed by its tenant"),
            kNewer = file("newer in the skel");

/// VSERVERS/old: a copy of the skel's source, as cp -a or the script of 2003 leave it, with a tenant's changes.
class RelinkAdoptTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (const char* path : {"usr/share/a", "usr/share/b", "usr/share/gone", "srv/a", "srv/b"})
      put(root() / path, kCommon);
    build();
    ASSERT_EQ(run({"cp", "-a", root().string(), vserver("old").string()}).code, 0);
    put(vserver("old") / "usr/share/b", kChanged);
    put(vserver("old") / "srv/b", kChanged);
    put(vserver("old") / "usr/share/own", kChanged);
    put(vserver("old") / "usr/share/gone", absent());
  }
  [[nodiscard]] std::string is(const Thing& thing, const std::string& path) const {
    return differences_from(thing, vserver("old") / path);
  }
  void adopt() const {
    const ProcessResult result = vskel({"adopt", "base", "old"});
    ASSERT_EQ(result.code, 0) << result;
  }
};

TEST_P(RelinkAdoptTest, LeavesTheTreeAsItIs) {
  const TreeSnapshot before = snapshot_tree(vserver("old"));
  adopt();
  EXPECT_EQ(joined(compare_snapshots(before, snapshot_tree(vserver("old")), {}, Identity::compared)), "");
  EXPECT_EQ(names_in(skel() / "instances"), std::set<std::string>{"old.json"});
  EXPECT_EQ(vskel({"list"}).code, 0);
  EXPECT_EQ(vskel({"show", "old"}).code, 0);
}

TEST_P(RelinkAdoptTest, ShareOnlyFoldsInWhatIsEqual) {
  adopt();
  const Relinked relinked = relink({"--share-only", "old"});
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  EXPECT_EQ(relinked.of("old")["from_generation"], 0);
  EXPECT_EQ(inode_of(vserver("old") / "usr/share/a"), inode_of(skel() / "global/usr/share/a"));
  EXPECT_TRUE(is_immutable(vserver("old") / "usr/share/a"));
  EXPECT_EQ(relinked.of("old")["shared_now"], shared_files("old"));
  for (const char* path : {"usr/share/b", "srv/b", "usr/share/own"}) EXPECT_EQ(is(kChanged, path), "");
  EXPECT_EQ(is(absent(), "usr/share/gone"), "");
  EXPECT_EQ(is(kCommon, "srv/a"), "");
}

TEST_P(RelinkAdoptTest, AnAdoptedCopySharesNoInode) {
  ASSERT_EQ(vskel({"adopt", "base", "old", "--share", "copy"}).code, 0);
  const Relinked relinked = relink({"--share-only"});
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  EXPECT_EQ(relinked.kept("old"), (std::map<std::string, std::string>{}));
  EXPECT_EQ(shared_files("old"), 0U);
  EXPECT_FALSE(is_immutable(vserver("old") / "usr/share/a"));
}

TEST_P(RelinkAdoptTest, WithoutABaseNothingIsReplacedAndAllThatDiffersIsNamed) {
  adopt();
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  const auto kept = relinked.kept("old");
  for (const char* path : {"usr/share/b", "srv/b"}) {
    EXPECT_EQ(is(kChanged, path), "") << path;
    EXPECT_TRUE(kept.contains("/" + std::string(path)) && kept.at("/" + std::string(path)) == "added on both sides")
        << relinked.process.out;
  }
  EXPECT_FALSE(kept.contains("/usr/share/a"));
  EXPECT_FALSE(kept.contains("/usr/share/own"));
}

TEST_P(RelinkAdoptTest, FollowsTheSkelFromThenOn) {
  adopt();
  ASSERT_EQ(relink({"--share-only"}).process.code, 0);
  ASSERT_EQ(relink().process.code, 0);
  update_skel({{"usr/share/a", kNewer}, {"usr/share/b", kNewer}, {"srv/a", kNewer}, {"usr/share/new", kNewer}});
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  for (const char* path : {"usr/share/a", "srv/a", "usr/share/new"}) EXPECT_EQ(is(kNewer, path), "") << path;
  EXPECT_EQ(is(kChanged, "usr/share/b"), "");
}

TEST_P(RelinkAdoptTest, CanBeRemovedAsOthers) {
  adopt();
  ASSERT_EQ(relink({"--share-only"}).process.code, 0);
  const ProcessResult result = vskel({"remove-vs", "old", "--yes"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_FALSE(fs::exists(vserver("old")));
  EXPECT_TRUE(is_immutable(skel() / "global/usr/share/a"));
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(RelinkAdoptTest, RefusesAMountPoint) {
  ASSERT_EQ(::mount(vserver("old").c_str(), vserver("old").c_str(), nullptr, MS_BIND, nullptr), 0);
  const ProcessResult refused = vskel({"adopt", "base", "old"});
  EXPECT_EQ(refused.code, 2) << refused;
  EXPECT_EQ(refused.err, "vskel: adopt vserver old: " + vserver("old").string() +
                             " is a mount point, and files are shared within one mount only; move them into a "
                             "directory\n");
  EXPECT_EQ(names_in(skel() / "instances"), std::set<std::string>{});
  ASSERT_EQ(::umount2(vserver("old").c_str(), 0), 0);
  adopt();
}

TEST_P(RelinkAdoptTest, RefusesWhatIsNoTreeOrHasARecord) {
  create_vserver("web1");
  write_file(vservers() / "plain-file", "");
  fs::create_directory_symlink(vserver("web1"), vserver("link"));
  const StoreSnapshot before = snapshot_store();
  for (const char* name : {"nosuch", "web1", "plain-file", "link", ".skel", "../vservers"}) {
    const ProcessResult result = vskel({"adopt", "base", name});
    EXPECT_EQ(result.code, 2) << name << result;
    EXPECT_NE(result.err.find(name), std::string::npos) << result;
  }
  EXPECT_EQ(vskel({"adopt", "nosuch", "old"}).code, 2);
  EXPECT_EQ(changes_since(before), "");
}

INSTANTIATE_TEST_SUITE_P(On, RelinkAdoptTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
