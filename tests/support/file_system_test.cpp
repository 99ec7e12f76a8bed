// Mounts are there, of the right kind, and gone again.
#include "tests/support/file_system.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/requirement.h"
#include "tests/support/temporary_directory.h"

namespace vskel::test {
namespace {

std::string mounts() {
  std::ostringstream text;
  text << std::ifstream("/proc/self/mounts").rdbuf();
  return text.str();
}

class FileSystemTest : public ::testing::TestWithParam<FileSystem> {
 protected:
  void SetUp() override { VSKEL_REQUIRE(missing_for_mount(GetParam())); }
};

TEST_P(FileSystemTest, IsMountedAndUnmounted) {
  const TemporaryDirectory scratch;
  std::string line;
  {
    const ScopedLoopMount mount(GetParam(), scratch.path());
    line = mount.path().string() + " " + file_system_name(GetParam()) + " ";
    EXPECT_NE(mounts().find(line), std::string::npos) << mounts();
    std::ofstream(mount.path() / "file") << "content";
  }
  EXPECT_EQ(mounts().find(line), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(scratch.path() / "mount/file"));
}

INSTANTIATE_TEST_SUITE_P(On, FileSystemTest,
                         ::testing::Values(FileSystem::ext4, FileSystem::xfs, FileSystem::btrfs, FileSystem::tmpfs),
                         [](const auto& parameter) { return file_system_name(parameter.param); });

}  // namespace
}  // namespace vskel::test
