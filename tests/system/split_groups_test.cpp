// Which names are one inode belongs to what files are: through build, create, merge and split, and back. And what else
// an inode may be in the merged tree that the skel's must not be: immutable, append-only.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <map>
#include <sstream>
#include <system_error>

#include "tests/support/inode_extras.h"
#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

struct stat status_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

/// Of a symlink itself, too.
void hard_link(const fs::path& first, const fs::path& second) {
  if (::linkat(AT_FDCWD, first.c_str(), AT_FDCWD, second.c_str(), 0) != 0)
    throw std::system_error(errno, std::generic_category(), "link " + second.string());
}

bool are_one(const fs::path& a, const fs::path& b) { return status_of(a).st_ino == status_of(b).st_ino; }

void set_append_only(const fs::path& path) { (void)run_or_throw({"chattr", "+a", path.string()}); }

class SplitGroupsTest : public RelinkTest {
 protected:
  /// Pairs of names, global, local and of every kind.
  void make_pairs() const {
    for (const std::string directory : {"usr/share/", "etc/"}) {
      put(root() / (directory + "a"), file("the same"));
      put(root() / (directory + "link-a"), symlink_to("target"));
      put(root() / (directory + "fifo-a"), fifo());
      put(root() / (directory + "empty-a"), file(""));
      put(root() / (directory + "set-id-a"), file("set-id", 04755));
      for (const char* name : {"", "link-", "fifo-", "empty-", "set-id-"})
        hard_link(root() / (directory + name + "a"), root() / (directory + name + "b"));
    }
  }
  /// "" if both names of each pair below `tree` are one inode.
  [[nodiscard]] static std::string torn_pairs(const fs::path& tree) {
    std::string torn;
    for (const std::string directory : {"usr/share/", "etc/"})
      for (const char* name : {"", "link-", "fifo-", "empty-", "set-id-"})
        if (!are_one(tree / (directory + name + "a"), tree / (directory + name + "b"))) torn += directory + name + " ";
    return torn;
  }
  [[nodiscard]] std::string torn_in_skel() const {
    std::string torn;
    for (const char* name : {"", "link-", "fifo-", "empty-", "set-id-"})
      for (const fs::path& directory : {skel() / "global/usr/share", skel() / "local/etc"}) {
        const std::string a = std::string(name) + "a", b = std::string(name) + "b";
        if (!are_one(directory / a, directory / b)) torn += (directory / a).string() + " ";
      }
    return torn;
  }
  /// split-skel, after a dry run that said the same.
  [[nodiscard]] Json split_as_foretold() const {
    Json foretold = vskel_json({"split-skel", "base", "--dry-run"}), done = vskel_json({"split-skel", "base"});
    foretold["elapsed_s"] = done["elapsed_s"];
    EXPECT_EQ(foretold, done);
    return done;
  }
  void expect_verified() const {
    const ProcessResult verified = vskel({"verify"});
    EXPECT_EQ(verified.code, 0) << verified;
    EXPECT_EQ(inconsistencies(), "");
  }
  /// In the merged tree: a file of the same bytes, mode, owner and time, of its own.
  void take_apart(const std::string& path) const {
    const struct stat before = status_of(merged() / path);
    const std::string content = read_file(merged() / path);
    fs::remove(merged() / path);
    write_file(merged() / path, content);
    const std::array<timespec, 2> times{before.st_atim, before.st_mtim};
    ASSERT_EQ(::chmod((merged() / path).c_str(), before.st_mode & 07777), 0);
    ASSERT_EQ(::utimensat(AT_FDCWD, (merged() / path).c_str(), times.data(), 0), 0);
  }
  void join(const std::string& first, const std::string& second) const {
    fs::remove(merged() / second);
    hard_link(merged() / first, merged() / second);
  }
};

