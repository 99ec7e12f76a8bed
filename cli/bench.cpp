// bench: the file system of this host, and the settings that are fastest on it.

#include <atomic>
#include <csignal>
#include <cstdio>

#include "cli/commands.h"
#include "cli/save_settings.h"
#include "engine/measure/host_measure.h"

namespace vskel::cli {

namespace {

using measure::Report;
using measure::Row;
using measure::Way;

struct BenchOptions {
  std::string dir;
  bool save = false;
};

std::atomic<bool> give_up{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

/// While it lives, an interrupt ends the measurement, which then removes its files.
class Interruptible {
 public:
  Interruptible() {
    for (const int signal : kSignals) std::signal(signal, [](int) { give_up = true; });
  }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;
  ~Interruptible() {
    for (const int signal : kSignals) std::signal(signal, SIG_DFL);
  }

 private:
  static constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP};
};

std::string word_for(Backend backend) { return backend == Backend::uring ? "uring" : "syscall"; }

std::string fixed(double value, int decimals) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return text.data();
}

std::string human_rate(double per_second) {
  if (per_second >= 1e6) return fixed(per_second / 1e6, 2) + " M/s";
  if (per_second >= 1e3) return fixed(per_second / 1e3, 1) + " k/s";
  return fixed(per_second, 0) + " /s";
}

std::optional<unsigned> jobs_to_set(const Report& report) {
  return report.best_jobs == sys::usable_cpus() ? std::nullopt : std::optional(report.best_jobs);
}

Json fields_of(const std::string& dir, const Report& report, const std::string& saved) {
  Json results = Json::array();
  for (const Row& row : report.rows) {
    Json fields = {
        {"work", measure::name_of(row.work)}, {"backend", measure::name_of(row.way)}, {"per_second", row.per_second}};
    if (row.percent_of_raw) fields["percent_of_raw"] = *row.percent_of_raw;
    results.push_back(std::move(fields));
  }
  Json links = Json::array();
  for (const auto& [jobs, rate] : report.link_rate_by_jobs) links.push_back({{"jobs", jobs}, {"per_second", rate}});
  return {{"dir", dir},
          {"file_system", report.file_system},
          {"jobs", report.jobs},
          {"rounds", report.rounds},
          {"results", std::move(results)},
          {"links_by_jobs", std::move(links)},
          {"missing", report.missing},
          {"recommended", {{"backend", word_for(report.backend)}, {"jobs", report.best_jobs}}},
          {"saved", saved}};
}

const Row* find_row(const Report& report, measure::Work work, Way way) {
  for (const Row& row : report.rows)
    if (row.work == work && row.way == way) return &row;
  return nullptr;
}

std::string text_of(const std::string& dir, const Report& report) {
  using enum Table::Align;
  Table table({{"WORK"}, {"RAW", right}, {"SYSCALL", right}, {"OF RAW", right}, {"URING", right}, {"OF RAW", right}});
  for (const measure::Work work : measure::kAllWorks) {
    const Row* const raw = find_row(report, work, Way::raw);
    if (raw == nullptr) continue;
    std::vector<std::string> cells = {std::string(measure::name_of(work)), human_rate(raw->per_second)};
    for (const Way way : {Way::syscall, Way::uring}) {
      const Row* const row = find_row(report, work, way);
      cells.push_back(row == nullptr ? "-" : human_rate(row->per_second));
      cells.push_back(row == nullptr ? "-" : fixed(*row->percent_of_raw, 0) + " %");
    }
    table.add(std::move(cells));
  }
  std::string text = safe_line(dir) + " on " + report.file_system + ", " + counted(report.jobs, "thread") +
                     " (files per second, entries for walk; warm; median of " + counted(report.rounds, "round") +
                     ")\n\n" + table.text() + "\n";
  for (const std::string& line : report.missing) text += "not here: " + safe_line(line) + "\n";
  text += "links by threads:";
  for (const auto& [jobs, rate] : report.link_rate_by_jobs)
    text += "  " + std::to_string(jobs) + ": " + human_rate(rate);
  return text + "\n\nrecommended: --backend " + word_for(report.backend) + " --jobs " +
         std::to_string(report.best_jobs) + (jobs_to_set(report) ? "" : " (all CPUs, the default)") + "\n";
}

Result<std::string> save(Session& session, const Report& report) {
  std::string path = session.options.config;
  if (path.empty()) {
    TRY(Store::open_or_create(session.options.paths));  // the file's directory is part of it
    path = session.options.paths.etc + "/vskel/vskel.toml";
  }
  TRY(save_settings(path, {report.file_system, word_for(report.backend), jobs_to_set(report)}));
  return path;
}

Result<ExitStatus> bench(Session& session, const BenchOptions& options) {
  const std::string dir = options.dir.empty() ? session.options.paths.vservers : options.dir;
  auto where = sys::open_root(dir);
  if (!where) {
    if (where.error().code == ENOENT) return refuse("bench", dir, "no such directory; --dir names another");
    return std::unexpected(std::move(where).error());
  }
  if (session.dry_run()) {
    session.output.document({{"dir", dir}, {"dry_run", true}});
    session.output.text("would measure in " + safe_line(dir) + ", in a directory that is removed again\n");
    return ExitStatus::done;
  }
  EngineOptions engine = session.engine();
  measure::Request request;
  request.jobs = engine.jobs;
  request.progress = engine.progress;
  request.give_up = &give_up;
  const auto measured = [&] {
    const Interruptible interruptible;
    const auto bar = session.show_progress();
    return measure::measure_host(*where, request);
  }();
  const Report& report = TRY(measured);
  const std::string saved = options.save ? TRY(save(session, report)) : "";
  session.output.document(fields_of(dir, report, saved));
  session.output.text(text_of(dir, report));
  if (!saved.empty()) session.output.text("written to " + safe_line(saved) + "\n");
  return ExitStatus::done;
}

}  // namespace

Action bench_command(CLI::App& command) {
  auto options = std::make_shared<BenchOptions>();
  command
      .add_option("--dir", options->dir, "Where to measure: a directory on the file system in question [--vservers]")
      ->type_name("DIR");
  command.add_flag("--save", options->save, "Write the recommended settings to the configuration file");
  return [options](Session& session) { return bench(session, *options); };
}

}  // namespace vskel::cli
