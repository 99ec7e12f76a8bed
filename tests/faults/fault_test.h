// What the tests of faults share: a scenario's named states, and the judgement of a trial.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/faults/world.h"

namespace vskel::test {

/// VSKEL_LONG=1: every point instead of a sample.
[[nodiscard]] bool is_long_run();

/// Where there is no cut: tmpfs, or what VSKEL_FAULTS_ON names ("ext4", "xfs", "btrfs").
[[nodiscard]] FileSystem place_of_trials();

/// How many of `all` points are tried: one in VSKEL_ONE_IN. Without that all; in a build with AddressSanitizer, where a
/// trial and its search for leaks take twenty times as long, one in ten.
[[nodiscard]] unsigned affordable(unsigned all);

/// A scenario with the states before and after it, by a run without a fault.
class Course {
 public:
  Course(World& world, const Scenario& scenario);

  World& world;
  const Scenario& scenario;
  StoreState before, after;
  StoreState between;    ///< if the scenario has one
  unsigned calls = 0;    ///< of a clean run
  unsigned changes = 0;  ///< those of them that change something

  /// Lays down what it starts from.
  void lay_down();
  /// Runs the scenario from its start with `fault`.
  [[nodiscard]] Ending run(const Fault& fault);
  /// Recovers and says what is wrong after that; "" if nothing is. `ending`: how the command ended.
  [[nodiscard]] std::string wrong_after(const Ending& ending, const Fault& fault);
  /// The same after a fault in recover, which ended as `recovery` says.
  [[nodiscard]] std::string wrong_after_recovery(const Ending& recovery);
  /// What is there outside of the store that no trial may have left or changed; asked once, at the end.
  [[nodiscard]] std::string wrong_outside() const;

 private:
  [[nodiscard]] std::string wrong_now(const std::vector<const StoreState*>& allowed);
  [[nodiscard]] std::string wrong_after_the_rest();
  [[nodiscard]] std::string told(const Ending& ending, const std::string& wrong) const;
  bool is_laid_down_ = false;  ///< the store is as before the command
  std::size_t mounts_;
};

/// `wanted` of the numbers from 1 to `all`, in a fixed order, each once; all of them if they are not more.
[[nodiscard]] std::vector<unsigned> sample(unsigned all, unsigned wanted);

/// Tells figures in the log of a run and in its report.
void tell_figure(const std::string& name, unsigned value);

inline const auto kScenarioName = [](const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
};
[[nodiscard]] std::vector<std::string> scenario_names();

}  // namespace vskel::test
