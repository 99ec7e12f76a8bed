// The primitives of the engine, each done to a whole sample in one of three ways: by the bare loop of its system calls
// (the roofline), by the engine with system calls, by the engine with io_uring.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "engine/measure/sample.h"

namespace vskel::measure {

enum class Work { walk, stat, link, copy, clone, seal, hash, compare, replace };
inline constexpr std::array kAllWorks{Work::walk, Work::stat,    Work::link,    Work::copy, Work::clone,
                                      Work::seal, Work::compare, Work::replace, Work::hash};
[[nodiscard]] std::string_view name_of(Work work);

enum class Way { raw, syscall, uring };
inline constexpr std::array kAllWays{Way::raw, Way::syscall, Way::uring};
[[nodiscard]] std::string_view name_of(Way way);

/// False where the ring has no opcode for anything of it.
[[nodiscard]] bool has_way(Work work, Way way);

/// One pass over the sample.
struct Pass {
  double seconds;          ///< of the work alone
  std::size_t operations;  ///< entries of a walk, files of all others
  [[nodiscard]] double rate() const { return static_cast<double>(operations) / seconds; }
};

/// Does `work` once, on `threads` threads, each taking directories until there are none. What it needs is made before,
/// what it leaves is removed after; neither is timed. Errors are those of the calls: EOPNOTSUPP where the file system
/// has no clones or no flags, and those of sys::Ring::open() for Way::uring.
[[nodiscard]] Result<Pass> measure_once(const Sample& sample, Work work, Way way, unsigned threads);

/// Whether an error of measure_once() says that the thing itself is not to be had here.
[[nodiscard]] bool says_unsupported(const Error& error);

}  // namespace vskel::measure
