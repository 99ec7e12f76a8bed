// What every command of the engine is told besides its own request.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/model/sharing.h"
#include "engine/sys/kernel.h"

namespace vskel {

enum class Backend { automatic, syscall, uring };
enum class DryRun { no, yes };

/// Counters that a progress display reads while the engine works. One writer at a time per counter is not required:
/// relaxed atomics.
struct Progress {
  std::atomic<std::uint64_t> done{0};   ///< entries finished
  std::atomic<std::uint64_t> total{0};  ///< entries expected; 0: unknown
};

struct EngineOptions {
  unsigned jobs = 0;  ///< worker threads; 0: the CPUs that this process may use
  Backend backend = Backend::automatic;
  std::map<std::string, Backend> measured_backends;  ///< by type of file system ("ext4"): what `automatic` means there
  DryRun dry_run = DryRun::no;
  sys::Wait wait = sys::Wait::yes;               ///< for locks; no: --no-wait
  Quiesce quiesce = Quiesce::refuse;             ///< while seals are lifted
  std::vector<std::string> trusted;              ///< control groups that nobody is refused for (suspects.h)
  Progress* progress = nullptr;                  ///< may be null; owned by the caller
  std::function<void(const std::string&)> say;   ///< one line for -v; may be empty; called from one thread at a time
  std::function<void(const std::string&)> warn;  ///< one line for the user; may be empty
};

/// How many threads are to work.
[[nodiscard]] inline int workers(const EngineOptions& options) {
  return static_cast<int>(options.jobs == 0 ? sys::usable_cpus() : options.jobs);
}

/// How many threads are to read and change nothing. On a cold cache each waits for the disk, which serves several at
/// once (eight Debian roots compared, ext4: 5.3 s with two threads, 4.2 s with eight); on a warm one they cost nothing.
/// Writers would only wait for each other's locks.
[[nodiscard]] inline int readers(const EngineOptions& options) {
  constexpr unsigned kReadersPerCpu = 4;
  return static_cast<int>(options.jobs == 0 ? kReadersPerCpu * sys::usable_cpus() : options.jobs);
}

}  // namespace vskel
