// The counters are only read here, relaxed: a number that is a moment old does no harm. The rate is the average since
// the start, because create-vs does many vservers at once and a momentary rate says more of the kernel's write-back
// than of the work.

#include "cli/progress.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdio>
#include <mutex>

namespace vskel::cli {

namespace {

void draw_until_stopped(const std::stop_token& stop, Output& output, const Progress& progress) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  while (!wake.wait_for(lock, stop, std::chrono::milliseconds(100), [&] { return stop.stop_requested(); })) {
    const std::uint64_t done = progress.done.load(std::memory_order_relaxed);
    const std::uint64_t total = progress.total.load(std::memory_order_relaxed);
    if (done > 0 || total > 0) output.status(progress_line(output.command(), done, total, Clock::now() - start));
  }
  output.status("");
}

}  // namespace

ProgressBar::ProgressBar(Output& output, const Progress& progress)
    : thread_([&output, &progress](const std::stop_token& stop) { draw_until_stopped(stop, output, progress); }) {}

std::string progress_line(const std::string& label, std::uint64_t done, std::uint64_t total,
                          std::chrono::duration<double> elapsed) {
  const double rate = elapsed.count() > 0 ? static_cast<double>(done) / elapsed.count() : 0;
  std::array<char, 64> numbers{};
  if (total == 0) {
    std::snprintf(numbers.data(), numbers.size(), "  %llu  %.0f/s", static_cast<unsigned long long>(done), rate);
    return label + numbers.data();
  }
  constexpr std::size_t kWidth = 24;
  const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<std::size_t>(part * kWidth);
  std::snprintf(numbers.data(), numbers.size(), " %3.0f%%  %llu/%llu  %.0f/s", part * 100,
                static_cast<unsigned long long>(done), static_cast<unsigned long long>(total), rate);
  std::string line = label + " [" + std::string(filled, '#') + std::string(kWidth - filled, '.') + "]" + numbers.data();
  if (done == 0 || done > total) return line;
  const auto left = static_cast<unsigned long long>(static_cast<double>(total - done) / rate + 0.5);
  std::snprintf(numbers.data(), numbers.size(), "  ETA %llu:%02llu", left / 60, left % 60);
  return line + numbers.data();
}

}  // namespace vskel::cli
