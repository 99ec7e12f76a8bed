// One io_uring: calls are prepared, handed to the kernel together, and waited for together.
//
// What changes names (linkat, symlinkat, mkdirat, unlinkat, renameat, an open that creates) is always done by the
// kernel's io-wq threads (io_uring/fs.c: REQ_F_FORCE_ASYNC), so that a batch is work for several of them and never
// faster than as many threads calling for themselves; what only looks and reads is done in place where it does not
// block. There are no opcodes for getdents, ioctl, copy_file_range, fchown, fchmod, utimensat, mknod.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/sys/kernel.h"

namespace vskel::sys {

/// Not thread-safe, and used by the thread that opened it only (IORING_SETUP_SINGLE_ISSUER). Errors are those of the
/// functions of the same names in kernel.h; names, descriptors and bytes that are given outlive finish(). Every call
/// passes the seam when it is prepared.
class Ring {
 public:
  /// Calls that can be prepared between one finish() and the next.
  static constexpr std::size_t kWindow = 64;

  /// ENOSYS: an old kernel; EPERM: kernel.io_uring_disabled or a seccomp filter; ENOMEM: RLIMIT_MEMLOCK of old kernels.
  [[nodiscard]] static Result<std::unique_ptr<Ring>> open();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();

  [[nodiscard]] std::size_t room() const;

  // Each takes one place of the window: at most room() of them.
  void make_dir(const DirFd& dir, Name name, std::uint32_t mode);
  void make_symlink(const DirFd& dir, Name name, const std::string& target);
  void link(const DirFd& source_dir, Name source, const DirFd& dir, Name name);
  void unlink(const DirFd& dir, Name name);
  void remove_dir(const DirFd& dir, Name name);
  void rename_new(const DirFd& from_dir, Name from, const DirFd& to_dir, Name to);
  void exchange(const DirFd& a_dir, Name a, const DirFd& b_dir, Name b);
  /// The value is the descriptor, the caller's to own.
  void create_file(const DirFd& dir, Name name, std::uint32_t mode);
  /// As open_trusted_file(); the value is the descriptor, the caller's to own.
  void open_trusted_file(const DirFd& dir, Name name);
  /// The value is the number of bytes, which may be fewer than asked for.
  void read(const Fd& file, std::span<std::byte> buffer, std::uint64_t offset);
  void write(const Fd& file, std::span<const std::byte> data, std::uint64_t offset);
  void close(Fd file);
  /// Finds out what stat() does; the value says nothing but that it went well.
  void stat(const DirFd& dir, Name name);

  /// Hands over what was prepared and waits for all of it. One value for each call, in the order of preparation; the
  /// window is empty then. In the rare case that the kernel takes none of them, each has that error.
  [[nodiscard]] std::vector<Result<int>> finish();

 private:
  struct State;
  Ring();
  void* prepare(const char* operation, const char* call, bool changes, const Fd& dir, const char* name);
  std::unique_ptr<State> state_;
};

}  // namespace vskel::sys
