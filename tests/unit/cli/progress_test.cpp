#include "cli/progress.h"

#include <gtest/gtest.h>

namespace vskel::cli {
namespace {

using std::chrono::duration;

TEST(ProgressLineTest, ShowsPartRateAndTimeLeft) {
  EXPECT_EQ(progress_line("create-vs", 1200, 2400, duration<double>(0.25)),
            "create-vs [############............]  50%  1200/2400  4800/s  ETA 0:00");
  EXPECT_EQ(progress_line("relink", 100, 1000, duration<double>(10)),
            "relink [##......................]  10%  100/1000  10/s  ETA 1:30");
}

TEST(ProgressLineTest, KnowsNoTimeLeftBeforeTheFirstIsDone) {
  EXPECT_EQ(progress_line("relink", 0, 10, duration<double>(1)), "relink [........................]   0%  0/10  0/s");
}

TEST(ProgressLineTest, CountsWithoutATotal) {
  EXPECT_EQ(progress_line("build-skel", 1200, 0, duration<double>(0.25)), "build-skel  1200  4800/s");
}

TEST(ProgressLineTest, MoreThanWasExpectedIsAll) {
  EXPECT_EQ(progress_line("build-skel", 12, 10, duration<double>(1)),
            "build-skel [########################] 100%  12/10  12/s");
}

}  // namespace
}  // namespace vskel::cli
