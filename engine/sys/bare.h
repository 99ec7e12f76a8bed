// The kernel's own rate: loops of the calls that an operation cannot do without, over names already in memory, with
// nothing around them. What the engine does is measured beside these (the roofline), and nothing else uses them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/sys/fd.h"

namespace vskel::sys::bare {

// Each works on all `names` in order and gives 0, or the errno of the first call that failed.

/// openat, getdents64 to the end, close of `name` in `dir`.
[[nodiscard]] int list(const DirFd& dir, Name name);
[[nodiscard]] int stat(const DirFd& dir, std::span<const Name> names);
[[nodiscard]] int link(const DirFd& source, const DirFd& target, std::span<const Name> names);
/// Create, write `content`, set the times, close.
[[nodiscard]] int copy(const DirFd& target, std::span<const Name> names, std::span<const std::byte> content);
/// Open, create, FICLONE, set the times, close both.
[[nodiscard]] int clone(const DirFd& source, const DirFd& target, std::span<const Name> names);
/// Sets the immutable flag and takes it away again: by file_setattr(2), else by open, ioctl, close.
[[nodiscard]] int seal(const DirFd& dir, std::span<const Name> names);
/// Open, read to `buffer`, close.
[[nodiscard]] int read(const DirFd& dir, std::span<const Name> names, std::span<std::byte> buffer);
/// Each link into `stage`, exchange with the name in `target`, unlink of what came out.
[[nodiscard]] int replace(const DirFd& source, const DirFd& stage, const DirFd& target, std::span<const Name> names);

}  // namespace vskel::sys::bare