TEST_P(SplitGroupsTest, NamesOfOneInodeStayOneThroughBuildCreateMergeAndSplit) {
  make_pairs();
  build();
  EXPECT_EQ(torn_in_skel(), "");
  expect_verified();
  create_vserver("web1");
  create_vserver("web2", {"--share", "copy"});
  EXPECT_EQ(torn_pairs(vserver("web1")), "");
  EXPECT_EQ(torn_pairs(vserver("web2")), "");
  const std::uint64_t global = inode_of(skel() / "global/usr/share/a"), local = inode_of(skel() / "local/etc/a");
  merge();
  EXPECT_EQ(torn_pairs(merged()), "");
  const Json nothing = split_as_foretold();
  EXPECT_EQ(nothing.at("generation"), 1) << nothing;
  merge();
  put(merged() / "usr/share/other", file("other"));
  const Json other = split_as_foretold();
  EXPECT_EQ(other.at("changed"), 0) << other;
  EXPECT_EQ(other.at("added"), 1) << other;
  EXPECT_EQ(torn_in_skel(), "");
  EXPECT_EQ(inode_of(skel() / "global/usr/share/a"), global);
  EXPECT_EQ(inode_of(skel() / "local/etc/a"), local);
  expect_verified();
}

TEST_P(SplitGroupsTest, AnArchiveGivesThemToo) {
  make_pairs();
  const fs::path archive = mount() / "root.tar";
  (void)run_or_throw({"tar", "-cf", archive.string(), "-C", root().string(), "."});
  const ProcessResult built = vskel({"build-skel", "base", "--from", archive.string()});
  ASSERT_EQ(built.code, 0) << built;
  for (const char* name : {"", "link-", "empty-", "set-id-"})  // tar itself takes FIFOs apart
    for (const fs::path& directory : {skel() / "global/usr/share", skel() / "local/etc"})
      EXPECT_TRUE(are_one(directory / (std::string(name) + "a"), directory / (std::string(name) + "b"))) << name;
  expect_verified();
}

TEST_P(SplitGroupsTest, WhatAPackageTookApartIsTwoFilesOfOneContent) {
  make_pairs();
  build();
  create_vserver("old");
  merge();
  for (const char* path : {"usr/share/b", "etc/b", "usr/share/empty-b", "etc/set-id-b"}) take_apart(path);
  for (const char* path : {"usr/share/link-b", "etc/link-b"}) put(merged() / path, symlink_to("target"));
  const Json split = split_as_foretold();
  EXPECT_EQ(split.at("generation"), 2);
  EXPECT_EQ(split.at("changed"), 12) << "both names of each\n" << split;
  EXPECT_EQ(split.at("added"), 0) << split;
  expect_verified();
  create_vserver("new");
  create_vserver("copy", {"--share", "copy"});
  for (const std::string name : {"new", "copy"})
    for (const std::string path :
         {"usr/share/", "etc/", "usr/share/empty-", "etc/set-id-", "usr/share/link-", "etc/link-"})
      EXPECT_FALSE(are_one(vserver(name) / (path + "a"), vserver(name) / (path + "b"))) << name << " " << path;
  for (const std::string path : {"usr/share/set-id-", "etc/empty-", "etc/fifo-"})
    EXPECT_TRUE(are_one(vserver("new") / (path + "a"), vserver("new") / (path + "b"))) << path;
  // In a new vserver, what is written to one is not read from the other.
  write_file(vserver("new") / "etc/a", "written");
  EXPECT_EQ(read_file(vserver("new") / "etc/b"), "the same");
  EXPECT_EQ(torn_pairs(vserver("old")), "");
  merge();
  EXPECT_EQ(split_as_foretold().at("generation"), 2) << "and nothing more to do";
}

TEST_P(SplitGroupsTest, WhatAPackageJoinedIsOneFile) {
  for (const std::string directory : {"usr/share/", "etc/"})
    for (const char* name : {"a", "b", "c", "other"}) put(root() / (directory + name), file("the same"));
  build();
  const std::uint64_t other = inode_of(skel() / "global/usr/share/other");
  merge();
  for (const std::string directory : {"usr/share/", "etc/"}) {
    join(directory + "a", directory + "b");
    join(directory + "a", directory + "c");
  }
  const Json split = split_as_foretold();
  EXPECT_EQ(split.at("changed"), 6) << split;
  expect_verified();
  create_vserver("new");
  for (const std::string directory : {"usr/share/", "etc/"}) {
    EXPECT_TRUE(are_one(vserver("new") / (directory + "a"), vserver("new") / (directory + "b")));
    EXPECT_TRUE(are_one(vserver("new") / (directory + "a"), vserver("new") / (directory + "c")));
    EXPECT_FALSE(are_one(vserver("new") / (directory + "a"), vserver("new") / (directory + "other")));
  }
  EXPECT_EQ(inode_of(skel() / "global/usr/share/other"), other) << "an equal file beside them stays what it was";
}

