// Inside the kernel room: what every wrapper shares. Not for other rooms.
#pragma once

#include <cerrno>
#include <functional>
#include <memory>
#include <string>

#include "engine/sys/error.h"
#include "engine/sys/fd.h"
#include "engine/sys/seam.h"

namespace vskel::sys::detail {

enum class Effect { looks, changes };

/// The error of a call on `name` in `dir` (or on `dir` itself where the name is empty): asks the kernel for the
/// directory's path only now.
[[nodiscard]] std::unexpected<Error> failed(const char* operation, const Fd& dir, const char* name, int code);

/// The path of a descriptor from the root of its mount or of this process, as /proc/self/fd tells; "" if it can't.
[[nodiscard]] std::string path_in_mount(const Fd& fd);

// Of directories in clones of mounts (mount_clone.h):
/// The directory whose clone `fd` was opened in; nullptr for all that is in none.
[[nodiscard]] std::shared_ptr<const DirFd> original_of(const Fd& fd);
/// Whether something was mounted on `name` in `dir` when the clone was made. Costs nothing where there was no mount.
[[nodiscard]] bool is_mounted_over(const Fd& dir, const char* name);
/// The same directory as it stands in its mount: where a path leads to it and programs may run.
[[nodiscard]] Result<DirFd> outside_of_clone(const DirFd& dir);

/// Of an open(2) with O_NONBLOCK that gave EAGAIN, which began to break a lease on the file `name`: `again` opens once
/// more, until the lease is broken. The kernel breaks it after /proc/sys/fs/lease-break-time; all waits of this process
/// together last little longer than that, or whoever has thousands of leases would have us wait for days. Then an error
/// that names the holder.
[[nodiscard]] Result<int> open_past_lease(const Fd& dir, const char* name, const std::function<Result<int>()>& again);

/// What the seam wants in place of the call: Seam::kRun, an errno, or Seam::kPretend.
[[nodiscard]] inline int intercepted(const char* call, Effect effect, const Fd& dir, const char* name) {
  return sys::intercepted(call, effect == Effect::changes, dir.number(), name);
}

/// Runs `call`, which gives -1 and errno on failure, through the seam and past EINTR. `operation` is the word for the
/// user.
template <class Call>
[[nodiscard]] auto attempt(const char* operation, const char* name_of_call, Effect effect, const Fd& dir,
                           const char* name, Call call) -> Result<decltype(call())> {
  if (const int wanted = intercepted(name_of_call, effect, dir, name); wanted != Seam::kRun) [[unlikely]] {
    if (wanted == Seam::kPretend) return decltype(call()){};
    return failed(operation, dir, name, wanted);
  }
  for (;;) {
    const auto value = call();
    if (value >= 0) return value;
    if (errno != EINTR) return failed(operation, dir, name, errno);
  }
}

/// The same for calls whose value says nothing.
template <class Call>
[[nodiscard]] Result<> perform(const char* operation, const char* name_of_call, Effect effect, const Fd& dir,
                               const char* name, Call call) {
  if (auto value = attempt(operation, name_of_call, effect, dir, name, call); !value)
    return std::unexpected(std::move(value).error());
  return {};
}

}  // namespace vskel::sys::detail
