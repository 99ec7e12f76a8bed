// Every call fails once, of those that only look, too: the command says so, or does without and has truly done what it
// says; and whatever it left behind, recover puts in order.
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include "tests/faults/fault_test.h"
#include "tests/support/requirement.h"

namespace vskel::test {
namespace {

constexpr std::array kErrors{ENOSPC, EIO, EMFILE, ENFILE, EMLINK, EDQUOT, ENOMEM, EACCES, EPERM, EROFS, EXDEV, EBUSY};

class FailNth : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { VSKEL_REQUIRE(missing_root()); }

  /// The errors that one call is to fail with: in a long run `most` of them, in a short run one, each in its turn; the
  /// seventh after the one before, so that calls that come in pairs or dozens meet them all.
  static std::vector<int> errors_of(unsigned call, unsigned most) {
    std::vector<int> errors;
    const unsigned wanted = is_long_run() ? most : 1;
    for (unsigned at = call * wanted; errors.size() < wanted; ++at)
      errors.push_back(kErrors.at((at * 7 + at / kErrors.size()) % kErrors.size()));
    return errors;
  }
};

TEST_P(FailNth, Call) {
  World world(place_of_trials());
  Course course(world, scenario(GetParam()));
  unsigned faults = 0;
  for (const unsigned at : sample(course.calls, affordable(course.calls))) {
    for (const int code : errors_of(at, kErrors.size())) {
      const Fault fault{.kind = Fault::Kind::fail, .every_call = true, .at = at, .code = code};
      const Ending ending = course.run(fault);
      EXPECT_TRUE(ending.fired) << "call " << at;
      EXPECT_EQ(course.wrong_after(ending, fault), "") << "call " << at << ": " << std::strerror(code);
      ++faults;
    }
  }
  EXPECT_EQ(course.wrong_outside(), "");
  tell_figure("faults", faults);
}

TEST_P(FailNth, CallOfRecover) {
  World world(place_of_trials());
  Course course(world, scenario(GetParam()));
  const unsigned all = std::numeric_limits<unsigned>::max();
  unsigned faults = 0;
  for (const unsigned killed_at : sample(course.changes, is_long_run() ? 16 : 3)) {
    const Ending first = course.run({.kind = Fault::Kind::kill, .at = killed_at});
    ASSERT_TRUE(first.fired) << "call " << killed_at;
    const unsigned calls = world.recover({.every_call = true}).calls;
    for (const unsigned at : sample(calls, is_long_run() ? all : affordable(12))) {
      for (const int code : errors_of(at, 3)) {
        static_cast<void>(course.run({.kind = Fault::Kind::kill, .at = killed_at}));
        const Ending recovery = world.recover({.kind = Fault::Kind::fail, .every_call = true, .at = at, .code = code});
        EXPECT_TRUE(recovery.fired) << "call " << at;
        EXPECT_EQ(course.wrong_after_recovery(recovery), "")
            << "killed at " << first.call << "; call " << at << ": " << std::strerror(code);
        ++faults;
      }
    }
  }
  EXPECT_EQ(course.wrong_outside(), "");
  tell_figure("faults_in_recover", faults);
}

INSTANTIATE_TEST_SUITE_P(Of, FailNth, ::testing::ValuesIn(scenario_names()), kScenarioName);

}  // namespace
}  // namespace vskel::test