TEST_P(SplitGroupsTest, ANameMoreOrFewerIsAnotherFile) {
  make_pairs();
  build();
  merge();
  hard_link(merged() / "usr/share/a", merged() / "usr/share/c");
  fs::remove(merged() / "etc/b");
  const Json split = split_as_foretold();
  EXPECT_EQ(split.at("changed"), 3) << split;
  EXPECT_EQ(split.at("added"), 1) << split;
  EXPECT_EQ(split.at("removed"), 1) << split;
  EXPECT_EQ(status_of(skel() / "local/etc/a").st_nlink, 1U);
  EXPECT_TRUE(are_one(skel() / "global/usr/share/a", skel() / "global/usr/share/c"));
  expect_verified();
}

TEST_P(SplitGroupsTest, OtherPairsOfEqualFilesAreOtherFiles) {
  for (const std::string directory : {"usr/share/", "etc/"}) {
    put(root() / (directory + "a"), file("the same"));
    put(root() / (directory + "c"), file("the same"));
    hard_link(root() / (directory + "a"), root() / (directory + "b"));
    hard_link(root() / (directory + "c"), root() / (directory + "d"));
  }
  build();
  merge();
  for (const std::string directory : {"usr/share/", "etc/"}) {
    join(directory + "a", directory + "c");
    fs::remove(merged() / (directory + "d"));
    hard_link(merged() / (directory + "b"), merged() / (directory + "d"));
    take_apart(directory + "b");
    fs::remove(merged() / (directory + "d"));
    hard_link(merged() / (directory + "b"), merged() / (directory + "d"));
  }
  EXPECT_EQ(split_as_foretold().at("changed"), 8);
  for (const fs::path& directory : {skel() / "global/usr/share", skel() / "local/etc"}) {
    EXPECT_TRUE(are_one(directory / "a", directory / "c"));
    EXPECT_TRUE(are_one(directory / "b", directory / "d"));
    EXPECT_FALSE(are_one(directory / "a", directory / "b"));
  }
  expect_verified();
}

TEST_P(SplitGroupsTest, NamesInTwoPartsAreOneInodeInEach) {
  put(root() / "usr/share/a", file("the same"));
  for (const char* path : {"usr/share/b", "etc/a", "etc/b"}) hard_link(root() / "usr/share/a", root() / path);
  build();
  const auto expect_two = [&] {
    EXPECT_TRUE(are_one(skel() / "global/usr/share/a", skel() / "global/usr/share/b"));
    EXPECT_TRUE(are_one(skel() / "local/etc/a", skel() / "local/etc/b"));
    EXPECT_FALSE(are_one(skel() / "global/usr/share/a", skel() / "local/etc/a"));
    expect_verified();
  };
  expect_two();
  merge();
  EXPECT_EQ(split_as_foretold().at("generation"), 1);
  merge();
  for (const char* path : {"usr/share/b", "etc/a", "etc/b"}) join("usr/share/a", path);  // one inode for both parts
  EXPECT_EQ(split_as_foretold().at("generation"), 1) << "each part has what it had";
  expect_two();
  // Static has one of the names: the tree's is set aside, and is none of the skel's.
  merge();
  hard_link(merged() / "etc/a", merged() / "etc/hosts");
  const Json aside = split_as_foretold();
  EXPECT_EQ(aside.at("set_aside").size(), 1U) << aside;
  EXPECT_EQ(aside.at("changed"), 0) << aside;
  EXPECT_FALSE(are_one(skel() / "local/etc/a", skel() / "generations/0002.set-aside/etc/hosts"));
  expect_two();
}

