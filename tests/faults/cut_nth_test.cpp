// The power goes at a call that changes something: the file system stops dead, with or without the end of its log, is
// mounted again and recovered. And it goes when the command has just said that it is done: then all must be there.
//
// The same with a kind of barrier taken out must be found out, else this test would prove nothing.
#include <array>
#include <limits>
#include <map>

#include "tests/faults/fault_test.h"
#include "tests/support/requirement.h"

namespace vskel::test {
namespace {

using Barriers = std::set<std::string>;

constexpr std::array kSpared{Spared::log, Spared::nothing};

/// One world for all scenarios of a file system: what is laid down is the same after a cut as before it.
class CutNth : public ::testing::TestWithParam<FileSystem> {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(missing_root());
    std::optional<std::string> no_disk;
    try {
      world_ = std::make_unique<World>(GetParam());
    } catch (const std::exception& error) {
      no_disk = error.what();
    }
    VSKEL_REQUIRE(no_disk);
  }

  /// What is wrong after the scenario was cut off as `fault` says. `at`: 0 for after its end.
  std::string wrong_after_cut(Course& course, unsigned at, Spared spared, const Barriers& out = {}) {
    const Fault fault{
        .kind = at == 0 ? Fault::Kind::cut_after : Fault::Kind::cut, .at = at, .spared = spared, .barriers_out = out};
    course.lay_down();
    world_->disk().sync();
    const Ending ending = course.run(fault);
    EXPECT_TRUE(ending.fired) << course.scenario.name << " call " << at << ": " << ending.answer.why
                              << ending.complaint;
    world_->disk().mount_again();
    ++cuts_;
    return course.wrong_after(ending, fault);
  }

  /// On a fresh disk: after some 1,000 shutdowns ext4 itself finds its inode bitmaps corrupt (Linux 6.18), and gives
  /// ENOSPC.
  void begin_anew() {
    world_.reset();
    world_ = std::make_unique<World>(GetParam());
  }

  unsigned cuts_ = 0;
  std::unique_ptr<World> world_;
};

std::string text_of(unsigned at, Spared spared) {
  return (at == 0 ? "after the end" : "before call " + std::to_string(at)) +
         (spared == Spared::log ? ", the log written" : ", the log lost");
}

TEST_P(CutNth, CallAndEnd) {
  for (const Scenario& scenario : scenarios()) {
    begin_anew();
    Course course(*world_, scenario);
    std::vector<unsigned> points = sample(course.changes, is_long_run() ? std::numeric_limits<unsigned>::max() : 14);
    points.push_back(0);
    for (const unsigned at : points) {
      for (const Spared spared : kSpared) {
        // In a short run by turns, but both for the end.
        if (!is_long_run() && at != 0 && (spared == Spared::log) == (at % 2 == 0)) continue;
        EXPECT_EQ(wrong_after_cut(course, at, spared), "") << scenario.name << ", " << text_of(at, spared);
      }
    }
    EXPECT_EQ(course.wrong_outside(), "") << scenario.name;
  }
  tell_figure("cuts", cuts_);
}

// One kind of barrier at a time does nothing. The oracle must find a cut that shows it.
TEST_P(CutNth, BarriersTakenOutAreFoundOut) {
  const std::map<std::string, Barriers> kinds = {{"syncfs", {"syncfs"}},
                                                 {"fsync", {"fsync"}},
                                                 {"fdatasync", {"fdatasync"}},
                                                 {"all", {"syncfs", "fsync", "fdatasync"}}};
  std::map<std::string, unsigned> found;
  for (const char* name : {"build", "create", "split", "remove-vs", "adopt"}) {
    begin_anew();
    Course course(*world_, scenario(name));
    std::vector<unsigned> points = sample(course.changes, is_long_run() ? 40 : 5);
    points.push_back(0);
    for (const auto& [kind, barriers] : kinds)
      for (const unsigned at : points)
        for (const Spared spared : kSpared)
          if (!wrong_after_cut(course, at, spared, barriers).empty()) ++found[kind];
  }
  for (const auto& [kind, barriers] : kinds) {
    EXPECT_GT(found[kind], 0U) << "without " << kind << " nothing was found";
    tell_figure("found_without_" + kind, found[kind]);
  }
  tell_figure("cuts", cuts_);
}

const auto kDiskName = [](const ::testing::TestParamInfo<FileSystem>& param) { return file_system_name(param.param); };
INSTANTIATE_TEST_SUITE_P(On, CutNth, ::testing::Values(FileSystem::ext4, FileSystem::xfs), kDiskName);

}  // namespace
}  // namespace vskel::test
