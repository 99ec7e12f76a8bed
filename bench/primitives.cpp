// Google Benchmark over the engine's primitives: each work (walk, stat, link, copy, clone, seal, hash, compare,
// replace) by each backend, with 1 to N threads, beside the bare loop of the same system calls (`raw`, the roofline).
//
//   bench_primitives --dir=/vservers --benchmark_filter=link
//
// The bare loop runs again before every pass of a backend, on the same files, so that `of_raw` is a ratio of neighbours
// and not of minutes.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/measure/work.h"

namespace {

using namespace vskel;
using namespace vskel::measure;

void run(benchmark::State& state, const Sample& sample, Work work, Way way, unsigned threads) {
  std::vector<double> of_raw;
  std::size_t operations = 0;
  for (auto unused : state) {
    (void)unused;
    const auto raw = way == Way::raw ? Result<Pass>(Pass{1, 1}) : measure_once(sample, work, Way::raw, threads);
    const auto pass = raw ? measure_once(sample, work, way, threads) : raw;
    if (!pass) {
      state.SkipWithError(pass.error().line().c_str());
      return;
    }
    state.SetIterationTime(pass->seconds);
    operations += pass->operations;
    of_raw.push_back(pass->rate() / raw->rate());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(operations));
  if (way == Way::raw || of_raw.empty()) return;
  std::ranges::sort(of_raw);
  state.counters["of_raw"] = of_raw[of_raw.size() / 2];
}

void register_all(const Sample& sample) {
  std::set<unsigned> thread_counts{sys::usable_cpus()};
  for (unsigned threads = 1; threads < sys::usable_cpus(); threads *= 2) thread_counts.insert(threads);
  for (const Work work : kAllWorks)
    for (const unsigned threads : thread_counts)
      for (const Way way : kAllWays) {
        if (!has_way(work, way)) continue;
        const std::string name =
            std::string(name_of(work)) + "/" + std::string(name_of(way)) + "/threads:" + std::to_string(threads);
        benchmark::RegisterBenchmark(
            name.c_str(),
            [&sample, work, way, threads](benchmark::State& state) { run(state, sample, work, way, threads); })
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
      }
}

}  // namespace

int main(int count, char** arguments) {
  constexpr std::string_view kDirOption = "--dir=";
  std::string dir = ".";
  std::vector<char*> others;
  for (char* const argument : std::span(arguments, static_cast<std::size_t>(count))) {
    if (std::string_view(argument).starts_with(kDirOption))
      dir = argument + kDirOption.size();
    else
      others.push_back(argument);
  }
  int left = static_cast<int>(others.size());
  benchmark::Initialize(&left, others.data());
  if (benchmark::ReportUnrecognizedArguments(left, others.data())) return 2;
  sys::engine_start();
  const auto where = sys::open_root(dir);
  const auto sample = where ? Sample::make(*where) : std::unexpected(where.error());
  if (!sample) {
    std::fprintf(stderr, "bench_primitives: %s\n", sample.error().line().c_str());
    return 1;
  }
  register_all(**sample);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  if (const auto removed = (*sample)->remove(); !removed) {
    std::fprintf(stderr, "bench_primitives: %s\n", removed.error().line().c_str());
    return 1;
  }
}
