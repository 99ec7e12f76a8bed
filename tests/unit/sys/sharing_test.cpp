// Leases prove that nobody writes; deduplication compares before it shares.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>

#include "engine/sys/kernel.h"
#include "tests/support/file_system.h"
#include "tests/support/requirement.h"
#include "tests/support/temporary_directory.h"

namespace vskel::sys {
namespace {

class LeaseTest : public testing::TestWithParam<test::FileSystem> {
 protected:
  void SetUp() override {
    engine_start();
    VSKEL_REQUIRE(test::missing_for_mount(GetParam()));
    mount_ = std::make_unique<test::ScopedLoopMount>(GetParam(), scratch_.path());
    path_ = (mount_->path() / "file").string();
    std::ofstream(path_) << std::string(8192, 'x');
  }
  [[nodiscard]] Fd reader() const { return Fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)); }
  test::TemporaryDirectory scratch_;
  std::unique_ptr<test::ScopedLoopMount> mount_;
  std::string path_;
};

TEST_P(LeaseTest, IsGrantedWhereNobodyWrites) {
  const Fd file = reader();
  EXPECT_TRUE(take_read_lease(file).value());
  EXPECT_TRUE(holds_read_lease(file).value());
}

TEST_P(LeaseTest, IsRefusedToAFileOpenForWriting) {
  const Fd writer(::open(path_.c_str(), O_WRONLY | O_CLOEXEC));
  EXPECT_FALSE(take_read_lease(reader()).value());
}

TEST_P(LeaseTest, IsRefusedToAFileMappedForWriting) {
  void* mapped = nullptr;
  {
    const Fd writer(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    mapped = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer.number(), 0);
    ASSERT_NE(mapped, MAP_FAILED);
  }
  EXPECT_FALSE(take_read_lease(reader()).value());
  ::munmap(mapped, 4096);
}

TEST_P(LeaseTest, TellsThatSomebodyWantsToWrite) {
  const Fd file = reader();
  ASSERT_TRUE(take_read_lease(file).value());
  const Fd writer(::open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  EXPECT_FALSE(writer.open());
  EXPECT_FALSE(holds_read_lease(file).value());
}

INSTANTIATE_TEST_SUITE_P(On, LeaseTest,
                         testing::Values(test::FileSystem::ext4, test::FileSystem::xfs, test::FileSystem::btrfs,
                                         test::FileSystem::tmpfs),
                         [](const auto& parameter) { return test::file_system_name(parameter.param); });

class DedupeTest : public LeaseTest {
 protected:
  Fd second(const std::string& content) {
    const std::string path = (mount_->path() / "second").string();
    std::ofstream(path) << content;
    Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ::syncfs(file.number());
    return file;
  }
};

TEST_P(DedupeTest, SharesEqualBytesAndTellsByTheExtents) {
  const Fd source = reader(), target = second(std::string(8192, 'x'));
  EXPECT_NE(physical_extents(source).value(), physical_extents(target).value());
  const Deduped deduped = dedupe(source, target, 0, 8192).value();
  EXPECT_TRUE(deduped.same);
  EXPECT_EQ(deduped.bytes, 8192U);
  ASSERT_TRUE(physical_extents(source).value());
  EXPECT_EQ(physical_extents(source).value(), physical_extents(target).value());
}

TEST_P(DedupeTest, AreTheSameBlocksUntilOneOfThemIsWrittenTo) {
  const Fd source = reader();
  const std::string path = (mount_->path() / "clone").string();
  const Fd target(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  EXPECT_FALSE(are_same_blocks(source, target).value()) << "an empty file proves nothing";
  ASSERT_TRUE(clone(source, target));
  EXPECT_TRUE(are_same_blocks(source, target).value());
  EXPECT_FALSE(are_same_blocks(source, second(std::string(8192, 'x'))).value()) << "equal bytes in other blocks";
  // In the page cache only: the map of the extents alone would still say that they are shared.
  ASSERT_EQ(::pwrite(target.number(), "y", 1, 0), 1);
  EXPECT_FALSE(are_same_blocks(source, target).value());
}

TEST_P(DedupeTest, LeavesAFileAloneThatDiffersByOneByte) {
  std::string other(8192, 'x');
  other[8191] = 'y';
  const Fd source = reader(), target = second(other);
  EXPECT_FALSE(dedupe(source, target, 0, 8192).value().same);
  EXPECT_NE(physical_extents(source).value(), physical_extents(target).value());
}

INSTANTIATE_TEST_SUITE_P(On, DedupeTest, testing::Values(test::FileSystem::xfs, test::FileSystem::btrfs),
                         [](const auto& parameter) { return test::file_system_name(parameter.param); });

}  // namespace
}  // namespace vskel::sys
