// The oracle sees every difference: one test a kind, each on two trees that differ in nothing else.
#include "tests/support/tree_snapshot.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <functional>

#include "tests/support/file_system.h"
#include "tests/support/inode_extras.h"
#include "tests/support/odd_root.h"
#include "tests/support/requirement.h"
#include "tests/support/temporary_directory.h"

namespace vskel::test {
namespace {

namespace fs = std::filesystem;

void write_file(const fs::path& path, const std::string& content) { std::ofstream(path) << content; }

void set_mtime(const fs::path& path, timespec time) {
  const std::array<timespec, 2> times{time, time};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW), 0) << path;
}

class TreeSnapshotTest : public ::testing::Test {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(missing_root());
    for (const fs::path& tree : {expected_, actual_}) {
      fs::create_directory(tree);
      fs::create_directory(tree / "dir");
      write_file(tree / "dir/file", "content");
      write_file(tree / "dir/other", "content");
      fs::create_symlink("target", tree / "dir/symlink");
      ::mknod((tree / "dir/device").c_str(), S_IFCHR | 0600, makedev(1, 3));
      same_times(tree);
    }
  }

  static void same_times(const fs::path& tree) {
    for (const char* path : {"dir/file", "dir/other", "dir/symlink", "dir/device", "dir", ""}) {
      const fs::path node = tree / path;
      if (fs::symlink_status(node).type() != fs::file_type::not_found) set_mtime(node, {1000, 1});
    }
  }

  // The differences after `change` was made to the actual tree, with times evened out again.
  std::vector<std::string> differences_after(const std::function<void()>& change) {
    change();
    same_times(actual_);
    return compare_trees(expected_, actual_);
  }

  TemporaryDirectory scratch_;
  fs::path expected_ = scratch_.path() / "expected", actual_ = scratch_.path() / "actual";
};

using Lines = std::vector<std::string>;

TEST_F(TreeSnapshotTest, EqualTreesHaveNoDifference) { EXPECT_EQ(compare_trees(expected_, actual_), Lines{}); }

TEST_F(TreeSnapshotTest, SeesAMissingName) {
  EXPECT_EQ(differences_after([&] { fs::remove(actual_ / "dir/file"); }), Lines{"dir/file: is missing"});
}

TEST_F(TreeSnapshotTest, SeesAnAddedName) {
  EXPECT_EQ(differences_after([&] { write_file(actual_ / "dir/more", ""); }), Lines{"dir/more: should not be there"});
}

TEST_F(TreeSnapshotTest, SeesAnotherType) {
  EXPECT_EQ(differences_after([&] {
              fs::remove(actual_ / "dir/file");
              fs::create_symlink("x", actual_ / "dir/file");
            }),
            Lines{"dir/file: is a symlink, not a file"});
}

TEST_F(TreeSnapshotTest, SeesAnotherMode) {
  EXPECT_EQ(differences_after([&] { ::chmod((actual_ / "dir").c_str(), 01755); }), Lines{"dir: mode 1755, not 755"});
}

TEST_F(TreeSnapshotTest, SeesAnotherOwnerOfASymlink) {
  EXPECT_EQ(differences_after([&] { ASSERT_EQ(::lchown((actual_ / "dir/symlink").c_str(), 0, 7), 0); }),
            Lines{"dir/symlink: owner 0:7, not 0:0"});
}

TEST_F(TreeSnapshotTest, SeesAnotherTimeOfOneNanosecond) {
  set_mtime(actual_ / "dir/symlink", {1000, 2});
  EXPECT_EQ(compare_trees(expected_, actual_), Lines{"dir/symlink: mtime 1000.000000002, not 1000.000000001"});
}

TEST_F(TreeSnapshotTest, SeesATimeBefore1970) {
  set_mtime(actual_ / "dir/file", {-1000, 1});
  EXPECT_EQ(compare_trees(expected_, actual_), Lines{"dir/file: mtime -1000.000000001, not 1000.000000001"});
}

TEST_F(TreeSnapshotTest, SeesOtherContentOfTheSameSize) {
  EXPECT_EQ(differences_after([&] { write_file(actual_ / "dir/file", "CONTENT"); }).size(), 1U);
}

TEST_F(TreeSnapshotTest, SeesAnotherSize) {
  const Lines lines = differences_after([&] { write_file(actual_ / "dir/file", "contents"); });
  ASSERT_EQ(lines.size(), 2U) << joined(lines);
  EXPECT_EQ(lines[0], "dir/file: size 8, not 7");
}

