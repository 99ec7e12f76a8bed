#include "engine/issue/executor.h"

namespace vskel {

Result<std::unique_ptr<Executor>> make_executor(Backend backend) {
  if (backend == Backend::uring) return refuse("choose backend", "uring", "not in this build; use auto or syscall");
  return make_syscall_executor();
}

}  // namespace vskel
