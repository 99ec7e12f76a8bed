// The odd root is what the other tests believe it is, on every file system.
#include "tests/support/odd_root.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "tests/support/file_system.h"
#include "tests/support/requirement.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tree_snapshot.h"

namespace vskel::test {
namespace {

class OddRootTest : public ::testing::TestWithParam<FileSystem> {
 protected:
  void SetUp() override { VSKEL_REQUIRE(missing_for_mount(GetParam())); }
  TemporaryDirectory scratch_;
};

TEST_P(OddRootTest, IsTheSameEveryTime) {
  const ScopedLoopMount mount(GetParam(), scratch_.path());
  for (const char* name : {"first", "second"}) {
    std::filesystem::create_directory(mount.path() / name);
    make_root(mount.path() / name);
  }
  EXPECT_EQ(joined(compare_trees(mount.path() / "first", mount.path() / "second")), "");
}

TEST_P(OddRootTest, HasEveryKindOfNode) {
  const ScopedLoopMount mount(GetParam(), scratch_.path());
  std::filesystem::create_directory(mount.path() / "root");
  make_root(mount.path() / "root");
  const TreeSnapshot tree = snapshot_tree(mount.path() / "root");
  const auto any = [&](const auto& predicate) {
    return std::ranges::any_of(tree, [&](const auto& entry) { return predicate(entry.second); });
  };
  for (const mode_t type : {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK}) {
    EXPECT_TRUE(any([&](const Node& node) { return (node.mode & S_IFMT) == type; })) << std::oct << type;
  }
  for (const mode_t bits : {04755, 02755, 01777}) {
    EXPECT_TRUE(any([&](const Node& node) { return (node.mode & 07777) == bits; })) << std::oct << bits;
  }
  for (const char* name : {"security.capability", "system.posix_acl_access", "system.posix_acl_default"}) {
    EXPECT_TRUE(any([&](const Node& node) { return node.xattrs.contains(name); })) << name;
  }
  EXPECT_TRUE(any([](const Node& node) { return node.mtime_s < 0 && node.mtime_ns != 0; }));
  EXPECT_TRUE(any([](const Node& node) { return S_ISREG(node.mode) && node.blocks * 512 < node.size / 10; }));
  for (const std::string& path : odd_root::kLinkable) EXPECT_TRUE(tree.contains(path)) << path;
  for (const std::string& path : odd_root::kNotLinkable) EXPECT_TRUE(tree.contains(path)) << path;
}

INSTANTIATE_TEST_SUITE_P(On, OddRootTest,
                         ::testing::Values(FileSystem::ext4, FileSystem::xfs, FileSystem::btrfs, FileSystem::tmpfs),
                         [](const auto& parameter) { return file_system_name(parameter.param); });

}  // namespace
}  // namespace vskel::test
