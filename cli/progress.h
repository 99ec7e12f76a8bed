// The progress bar: a thread that looks at the engine's counters ten times a second and draws a line on standard error.
#pragma once

#include <chrono>
#include <string>
#include <thread>

#include "cli/output.h"
#include "engine/model/options.h"

namespace vskel::cli {

/// The bar is drawn while the object lives; gone without a trace after it.
class ProgressBar {
 public:
  /// `progress` outlives the bar, `output` too.
  ProgressBar(Output& output, const Progress& progress);

 private:
  std::jthread thread_;  // stopped and joined by its destructor
};

/// The bar's text: "create-vs [#####.....]  50%  1200/2400  4800/s  ETA 0:00", or without a known total "build-skel
/// 1200  4800/s".
[[nodiscard]] std::string progress_line(const std::string& label, std::uint64_t done, std::uint64_t total,
                                        std::chrono::duration<double> elapsed);

}  // namespace vskel::cli
