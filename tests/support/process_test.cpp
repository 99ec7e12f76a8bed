// Programs are run as asked and all that they say and do is seen.
#include "tests/support/process.h"

#include <gtest/gtest.h>

namespace vskel::test {
namespace {

TEST(ProcessTest, GivesBothOutputsAndTheStatus) {
  const ProcessResult result = run({"sh", "-c", "echo out; echo err >&2; exit 3"});
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
  EXPECT_EQ(result.code, 3);
}

TEST(ProcessTest, GivesTheSignal) {
  const ProcessResult result = run({"sh", "-c", "kill -9 $$"});
  EXPECT_EQ(result.code, -1);
  EXPECT_EQ(result.signal, 9);
}

TEST(ProcessTest, FeedsMoreThanAPipeHolds) {
  const std::string input(1 << 20, 'x');
  EXPECT_EQ(run({"cat"}, {.input = input, .environment = {}, .directory = ""}).out, input);
}

TEST(ProcessTest, HidesVskelVariablesAndAddsOthers) {
  ::setenv("VSKEL_VSERVERS", "/nowhere", 1);
  const ProcessResult result = run({"sh", "-c", "echo \"$VSKEL_VSERVERS,$ADDED\""},
                                   {.input = "", .environment = {{"ADDED", "yes"}}, .directory = ""});
  ::unsetenv("VSKEL_VSERVERS");
  EXPECT_EQ(result.out, ",yes\n");
}

TEST(ProcessTest, EndsAProgramThatTakesTooLong) {
  ProcessOptions options;
  options.limit = std::chrono::seconds(1);
  EXPECT_EQ(run({"sh", "-c", "sleep 60 & sleep 60"}, options).signal, 9);
}

TEST(ProcessTest, GivesCode127ForAMissingProgram) { EXPECT_EQ(run({"/no/such/program"}).code, 127); }

}  // namespace
}  // namespace vskel::test