TEST_F(TreeSnapshotTest, SeesAnotherLinkTarget) {
  EXPECT_EQ(differences_after([&] {
              fs::remove(actual_ / "dir/symlink");
              fs::create_symlink("elsewhere", actual_ / "dir/symlink");
            }),
            Lines{"dir/symlink: target elsewhere, not target"});
}

TEST_F(TreeSnapshotTest, SeesAnotherDeviceNumber) {
  const Lines lines = differences_after([&] {
    fs::remove(actual_ / "dir/device");
    ::mknod((actual_ / "dir/device").c_str(), S_IFCHR | 0600, makedev(1, 5));
  });
  EXPECT_EQ(lines.size(), 1U) << joined(lines);
}

TEST_F(TreeSnapshotTest, SeesACapability) {
  const Lines lines =
      differences_after([&] { set_xattr(actual_ / "dir/file", "security.capability", file_capability(1U << 10)); });
  EXPECT_EQ(lines.size(), 1U) << joined(lines);
}

TEST_F(TreeSnapshotTest, SeesADefaultAcl) {
  const Lines lines = differences_after([&] {
    set_xattr(actual_ / "dir", "system.posix_acl_default", posix_acl(0755, {5, 7}));
  });
  EXPECT_EQ(lines.size(), 1U) << joined(lines);
}

TEST_F(TreeSnapshotTest, SeesAHardLinkThatWasNotThere) {
  EXPECT_EQ(differences_after([&] {
              fs::remove(actual_ / "dir/other");
              fs::create_hard_link(actual_ / "dir/file", actual_ / "dir/other");
            }),
            Lines{"dir/other: is one inode with dir/file, not dir/other"});
}

TEST_F(TreeSnapshotTest, SeesAHardLinkThatIsGone) {
  fs::remove(expected_ / "dir/other");
  fs::create_hard_link(expected_ / "dir/file", expected_ / "dir/other");
  same_times(expected_);
  EXPECT_EQ(compare_trees(expected_, actual_), Lines{"dir/other: is one inode with dir/other, not dir/file"});
}

TEST_F(TreeSnapshotTest, SeesAHoleThatWasFilled) {
  for (const fs::path& tree : {expected_, actual_}) fs::resize_file(tree / "dir/file", 4 << 20);
  write_file(actual_ / "dir/file", "content" + std::string((4 << 20) - 7, '\0'));
  same_times(expected_);
  ::sync();  // delayed allocation counts no blocks before
  const Lines lines = differences_after([] {});
  ASSERT_EQ(lines.size(), 1U) << joined(lines);
  EXPECT_TRUE(lines[0].starts_with("dir/file: takes ")) << lines[0];
}

TEST_F(TreeSnapshotTest, SeesAnotherInodeWhenAsked) {
  const TreeSnapshot before = snapshot_tree(actual_);
  write_file(actual_ / "new", "content");
  fs::rename(actual_ / "new", actual_ / "dir/file");
  same_times(actual_);
  EXPECT_EQ(compare_snapshots(before, snapshot_tree(actual_)), Lines{});
  EXPECT_EQ(compare_snapshots(before, snapshot_tree(actual_), {}, Identity::compared).size(), 1U);
}

TEST_F(TreeSnapshotTest, AnExceptionHidesItsAspectAtItsPathOnly) {
  ::chmod((actual_ / "dir/file").c_str(), 0600);
  ::chmod((actual_ / "dir/other").c_str(), 0600);
  const std::vector<Exception> one{{"dir/file", Aspect::mode}};
  EXPECT_EQ(compare_trees(expected_, actual_, one), Lines{"dir/other: mode 600, not 644"});
  const std::vector<Exception> wrong_aspect{{"dir/**", Aspect::owner}};
  EXPECT_EQ(compare_trees(expected_, actual_, wrong_aspect).size(), 2U);
  const std::vector<Exception> below{{"dir/**", Aspect::mode}};
  EXPECT_EQ(compare_trees(expected_, actual_, below), Lines{});
}

TEST_F(TreeSnapshotTest, ReadsPathsLongerThanPathMax) {
  const int start = ::open(expected_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int directory = start;
  const std::string name(200, 'd');
  for (int level = 0; level < 30; ++level) {
    ASSERT_EQ(::mkdirat(directory, name.c_str(), 0755), 0);
    const int next = ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory != start) ::close(directory);
    directory = next;
  }
  ::close(directory);
  ::close(start);
  EXPECT_EQ(snapshot_tree(expected_).size(), 6U + 30U);
}

}  // namespace
}  // namespace vskel::test
