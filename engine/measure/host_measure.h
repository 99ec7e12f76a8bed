// What `vskel bench` tells of a host's file system: every primitive by every backend beside the raw rate, and the
// settings that follow from it.
#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/measure/work.h"
#include "engine/model/options.h"

namespace vskel::measure {

struct Row {
  Work work;
  Way way;
  double per_second = 0;                 ///< median of the rounds
  std::optional<double> percent_of_raw;  ///< median of the rounds' own ratios; not of the raw loop itself
};

struct Report {
  std::string file_system;  ///< its type
  unsigned jobs = 0;        ///< threads that all rows were measured with
  unsigned rounds = 0;      ///< that were done in the time there was
  std::vector<Row> rows;
  std::vector<std::string> missing;  ///< what could not be measured here, and why
  std::map<unsigned, double> link_rate_by_jobs;
  Backend backend = Backend::syscall;  ///< recommended
  unsigned best_jobs = 0;              ///< recommended: the fewest that are within 5 % of the best rate of links
};

struct Request {
  unsigned jobs = 0;                           ///< as EngineOptions::jobs
  double seconds = 25;                         ///< no round but the first begins that would end later than this
  const std::atomic<bool>* give_up = nullptr;  ///< true: ends soon with ECANCELED, everything removed
  Progress* progress = nullptr;                ///< may be null; counts passes over the sample
};

/// Measures in a scratch directory of `where`, which is gone afterwards, also where an error ends it. Rounds are
/// interleaved: every row once, then every row again.
[[nodiscard]] Result<Report> measure_host(const DirFd& where, const Request& request);

}  // namespace vskel::measure
