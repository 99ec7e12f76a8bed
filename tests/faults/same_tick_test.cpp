// Inodes are stamped once a tick: what was changed in the tick in which relink starts has the ctime of what is changed
// after it, and is not to be taken for that.
#include <sys/stat.h>

#include <thread>

#include "engine/sys/kernel.h"
#include "tests/faults/fault_test.h"
#include "tests/support/requirement.h"

namespace vskel::test {
namespace {

class SameTick : public ::testing::Test {
 protected:
  void SetUp() override { VSKEL_REQUIRE(missing_root()); }

  static void wait_for_next_tick() {
    const sys::Time now = sys::inode_clock();
    while (sys::inode_clock() == now) std::this_thread::yield();
  }

  /// Moves its ctime and nothing else.
  static void touch(const std::filesystem::path& path) {
    struct stat stat {};
    ASSERT_EQ(::stat(path.c_str(), &stat), 0) << path;
    ASSERT_EQ(::chmod(path.c_str(), stat.st_mode & 07777U), 0) << path;
  }
};

TEST_F(SameTick, WhatWasDoneBeforeRelinkIsNoReasonToLeaveADirectory) {
  constexpr int kTicks = 60;
  World world(FileSystem::tmpfs);
  Scenario touched = scenario("relink");
  touched.command = [relink = touched.command](const World& within, const Store& store) {
    const std::filesystem::path copy = within.places().vservers / "copy";
    wait_for_next_tick();
    touch(copy / "lib/old");               // in a directory that becomes a link
    touch(copy / "var/lib/state/second");  // in a bundle
    return relink(within, store);
  };
  Course course(world, touched);
  for (int tick = 0; tick < kTicks; ++tick) {
    const Ending ending = course.run({});
    EXPECT_EQ(course.wrong_after(ending, {}), "") << "tick " << tick;
  }
}

}  // namespace
}  // namespace vskel::test
