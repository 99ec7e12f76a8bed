// Carries out batches. How the calls are issued is the executor's business; rooms above cannot tell which one runs.
#pragma once

#include <memory>

#include "engine/issue/operation.h"
#include "engine/model/options.h"

namespace vskel {

/// What an executor does when an operation fails.
enum class OnFailure {
  stop,   ///< leave the rest of the batch undone
  go_on,  ///< do the rest, so that every failure is told
};

class Executor {
 public:
  virtual ~Executor() = default;
  /// Carries out `batch`, in the calling task. Thread-safe: many tasks issue at the same time, for different
  /// directories.
  [[nodiscard]] virtual Results issue(const Batch& batch, OnFailure on_failure) = 0;
};

/// Plain system calls, one after the other, in the calling task.
[[nodiscard]] std::unique_ptr<Executor> make_syscall_executor();

/// The executor for `backend`: `automatic` and `syscall` are system calls; `uring` is refused where this build or
/// kernel has none.
[[nodiscard]] Result<std::unique_ptr<Executor>> make_executor(Backend backend);

}  // namespace vskel