TEST_P(SplitGroupsTest, RollbackGivesThemBack) {
  make_pairs();
  build();
  merge();
  for (const char* path : {"usr/share/b", "etc/b"}) take_apart(path);
  put(merged() / "etc/set-id-a", file("of another content"));
  put(merged() / "etc/link-a", symlink_to("elsewhere"));
  split();
  EXPECT_NE(torn_in_skel(), "");
  const ProcessResult back = vskel({"rollback", "base", "1"});
  ASSERT_EQ(back.code, 0) << back;
  EXPECT_EQ(torn_in_skel(), "");
  EXPECT_EQ(read_file(skel() / "local/etc/set-id-b"), "set-id");
  expect_verified();
  create_vserver("new");
  EXPECT_EQ(torn_pairs(vserver("new")), "");
}

TEST_P(SplitGroupsTest, AnInodeWithAllTheNamesThatItCanHaveGoesWithNoneOfThem) {
  if (GetParam() != FileSystem::ext4) GTEST_SKIP() << "only ext4 has so few";
  make_pairs();
  build();
  const fs::path links = mount() / "links";
  use_up_links(skel() / "global/usr/share/a", links);
  const bool sealed = is_immutable(skel() / "global/usr/share/a");
  if (sealed) clear_immutable(skel() / "global/usr/share/a");
  fs::remove(links / *names_in(links).begin());  // room for one name of two
  if (sealed) set_immutable(skel() / "global/usr/share/a");
  const std::uint64_t full = inode_of(skel() / "global/usr/share/a");
  merge();
  const ProcessResult result = vskel({"split-skel", "base"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_NE(inode_of(skel() / "global/usr/share/a"), full);
  EXPECT_EQ(torn_in_skel(), "");
  EXPECT_EQ(vskel({"verify"}).code, 0);
}

class SplitFlagsTest : public SplitGroupsTest {
 protected:
  /// Files and directories of every part, some of them with flags in the merged tree.
  void merge_with_flags() const {
    for (const char* path : {"usr/share/new", "usr/share/old", "etc/resolv.conf", "etc/old", "etc/crontab"})
      put(root() / path, file("as it was"));
    put(root() / "etc/fixed", directory({{"inner", file("inner")}}));
    build();
    merge();
    for (const char* path : {"usr/share/new", "etc/resolv.conf", "etc/crontab"}) put(merged() / path, file("another"));
    hard_link(merged() / "usr/share/new", merged() / "usr/share/new-too");
    put(merged() / "etc/hosts", directory({{"inner", file("beside a static file")}}));
    for (const char* path : {"usr/share/new", "usr/share/old", "etc/resolv.conf", "etc/old", "etc/fixed/inner",
                             "etc/fixed", "etc/hosts/inner"})
      set_immutable(merged() / path);
    for (const char* path : {"etc/crontab", "etc/hosts"}) set_append_only(merged() / path);
  }
  [[nodiscard]] bool has_flags() const {
    const fs::path path = mount() / "flags";
    write_file(path, "");
    try {
      set_append_only(path);
      (void)run_or_throw({"chattr", "-a", path.string()});
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }
  [[nodiscard]] static std::size_t flags_below(const fs::path& tree) {
    const ProcessResult listed = run({"lsattr", "-R", tree.string()});
    std::size_t count = 0;
    std::istringstream lines(listed.out);
    for (std::string line; std::getline(lines, line);) {
      const std::string flags = line.substr(0, line.find(' '));
      if (!flags.starts_with("/") && (flags.contains('i') || flags.contains('a'))) ++count;
    }
    return count;
  }
};

TEST_P(SplitFlagsTest, FlagsOfTheMergedTreeAreNamedAndNotKept) {
  if (!has_flags()) GTEST_SKIP() << "no flags here";
  merge_with_flags();
  EXPECT_EQ(vskel({"split-skel", "base", "--dry-run"}).code, 0);
  const ProcessResult split = vskel({"split-skel", "base"});
  ASSERT_EQ(split.code, 0) << split;
  for (const char* line :
       {"/usr/share/new: immutable (chattr +i) in the merged tree; its flag is not kept", "/usr/share/old: immutable",
        "/etc/resolv.conf: immutable", "/etc/old: immutable", "/etc/fixed: immutable", "/etc/fixed/inner: immutable",
        "/etc/crontab: append-only (chattr +a) in the merged tree; its flag is not kept"})
    EXPECT_NE(split.err.find(line), std::string::npos) << line << "\n" << split.err;
  EXPECT_EQ(read_file(skel() / "global/usr/share/new"), "another");
  EXPECT_EQ(read_file(skel() / "local/etc/crontab"), "another");
  EXPECT_EQ(read_file(skel() / "generations/0002.set-aside/etc/hosts/inner"), "beside a static file");
  EXPECT_EQ(flags_below(skel() / "local"), 0U);
  EXPECT_EQ(flags_below(skel() / "generations/0002.set-aside"), 0U);
  EXPECT_FALSE(fs::exists(merged()));
  EXPECT_EQ(names_in(vservers() / ".vskel/trash"), std::set<std::string>());
  expect_verified();
  create_vserver("new");
  write_file(vserver("new") / "etc/resolv.conf", "the tenant's");
  EXPECT_EQ(read_file(vserver("new") / "etc/resolv.conf"), "the tenant's");
}

TEST_P(SplitFlagsTest, AFailedSplitLeavesThemAsTheyWere) {
  if (!has_flags()) GTEST_SKIP() << "no flags here";
  merge_with_flags();
  const std::size_t before = flags_below(merged());
  EXPECT_EQ(before, 9U + 1U) << "both names of a file count";
  std::ofstream writer(merged() / "usr/bin/program", std::ios::app);
  writer << "still writing" << std::flush;
  const ProcessResult failed = vskel({"split-skel", "base"});
  EXPECT_EQ(failed.code, 1) << failed;
  EXPECT_EQ(flags_below(merged()), before);
  writer.close();
  EXPECT_EQ(vskel({"merge-skel", "base", "--abort"}).code, 0);
  EXPECT_FALSE(fs::exists(merged()));
  expect_verified();
}

TEST_P(SplitFlagsTest, AnImmutableRootIsRefusedWithWhatToDo) {
  if (!has_flags()) GTEST_SKIP() << "no flags here";
  build();
  merge();
  set_immutable(merged());
  const ProcessResult refused = vskel({"split-skel", "base"});
  EXPECT_EQ(refused.code, 1) << refused;
  EXPECT_NE(refused.err.find("chattr -ia"), std::string::npos) << refused.err;
  clear_immutable(merged());
  EXPECT_EQ(vskel({"split-skel", "base"}).code, 0);
}

TEST_P(SplitGroupsTest, WhatIsSetAsideHasTheModesOfTheOriginals) {
  put(root() / "etc", directory({{"hosts", file("127.0.0.1 localhost\n")}}, 0755));
  put(root() / "etc/passwd", file("root:x:0:0:root:/root:/bin/sh\n"));
  build();
  merge();
  put(merged() / "etc/hosts", directory({{"inner", directory({{"file", file("x")}}, 0750)}}, 0711));
  ASSERT_EQ(::chown((merged() / "etc").c_str(), 12, 34), 0);
  ASSERT_EQ(::chmod((merged() / "etc").c_str(), 02751), 0);
  ASSERT_EQ(::chown((merged() / "etc/hosts").c_str(), 56, 78), 0);
  const std::array<timespec, 2> times{timespec{1'000'000'000, 5}, timespec{1'000'000'001, 7}};
  for (const char* path : {"etc/hosts/inner", "etc/hosts", "etc"})
    ASSERT_EQ(::utimensat(AT_FDCWD, (merged() / path).c_str(), times.data(), 0), 0);
  std::map<std::string, struct stat> before;
  for (const std::string path : {"etc", "etc/hosts", "etc/hosts/inner"}) before[path] = status_of(merged() / path);
  split();
  const fs::path aside = skel() / "generations/0002.set-aside";
  EXPECT_EQ(status_of(aside).st_mode & 07777U, 0700U) << "nobody else looks into it";
  for (const auto& [path, was] : before) {
    const struct stat is = status_of(aside / path);
    EXPECT_EQ(is.st_mode, was.st_mode) << path;
    EXPECT_EQ(is.st_uid, was.st_uid) << path;
    EXPECT_EQ(is.st_gid, was.st_gid) << path;
    EXPECT_EQ(is.st_mtim.tv_sec, was.st_mtim.tv_sec) << path;
  }
}

INSTANTIATE_TEST_SUITE_P(On, SplitGroupsTest, kAllFileSystems, kParameterName);
INSTANTIATE_TEST_SUITE_P(On, SplitFlagsTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
