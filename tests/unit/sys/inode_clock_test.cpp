// What is changed after the wait has a later ctime than what was changed before it.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "engine/sys/kernel.h"
#include "tests/support/temporary_directory.h"

namespace vskel::sys {
namespace {

class InodeClockTest : public testing::Test {
 protected:
  [[nodiscard]] Time changed_now(const char* name) const {
    const Fd file(::open((scratch_.path() / name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(::write(file.number(), "x", 1), 1);
    return stat(file).value().ctime;
  }
  test::TemporaryDirectory scratch_;
};

TEST_F(InodeClockTest, HasGonePastWhatWasChangedBefore) {
  constexpr int kTicks = 50;
  for (int tick = 0; tick < kTicks; ++tick) {
    const Time before = changed_now("before");
    wait_for_inode_clock_past(before);
    EXPECT_GT(changed_now("after"), before);
  }
}

TEST_F(InodeClockTest, IsNotWaitedForLongIfItWasSetBack) {
  const Time now = inode_clock();
  wait_for_inode_clock_past({now.seconds + 3600, 0});
  EXPECT_LT(inode_clock().seconds, now.seconds + 60);
}

}  // namespace
}  // namespace vskel::sys
