// Killed before every call that changes something, then recovered: everything is as before the command or as after it.
#include <limits>

#include "tests/faults/fault_test.h"
#include "tests/support/requirement.h"

namespace vskel::test {
namespace {

class KillNth : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { VSKEL_REQUIRE(missing_root()); }
};

TEST_P(KillNth, Call) {
  World world(place_of_trials());
  Course course(world, scenario(GetParam()));
  unsigned kills = 0;
  std::vector<unsigned> points = sample(course.changes, affordable(course.changes));
  points.push_back(course.changes + 1);
  for (const unsigned at : points) {
    const Fault fault{.kind = Fault::Kind::kill, .at = at};
    const Ending ending = course.run(fault);
    ASSERT_EQ(course.wrong_after(ending, fault), "") << "call " << at;
    ASSERT_EQ(ending.fired, at <= course.changes) << "call " << at;
    kills += ending.fired ? 1 : 0;
  }
  EXPECT_EQ(course.wrong_outside(), "");
  tell_figure("kills", kills);
}

// Killed, and recover killed as well.
TEST_P(KillNth, CallAndCallOfRecover) {
  World world(place_of_trials());
  Course course(world, scenario(GetParam()));
  const unsigned all = std::numeric_limits<unsigned>::max();
  unsigned kills = 0;
  for (const unsigned at : sample(course.changes, is_long_run() ? all : affordable(6))) {
    const Ending first = course.run({.kind = Fault::Kind::kill, .at = at});
    ASSERT_TRUE(first.fired) << "call " << at;
    const unsigned calls = world.recover({}).calls;
    for (const unsigned second : sample(calls, is_long_run() ? all : 5)) {
      // The intents of a killed command name inodes: no copy of the store would do.
      static_cast<void>(course.run({.kind = Fault::Kind::kill, .at = at}));
      const Ending recovery = world.recover({.kind = Fault::Kind::kill, .at = second});
      ASSERT_TRUE(recovery.fired) << "call " << at << ", of recover " << second;
      ASSERT_EQ(course.wrong_after_recovery(recovery), "")
          << "call " << at << " (" << first.call << "), of recover " << second;
      ++kills;
    }
  }
  EXPECT_EQ(course.wrong_outside(), "");
  tell_figure("kills_of_recover", kills);
}

INSTANTIATE_TEST_SUITE_P(Of, KillNth, ::testing::ValuesIn(scenario_names()), kScenarioName);

}  // namespace
}  // namespace vskel::test
