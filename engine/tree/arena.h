// The threads of one command.
#pragma once

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <cstddef>
#include <utility>

namespace vskel {

/// Runs work on a number of threads, the caller's among them. Not thread-safe itself.
class Arena {
 public:
  /// `threads` may be more than there are CPUs, so that more reads are under way.
  explicit Arena(int threads) : most_(tbb::global_control::max_allowed_parallelism, kMost), arena_(threads) {}
  /// Starts the threads now, and not with the first work.
  void initialize() { arena_.initialize(); }
  /// What `work` gives. Tasks that it starts run in this arena.
  template <class Work>
  decltype(auto) execute(Work&& work) {
    return arena_.execute(std::forward<Work>(work));
  }

 private:
  /// oneTBB has no more threads than CPUs but where it is told (global_control.h), and of several that tell it the
  /// least counts. Threads are started when an arena has work for them.
  static constexpr std::size_t kMost = 1024;
  tbb::global_control most_;
  tbb::task_arena arena_;
};

}  // namespace vskel
