// Killed before every call that changes something, then recovered: everything is as before the command or as after it.
#include "tests/faults/fault_test.h"
#include "tests/support/requirement.h"

namespace vskel::test {
namespace {

class KillNth : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { VSKEL_REQUIRE(missing_root()); }
};

TEST_P(KillNth, Call) {
  World world(FileSystem::tmpfs);
  Course course(world, scenario(GetParam()));
  unsigned kills = 0;
  for (unsigned at = 1;; ++at) {
    const Fault fault{.kind = Fault::Kind::kill, .at = at};
    const Ending ending = course.run(fault);
    ASSERT_EQ(course.wrong_after(ending, fault), "") << "call " << at;
    if (!ending.fired) break;
    ++kills;
  }
  EXPECT_EQ(kills, course.changes);
  tell_figure("kills", kills);
}

INSTANTIATE_TEST_SUITE_P(Of, KillNth, ::testing::ValuesIn(scenario_names()), kScenarioName);

}  // namespace
}  // namespace vskel::test
