// What tells one inode from all others, and from the next one that gets its number.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>

#include "engine/sys/kernel.h"
#include "tests/support/file_system.h"
#include "tests/support/requirement.h"
#include "tests/support/temporary_directory.h"

namespace vskel::sys {
namespace {

class IdentityTest : public testing::TestWithParam<test::FileSystem> {
 protected:
  void SetUp() override {
    engine_start();
    VSKEL_REQUIRE(test::missing_for_mount(GetParam()));
    mount_ = std::make_unique<test::ScopedLoopMount>(GetParam(), scratch_.path());
    make();
    dir_ = open_root(mount_->path().string()).value();
  }
  void make() const { std::ofstream(mount_->path() / "file") << "content"; }
  test::TemporaryDirectory scratch_;
  std::unique_ptr<test::ScopedLoopMount> mount_;
  DirFd dir_;
};

TEST_P(IdentityTest, IsTheSameByEveryNameAndByDescriptor) {
  std::filesystem::create_hard_link(mount_->path() / "file", mount_->path() / "other");
  const Identity identity = sys::identity(dir_, "file").value();
  const Identity other = sys::identity(dir_, "other").value();
  const Identity open = sys::identity(open_file(dir_, "file").value()).value();
  const Stat stat = sys::stat(dir_, "file").value();
  for (const Identity& same : {identity, other, open}) {
    EXPECT_EQ(same.device, stat.device);
    EXPECT_EQ(same.inode, stat.inode);
    EXPECT_EQ(same.generation, identity.generation);
    EXPECT_FALSE(same.immutable);
  }
}

/// The kernel's own word for it; tmpfs has none.
TEST_P(IdentityTest, HasTheGenerationThatTheKernelTells) {
  const Fd file = open_file(dir_, "file").value();
  long generation = 0;
  const bool told = ::ioctl(file.number(), FS_IOC_GETVERSION, &generation) == 0;
  ASSERT_EQ(told, GetParam() != test::FileSystem::tmpfs);
  if (!told) return;
  EXPECT_EQ(sys::identity(file).value().generation, static_cast<std::uint32_t>(generation));
}

TEST_P(IdentityTest, IsNeverAnInodesThatIsGone) {
  std::set<std::pair<std::uint64_t, std::uint32_t>> seen;
  for (int round = 0; round < 20; ++round) {
    const Identity identity = sys::identity(dir_, "file").value();
    EXPECT_TRUE(seen.emplace(identity.inode, identity.generation).second) << "round " << round;
    std::filesystem::remove(mount_->path() / "file");
    make();
  }
}

INSTANTIATE_TEST_SUITE_P(, IdentityTest,
                         ::testing::Values(test::FileSystem::ext4, test::FileSystem::xfs, test::FileSystem::tmpfs),
                         [](const auto& instance) { return test::file_system_name(instance.param); });

TEST(IdentityOfOthersTest, WhatHasOtherHandlesIsNotTold) {
  VSKEL_REQUIRE(test::missing_for_mount(test::FileSystem::btrfs));
  const test::TemporaryDirectory scratch;
  const test::ScopedLoopMount mount(test::FileSystem::btrfs, scratch.path());
  std::ofstream(mount.path() / "file") << "content";
  const DirFd dir = open_root(mount.path().string()).value();
  const auto identity = sys::identity(dir, "file");
  ASSERT_FALSE(identity.has_value());
  EXPECT_EQ(identity.error().code, EOPNOTSUPP);
}

}  // namespace
}  // namespace vskel::sys
