// The system-call executor: the operations of a batch as plain calls, in the task that planned them.
//
// linkat, mkdirat and symlinkat take the lock of the parent directory, so that one task for one directory is all the
// parallelism there is to have inside it; other directories are other tasks'.

#include "engine/issue/executor.h"
#include "engine/issue/one_operation.h"

namespace vskel {

namespace {

class SyscallExecutor final : public Executor {
 public:
  Results issue(const Batch& batch, OnFailure on_failure) override {
    Results results;
    for (std::size_t at = 0; at < batch.operations.size(); ++at) {
      auto done = issue_one(batch.operations[at], *batch.directory);
      if (done) continue;
      results.failures.push_back({at, std::move(done).error()});
      if (on_failure == OnFailure::stop) break;
    }
    return results;
  }
};

}  // namespace

std::unique_ptr<Executor> make_syscall_executor() { return std::make_unique<SyscallExecutor>(); }

}  // namespace vskel
