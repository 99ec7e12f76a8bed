// A skel becomes one tree and parts again; what was not changed stays what it was, inode by inode.
#include <algorithm>
#include <fstream>

#include "tests/support/inode_extras.h"
#include "tests/support/odd_root.h"
#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

class MergeSplitTest : public VskelTest {
 protected:
  [[nodiscard]] fs::path merged() const { return vservers() / "tmp_skel_base"; }
  void merge(const Arguments& options = {}) const {
    Arguments arguments = {"merge-skel", "base"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const ProcessResult result = vskel(arguments);
    ASSERT_EQ(result.code, 0) << result;
  }
  /// A command's report, after a dry run that said the same and changed nothing.
  [[nodiscard]] Json as_foretold(const Arguments& arguments) const {
    const StoreSnapshot before = snapshot_store();
    Arguments dry_run = arguments;
    dry_run.emplace_back("--dry-run");
    Json foretold = vskel_json(dry_run);
    EXPECT_EQ(changes_since(before), "") << "by a dry run";
    Json done = vskel_json(arguments);
    foretold["elapsed_s"] = done.at("elapsed_s");
    EXPECT_EQ(foretold, done);
    return done;
  }
  void expect_verified() const {
    const ProcessResult verified = vskel({"verify"});
    EXPECT_EQ(verified.code, 0) << verified;
  }
  /// The inodes of the regular files of a tree.
  [[nodiscard]] static std::map<std::string, std::uint64_t> file_inodes(const fs::path& root) {
    std::map<std::string, std::uint64_t> inodes;
    for (const auto& [path, node] : snapshot_tree(root))
      if (S_ISREG(node.mode)) inodes.emplace(path, node.inode);
    return inodes;
  }
  /// Trees, manifests and records of the skel, with inodes.
  [[nodiscard]] TreeSnapshot skel_snapshot() const { return snapshot_tree(skel()); }
  [[nodiscard]] static std::string differences(const TreeSnapshot& before, const TreeSnapshot& after,
                                               const std::vector<Exception>& exceptions = {}) {
    return joined(compare_snapshots(before, after, exceptions, Identity::compared));
  }
  // Renames of its trees move the times of the skel's directory.
  const std::vector<Exception> own_directory = {{"", Aspect::mtime}, {"generations", Aspect::mtime | Aspect::size}};
};

TEST_P(MergeSplitTest, TheMergedTreeIsTheSourceWithInodesOfItsOwn) {
  build_base();
  merge();
  EXPECT_TRUE(fs::is_directory(skel() / "global.bak"));
  EXPECT_TRUE(fs::is_directory(skel() / "local.bak"));
  EXPECT_FALSE(fs::exists(skel() / "global"));
  EXPECT_FALSE(fs::exists(merged() / "etc/hosts")) << "static is not merged, but for users and groups";
  const TreeSnapshot global = snapshot_tree(skel() / "global.bak"), tree = snapshot_tree(merged());
  for (const auto& [path, node] : global) {
    if (S_ISDIR(node.mode)) continue;
    ASSERT_TRUE(tree.contains(path)) << path;
    EXPECT_NE(tree.at(path).inode, node.inode) << path;
    EXPECT_EQ(tree.at(path).content_digest, node.content_digest) << path;
    EXPECT_EQ(tree.at(path).mode, node.mode) << path;
    EXPECT_FALSE(S_ISREG(node.mode) && is_immutable(merged() / path)) << path;
  }
}

TEST_P(MergeSplitTest, NothingDoneInTheMergedTreeReachesAVserver) {
  build_base();
  create("web1", "192.0.2.1");
  create("web2", "192.0.2.2");
  merge();
  const TreeSnapshot before = snapshot_tree(vserver("web1"));
  for (const auto& entry : fs::recursive_directory_iterator(merged())) {
    if (!entry.is_regular_file() || entry.is_symlink()) continue;
    fs::permissions(entry.path(), fs::perms::all);
    write_file(entry.path(), "written in place");
  }
  EXPECT_EQ(differences(before, snapshot_tree(vserver("web1"))), "");
  fs::remove_all(merged() / "usr");
  EXPECT_EQ(differences(before, snapshot_tree(vserver("web1"))), "");
}

TEST_P(MergeSplitTest, SplittingAnUntouchedMergeChangesNothing) {
  build_base();
  create("web1", "192.0.2.1");
  const TreeSnapshot before = skel_snapshot();
  merge();
  const Json document = as_foretold({"split-skel", "base"});
  EXPECT_EQ(document.at("generation"), 1);
  EXPECT_EQ(document.at("changed"), 0) << document;
  EXPECT_EQ(document.at("added"), 0) << document;
  EXPECT_EQ(document.at("removed"), 0) << document;
  EXPECT_GT(document.at("unchanged"), 10);
  EXPECT_EQ(differences(before, skel_snapshot(), own_directory), "");
  EXPECT_FALSE(fs::exists(merged()));
  EXPECT_EQ(inconsistencies(), "");
  expect_verified();
}

TEST_P(MergeSplitTest, AbortGivesTheSkelAsItWas) {
  build_base();
  create("web1", "192.0.2.1");
  const TreeSnapshot before = skel_snapshot();
  merge();
  write_file(merged() / "usr/new", "new");
  const ProcessResult aborted = vskel({"merge-skel", "base", "--abort"});
  EXPECT_EQ(aborted.code, 0) << aborted;
  EXPECT_EQ(differences(before, skel_snapshot(), own_directory), "");
  EXPECT_FALSE(fs::exists(merged()));
  EXPECT_EQ(inconsistencies(), "");
  expect_verified();
}

TEST_P(MergeSplitTest, ChangesGoToTheirPartsAndOldInodesAreKept) {
  build_base();
  create("web1", "192.0.2.1");
  merge();
  const std::string kept = "usr/bin/kept-one", rewritten = "usr/bin/rewritten-one";
  write_file(merged() / kept, "one of two");
  write_file(merged() / rewritten, "two of two");
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
  const std::uint64_t kept_inode = inode_of(skel() / "global" / kept);
  const auto kept_time = fs::last_write_time(skel() / "global" / kept);
  const std::uint64_t old_inode = inode_of(skel() / "global" / rewritten);
  EXPECT_TRUE(is_immutable(skel() / "global" / kept));
  merge();
  fs::remove(merged() / kept);
  write_file(merged() / kept, "one of two");  // anew, but the same, as a package manager does
  fs::last_write_time(merged() / kept, kept_time);
  write_file(merged() / rewritten, "two");  // as a package manager that writes in place does
  write_file(merged() / "etc/new.conf", "local");
  fs::create_directories(merged() / "usr/local/bin");
  write_file(merged() / "usr/local/bin/mine", "local too");
  write_file(merged() / "etc/new.conf.dpkg-dist", "the package's");
  write_file(merged() / "root/.bash_history", "rm -rf /\n");
  fs::create_directories(merged() / "var/log");
  write_file(merged() / "var/log/dpkg.log", "log\n");
  const Json document = as_foretold({"split-skel", "base"});
  const std::set<std::string> contract = {"command", "skel",    "generation", "changed",
                                          "added",   "removed", "unchanged",  "elapsed_s"};
  for (const std::string& key : contract) EXPECT_TRUE(document.contains(key)) << key;
  EXPECT_EQ(document.at("generation"), 3);
  EXPECT_EQ(document.at("parts").at("global").at("changed"), 1) << document;
  EXPECT_EQ(document.at("parts").at("local").at("added"), 3) << document;
  const auto paths_of = [&](const char* list) {
    std::set<std::string> paths;
    for (const std::string text : document.at(list)) paths.insert(text.substr(0, text.find(':')));
    return paths;
  };
  EXPECT_EQ(paths_of("look_at"), (std::set<std::string>{"/etc/new.conf.dpkg-dist"}));
  EXPECT_EQ(paths_of("set_aside"), (std::set<std::string>{"/root/.bash_history"}));
  EXPECT_EQ(document.at("left_out"), Json::parse(R"([{"path": "/var/log", "files": 1, "bytes": 4}])"));
  EXPECT_EQ(inode_of(skel() / "global" / kept), kept_inode);
  EXPECT_NE(inode_of(skel() / "global" / rewritten), old_inode);
  EXPECT_EQ(inode_of(skel() / "generations/0002.files/global" / rewritten), old_inode);
  EXPECT_TRUE(is_immutable(skel() / "generations/0002.files/global" / rewritten));
  EXPECT_TRUE(is_immutable(skel() / "global" / rewritten));
  EXPECT_EQ(read_file(skel() / "local/etc/new.conf"), "local");
  EXPECT_EQ(read_file(skel() / "local/usr/local/bin/mine"), "local too");
  expect_verified();
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(MergeSplitTest, ANewModeAloneIsANewGenerationAndTheSharedInodeStaysAsItWas) {
  build_base();
  merge();
  write_file(merged() / "usr/bin/new-tool", "one");
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
  create("web1", "192.0.2.1");
  merge();
  fs::permissions(merged() / "usr/bin/new-tool", fs::perms::owner_all);
  EXPECT_EQ(as_foretold({"split-skel", "base"}).at("changed"), 1);
  EXPECT_EQ(fs::status(skel() / "global/usr/bin/new-tool").permissions(), fs::perms::owner_all);
  EXPECT_NE(fs::status(vserver("web1") / "usr/bin/new-tool").permissions(), fs::perms::owner_all);
  EXPECT_EQ(vskel_json({"diff", "base"}).at("metadata"), Json::array({"global/usr/bin/new-tool"}));
}

TEST_P(MergeSplitTest, AMovedFileKeepsItsInodeAndEqualFilesStayApart) {
  build_base();
  merge();
  for (const char* name : {"stays", "moves", "was-a-pair"})
    write_file(merged() / "usr/bin" / name, std::string("is ") + name);
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
  const fs::path bin = skel() / "global/usr/bin";
  const std::uint64_t stays = inode_of(bin / "stays"), moves = inode_of(bin / "moves"),
                      pair = inode_of(bin / "was-a-pair");
  merge();
  write_file(merged() / "usr/bin/as-stays", "is stays");
  fs::rename(merged() / "usr/bin/moves", merged() / "usr/bin/moved");
  fs::rename(merged() / "usr/bin/was-a-pair", merged() / "usr/bin/one");
  write_file(merged() / "usr/bin/two", "is was-a-pair");
  fs::create_hard_link(merged() / "usr/bin/moved", merged() / "usr/bin/moved-too");
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
  EXPECT_EQ(inode_of(bin / "stays"), stays);
  EXPECT_NE(inode_of(bin / "as-stays"), stays) << "a copy of a file is no other name of it";
  EXPECT_EQ(inode_of(bin / "moved"), moves);
  EXPECT_EQ(inode_of(bin / "moved-too"), moves) << "two names of one inode have the old inode together";
  EXPECT_NE(inode_of(bin / "one"), inode_of(bin / "two"));
  EXPECT_TRUE(inode_of(bin / "one") == pair || inode_of(bin / "two") == pair);
  expect_verified();
}

TEST_P(MergeSplitTest, StaticFilesAreNeverTouchedAndTheTreesAreSetAside) {
  build_base();
  const std::string hosts = read_file(skel() / "static/etc/hosts");
  merge({"--with-static"});
  EXPECT_EQ(read_file(merged() / "etc/hosts"), hosts) << "tokens stay as they are";
  EXPECT_EQ(as_foretold({"split-skel", "base"}).at("generation"), 1) << "taken back out as it was laid in";
  merge({"--with-static"});
  write_file(merged() / "etc/hosts", hosts + "192.0.2.7 other\n");
  write_file(merged() / "etc/new", "new");
  const Json document = as_foretold({"split-skel", "base"});
  EXPECT_EQ(document.at("set_aside").size(), 1U) << document;
  EXPECT_EQ(read_file(skel() / "generations/0002.set-aside/etc/hosts"), hosts + "192.0.2.7 other\n");
  EXPECT_EQ(read_file(skel() / "static/etc/hosts"), hosts);
  expect_verified();
}

TEST_P(MergeSplitTest, WhatIsSetAsideIsKeptWholeWhateverElseChanged) {
  build_base();
  merge();
  fs::create_directories(merged() / "etc/hosts/inner");
  write_file(merged() / "etc/hosts/inner/file", "below a directory in a static file's place");
  const Json unchanged = as_foretold({"split-skel", "base"});
  EXPECT_EQ(unchanged.at("generation"), 1) << "nothing but static's was changed";
  EXPECT_EQ(unchanged.at("set_aside").size(), 1U) << unchanged;
  const fs::path first = skel() / "generations/0002.set-aside", second = skel() / "generations/0002.set-aside.2";
  EXPECT_EQ(read_file(first / "etc/hosts/inner/file"), "below a directory in a static file's place");
  merge();
  write_file(merged() / "etc/hosts", "another try");
  EXPECT_EQ(as_foretold({"split-skel", "base"}).at("set_aside").size(), 1U);
  EXPECT_EQ(read_file(first / "etc/hosts/inner/file"), "below a directory in a static file's place");
  EXPECT_EQ(read_file(second / "etc/hosts"), "another try");
  expect_verified();
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(MergeSplitTest, APathThatANewRuleMovesIsReported) {
  build_base();
  merge();
  fs::create_directories(merged() / "opt/x");
  write_file(merged() / "opt/x/file", "x");
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
  EXPECT_TRUE(fs::exists(skel() / "local/opt/x/file"));
  merge();
  write_file(skel() / "layout", "global /opt\n" + read_file(skel() / "layout"));
  const Json document = as_foretold({"split-skel", "base"});
  const Json& moved = document.at("moved");
  EXPECT_NE(std::ranges::find(moved, "/opt/x/file: from local to global"), moved.end()) << moved;
  EXPECT_TRUE(fs::exists(skel() / "global/opt/x/file"));
  EXPECT_FALSE(fs::exists(skel() / "local/opt/x/file"));
  expect_verified();
}

TEST_P(MergeSplitTest, RollbackGivesTheOldInodesBackAndPruneForgets) {
  build_base();
  merge();
  write_file(merged() / "usr/bin/new-tool", "one");
  write_file(merged() / "etc/conf", "one");
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);  // generation 2
  create("web1", "192.0.2.1");
  const TreeSnapshot global = snapshot_tree(skel() / "global"), local = snapshot_tree(skel() / "local");
  const std::map<std::string, std::uint64_t> inodes = file_inodes(skel() / "global");
  merge();
  write_file(merged() / "usr/bin/new-tool", "two");
  write_file(merged() / "usr/bin/more", "two");
  write_file(merged() / "etc/conf", "two");
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);  // generation 3
  ASSERT_EQ(vskel({"relink", "base"}).code, 0);
  EXPECT_EQ(read_file(vserver("web1") / "usr/bin/new-tool"), "two");
  const Json back = as_foretold({"rollback", "base", "2"});
  EXPECT_EQ(back.at("generation"), 4);
  EXPECT_EQ(file_inodes(skel() / "global"), inodes);
  EXPECT_EQ(joined(compare_snapshots(global, snapshot_tree(skel() / "global"))), "");
  EXPECT_EQ(joined(compare_snapshots(local, snapshot_tree(skel() / "local"))), "");
  expect_verified();
  const Json relinked = vskel_json({"relink", "base"}).at("vservers").at(0);
  EXPECT_EQ(relinked.at("removed"), 1) << relinked;
  EXPECT_EQ(read_file(vserver("web1") / "usr/bin/new-tool"), "one");
  EXPECT_EQ(read_file(vserver("web1") / "etc/conf"), "one");
  EXPECT_EQ(inode_of(vserver("web1") / "usr/bin/new-tool"), inode_of(skel() / "global/usr/bin/new-tool"));
  const Json pruned = vskel_json({"prune", "base"});
  EXPECT_EQ(pruned.at("forgotten"), Json::array({1, 2, 3}));
  EXPECT_EQ(names_in(skel() / "generations"), (std::set<std::string>{"0004.accounts", "0004.mtree"}));
  expect_verified();
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(MergeSplitTest, WhileAProcessRunsInTheMergedTreeItIsNotSplit) {
  build_base();
  merge();
  fs::create_directories(merged() / "bin");
  const Process inside({"perl", "-e", "chroot $ARGV[0] or die; $| = 1; print 1; sleep 60", merged().string()});
  ProcessResult split;
  for (int attempt = 0; attempt < 50; ++attempt) {  // until perl is inside
    split = vskel({"split-skel", "base", "--dry-run"});
    if (split.code != 0) break;
  }
  EXPECT_EQ(split.code, 1) << split;
  EXPECT_NE(split.err.find("perl"), std::string::npos) << split.err;
  EXPECT_EQ(vskel({"merge-skel", "base", "--abort"}).code, 1);
  EXPECT_TRUE(fs::exists(merged()));
}

TEST_P(MergeSplitTest, WhoStillWritesToAFileOfTheMergedTreeWouldWriteToEveryVservers) {
  build_base();
  merge();
  for (const char* path : {"usr/bin/half-written", "etc/half-written"}) {
    std::ofstream writer(merged() / path);
    writer << "one" << std::flush;
    const ProcessResult split = vskel({"split-skel", "base"});
    EXPECT_EQ(split.code, 1) << split;
    EXPECT_NE(split.err.find((merged() / path).string()), std::string::npos) << split.err;
    writer << " and two" << std::flush;
    EXPECT_TRUE(writer.good()) << "nothing of the merged tree is sealed after a failed split";
  }
  EXPECT_EQ(vskel_json({"split-skel", "base"}).at("added"), 2);
  EXPECT_EQ(read_file(skel() / "global/usr/bin/half-written"), "one and two");
  expect_verified();
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(MergeSplitTest, WrongRequestsTouchNothing) {
  build_base();
  const StoreSnapshot before = snapshot_store();
  for (const Arguments& arguments : std::vector<Arguments>{{"split-skel", "base"},
                                                           {"merge-skel", "base", "--abort"},
                                                           {"merge-skel", "none"},
                                                           {"merge-skel"},
                                                           {"relink", "none"},
                                                           {"relink", "base", "web9"},
                                                           {"relink", "base", "--to", "symlink"},
                                                           {"rollback", "base", "1"},
                                                           {"rollback", "base", "7"},
                                                           {"rollback", "base", "x"},
                                                           {"diff", "base", "3"},
                                                           {"adopt", "base", "none"},
                                                           {"prune", "none"}}) {
    const ProcessResult result = vskel(arguments);
    EXPECT_EQ(result.code, 2) << result;
  }
  EXPECT_EQ(changes_since(before), "");
  merge();
  const StoreSnapshot merged_before = snapshot_store();
  for (const Arguments& arguments : std::vector<Arguments>{{"merge-skel", "base"},
                                                           {"create-vs", "base", "w", "w.example.com", "192.0.2.9"},
                                                           {"relink", "base"},
                                                           {"rollback", "base", "1"},
                                                           {"prune", "base"},
                                                           {"remove-skel", "base", "--yes"}}) {
    const ProcessResult result = vskel(arguments);
    EXPECT_EQ(result.code, 2) << result;
  }
  EXPECT_EQ(changes_since(merged_before), "");
}

INSTANTIATE_TEST_SUITE_P(On, MergeSplitTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
