#include "engine/issue/executor.h"

namespace vskel {

namespace {

/// What measured faster on this host, else system calls: they were faster or equal on ext4, XFS, btrfs and tmpfs
/// wherever names are made, because a ring hands each of those calls to a kernel thread.
Result<Backend> choose(const EngineOptions& options, const DirFd& where) {
  if (options.backend != Backend::automatic) return options.backend;
  if (options.measured_backends.empty()) return Backend::syscall;
  const auto measured = options.measured_backends.find(TRY(sys::file_system(where)).type);
  return measured == options.measured_backends.end() ? Backend::syscall : measured->second;
}

}  // namespace

Result<std::unique_ptr<Executor>> make_executor(const EngineOptions& options, const DirFd& where) {
  if (TRY(choose(options, where)) != Backend::uring) return make_syscall_executor();
  auto uring = make_uring_executor();
  if (uring) return uring;
  if (options.say) options.say("io_uring is not to be had here, system calls take its place: " + uring.error().line());
  return make_syscall_executor();
}

}  // namespace vskel
