// Carries out batches. How the calls are issued is the executor's business; rooms above cannot tell which one runs.
#pragma once

#include <memory>

#include "engine/issue/operation.h"
#include "engine/model/options.h"

namespace vskel {

/// What an executor does when an operation fails.
enum class OnFailure {
  stop,   ///< leave the rest of the batch undone, but for what was on its way together with it
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

/// A ring for each worker thread, see uring_executor.cpp; an error where the kernel gives none to this thread.
[[nodiscard]] Result<std::unique_ptr<Executor>> make_uring_executor();

/// The executor that `options` ask for; `automatic`: the one that was measured faster on the file system of `where`,
/// else a built-in choice. Where there is no io_uring (kernel.io_uring_disabled, a seccomp filter, an old kernel)
/// system calls take its place, and `options.say` tells.
[[nodiscard]] Result<std::unique_ptr<Executor>> make_executor(const EngineOptions& options, const DirFd& where);

}  // namespace vskel
