#include "engine/measure/host_measure.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace vskel::measure {

namespace {

constexpr unsigned kMostRounds = 5;

/// What cli.md promises; comparing is reading twice and stands in bench/.
constexpr std::array kWorks{Work::walk,  Work::stat, Work::link, Work::copy,
                            Work::clone, Work::seal, Work::hash, Work::replace};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

class HostMeasure {
 public:
  HostMeasure(const Sample& sample, const Request& request)
      : sample_(sample), request_(request), start_(std::chrono::steady_clock::now()) {
    for (const Work work : kWorks)
      for (const Way way : kAllWays)
        if (has_way(work, way)) series_.push_back({work, way, {}, {}});
    for (unsigned jobs = 1; jobs < request.jobs; jobs *= 2) links_[jobs];
    links_[request.jobs];
    if (request.progress != nullptr) request.progress->total = kMostRounds * (series_.size() + links_.size());
  }

  Result<Report> run() {
    Report report;
    report.jobs = request_.jobs;
    double last = 0;
    do {
      const double before = elapsed();
      TRY(round());
      last = elapsed() - before;
      ++report.rounds;
    } while (report.rounds < kMostRounds && elapsed() + last <= request_.seconds);
    for (const Series& one : series_) {
      if (one.rates.empty()) continue;
      Row row{one.work, one.way, median(one.rates), std::nullopt};
      if (one.way != Way::raw) row.percent_of_raw = 100 * median(one.of_raw);
      report.rows.push_back(row);
    }
    report.missing = missing_;
    for (const auto& [jobs, rates] : links_) report.link_rate_by_jobs[jobs] = median(rates);
    recommend(report);
    return report;
  }

 private:
  struct Series {
    Work work;
    Way way;
    std::vector<double> rates, of_raw;
    bool missing = false;
  };

  [[nodiscard]] double elapsed() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  Result<> step() {
    if (request_.give_up != nullptr && *request_.give_up) return fail("measure", "", ECANCELED);
    if (request_.progress != nullptr) ++request_.progress->done;
    return {};
  }

  Result<> round() {
    double raw = 0;
    for (Series& one : series_) {
      TRY(step());
      if (one.missing) continue;
      const auto pass = measure_once(sample_, one.work, one.way, request_.jobs);
      if (!pass) {
        TRY(leave_out(one, pass.error()));
        continue;
      }
      if (one.way == Way::raw) raw = pass->rate();
      one.rates.push_back(pass->rate());
      one.of_raw.push_back(pass->rate() / raw);
    }
    for (auto& [jobs, rates] : links_) {
      TRY(step());
      rates.push_back(TRY(measure_once(sample_, Work::link, Way::syscall, jobs)).rate());
    }
    return {};
  }

  /// Only what is not to be had here; anything else ends the measurement.
  Result<> leave_out(Series& one, const Error& error) {
    const bool no_ring = one.way == Way::uring && (error.code == EPERM || error.code == ENOMEM);
    if (!no_ring && !says_unsupported(error)) return std::unexpected(error);
    const std::string what(one.way == Way::uring ? name_of(one.way) : name_of(one.work));
    for (Series& other : series_)
      if (one.way == Way::uring ? other.way == Way::uring : other.work == one.work) other.missing = true;
    missing_.push_back(Error{what, "", error.code, error.reason}.line());
    return {};
  }

  /// What the executor does is linking and writing small files; of equal speed, plain calls.
  void recommend(Report& report) const {
    const auto seconds_by = [&](Way way) {
      double seconds = 0;
      for (const Row& row : report.rows)
        if (row.way == way && (row.work == Work::link || row.work == Work::copy)) seconds += 1 / row.per_second;
      return seconds;
    };
    const double by_ring = seconds_by(Way::uring);
    if (by_ring > 0 && by_ring * 1.05 < seconds_by(Way::syscall)) report.backend = Backend::uring;
    double best = 0;
    for (const auto& [jobs, rate] : report.link_rate_by_jobs) best = std::max(best, rate);
    for (const auto& [jobs, rate] : report.link_rate_by_jobs)
      if (report.best_jobs == 0 && rate >= 0.95 * best) report.best_jobs = jobs;
  }

  const Sample& sample_;
  const Request& request_;
  const std::chrono::steady_clock::time_point start_;
  std::vector<Series> series_;
  std::map<unsigned, std::vector<double>> links_;
  std::vector<std::string> missing_;
};

}  // namespace

Result<Report> measure_host(const DirFd& where, const Request& asked) {
  Request request = asked;
  if (request.jobs == 0) request.jobs = sys::usable_cpus();
  auto sample = TRY(Sample::make(where));
  auto report = HostMeasure(*sample, request).run();
  TRY(sample->remove());
  if (report) report->file_system = TRY(sys::file_system(where)).type;
  return report;
}

}  // namespace vskel::measure
