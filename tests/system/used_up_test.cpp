// Real limits, reached: no space, no inodes, no links, a file system that is read-only. A command fails as a whole and
// leaves nothing, or does without, and afterwards all goes on.
//
// Costs some five seconds.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstring>
#include <sstream>

#include "tests/support/inode_extras.h"
#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

constexpr int kAllDone = 0, kFailedWhole = 1;

class UsedUpTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    put(root() / "usr/share/own", file(std::string(300'000, 'o')));
    build();
    create_vserver("web1");
  }

  /// Takes all space but `left` bytes, in one file.
  void fill(std::uint64_t left) const {
    const int number = ::open((mount() / "filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(number, 0);
    off_t size = 0;
    for (std::uint64_t step = 64U << 20; step >= 4096;) {
      struct statvfs now {};
      ASSERT_EQ(::fstatvfs(number, &now), 0);
      const std::uint64_t free = now.f_bfree * now.f_frsize;
      if (free < left + step || ::posix_fallocate(number, size, static_cast<off_t>(step)) != 0) {
        step /= 4;
        continue;
      }
      size += static_cast<off_t>(step);
    }
    ::close(number);
  }

  void expect_failed_whole(const Arguments& arguments, int code) const {
    const StoreSnapshot before = snapshot_store();
    const ProcessResult result = vskel(arguments);
    EXPECT_EQ(result.code, kFailedWhole) << result;
    EXPECT_NE(result.err.find(std::strerror(code)), std::string::npos) << result;
    // An id that was given out is never given out again, whatever became of it.
    std::istringstream changes(changes_since(before));
    for (std::string line; std::getline(changes, line);) EXPECT_TRUE(line.starts_with("contexts")) << line;
    EXPECT_EQ(inconsistencies(), "");
  }

  const Arguments kCreateWeb2{"create-vs", "base", "web2", "web2.example.com", "192.0.2.2", "--share", "copy"};
};

TEST_P(UsedUpTest, NoSpace) {
  update_skel({{"usr/share/own", file(std::string(400'000, 'n'))}});
  fill(200'000);
  expect_failed_whole(kCreateWeb2, ENOSPC);
  EXPECT_EQ(vskel({"list"}).code, kAllDone);
  EXPECT_EQ(vskel({"verify"}).code, kAllDone);
  fs::remove(mount() / "filler");
  EXPECT_EQ(vskel(kCreateWeb2).code, kAllDone);
  EXPECT_EQ(relink().process.code, kAllDone);
  EXPECT_EQ(vskel({"verify"}).code, kAllDone);
}

INSTANTIATE_TEST_SUITE_P(On, UsedUpTest, ::testing::Values(FileSystem::ext4, FileSystem::xfs), kParameterName);

class InodesUsedUpTest : public UsedUpTest {};

TEST_P(InodesUsedUpTest, NoInodes) {
  struct statvfs now {};
  ASSERT_EQ(::statvfs(mount().c_str(), &now), 0);
  const auto remount = [&](std::uint64_t inodes) {
    const std::string options = "nr_inodes=" + std::to_string(inodes);
    return ::mount("tmpfs", mount().c_str(), "tmpfs", MS_REMOUNT, options.c_str());
  };
  ASSERT_EQ(remount(now.f_files - now.f_ffree + 12), 0) << std::strerror(errno);
  expect_failed_whole(kCreateWeb2, ENOSPC);
  ASSERT_EQ(remount(now.f_files), 0);
  EXPECT_EQ(vskel(kCreateWeb2).code, kAllDone);
  EXPECT_EQ(inconsistencies(), "");
}

INSTANTIATE_TEST_SUITE_P(On, InodesUsedUpTest, ::testing::Values(FileSystem::tmpfs), kParameterName);

class ReadOnlyTest : public UsedUpTest {
 protected:
  void TearDown() override {
    ::mount(nullptr, mount().c_str(), nullptr, MS_REMOUNT, nullptr);
    UsedUpTest::TearDown();
  }
};

TEST_P(ReadOnlyTest, AFileSystemThatBecameReadOnly) {
  ASSERT_EQ(::mount(nullptr, mount().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0) << std::strerror(errno);
  for (const Arguments& arguments : {kCreateWeb2, Arguments{"relink", "base"}, Arguments{"remove-vs", "--yes", "web1"},
                                     Arguments{"merge-skel", "base"}, Arguments{"recover"}}) {
    const ProcessResult result = vskel(arguments);
    EXPECT_EQ(result.code, kFailedWhole) << arguments.front() << result;
    EXPECT_NE(result.err.find(std::strerror(EROFS)), std::string::npos) << result;
  }
  EXPECT_EQ(vskel({"list"}).code, kAllDone);
  EXPECT_EQ(vskel({"show", "web1"}).code, kAllDone);
  EXPECT_EQ(vskel({"verify"}).code, kAllDone);
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(ReadOnlyTest, InodesWithAllTheLinksThatTheyCanHave) {
  use_up_links(skel() / "global/usr/bin/program", mount() / "links");
  const std::uint64_t shared = inode_of(vserver("web1") / "usr/bin/program");
  create_vserver("web2");
  EXPECT_EQ(read_file(vserver("web2") / "usr/bin/program"), "#!/bin/sh\n");
  EXPECT_NE(inode_of(vserver("web2") / "usr/bin/program"), shared);
  EXPECT_EQ(inode_of(vserver("web2") / "usr/share/own"), inode_of(skel() / "global/usr/share/own"));
  // A second inode may be shared from now on; the links of the first stand.
  const Relinked relinked = relink();
  EXPECT_TRUE(relinked.process.code == kAllDone || relinked.process.code == 3) << relinked.process;
  EXPECT_EQ(read_file(vserver("web2") / "usr/bin/program"), "#!/bin/sh\n");
  EXPECT_EQ(inode_of(vserver("web1") / "usr/bin/program"), shared);
  EXPECT_EQ(vskel({"verify"}).code, kAllDone);
  EXPECT_EQ(inconsistencies(), "");
}

INSTANTIATE_TEST_SUITE_P(On, ReadOnlyTest, ::testing::Values(FileSystem::ext4), kParameterName);

}  // namespace
}  // namespace vskel::test
