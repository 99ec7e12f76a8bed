// The guard: programs of ours in the kernel (guard.bpf.c) that refuse every change of a sealed inode, and let its names
// be made, moved and removed. What is sealed stands in a map of theirs.
//
// Programs and map live in the kernel, pinned in /sys/fs/bpf/vskel (directory 0700): they outlive the process that
// loaded them and end with the kernel, or by unload(). They need Linux 5.7 or newer with CONFIG_BPF_LSM, "bpf" among
// the security modules that run (/sys/kernel/security/lsm), and types (/sys/kernel/btf/vmlinux).
//
// This folder alone knows libbpf. Built without it (CMake: VSKEL_GUARD), nothing is ever loaded, and why_not() says so.
//
// A key is device, inode number and generation (key.h): one inode on ext4, XFS and tmpfs. btrfs has a device number for
// every subvolume that its inodes in the kernel don't tell; it is refused by name. An inode that is deleted takes its
// key along.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sys/error.h"
#include "engine/sys/kernel.h"

namespace vskel {

/// What is sealed, in the kernel. Thread-safe: the kernel's map is.
class Guard {
 public:
  /// The guard that is loaded; nullptr if none is. Looked for once: who loads or unloads it in this process asks no
  /// more. Never an error but of a kernel that fails in other ways than by having none.
  [[nodiscard]] static Result<const Guard*> loaded();

  /// From now on nobody can change this inode, nor open it to. Content if it is in already.
  [[nodiscard]] Result<> add(const sys::Identity& inode) const;
  /// Content if it is not in.
  [[nodiscard]] Result<> remove(const sys::Identity& inode) const;
  [[nodiscard]] Result<bool> holds(const sys::Identity& inode) const;
  /// add(), but for inode flags, which may be changed until add(): to take an older seal off under the new one.
  [[nodiscard]] Result<> add_with_flags_open(const sys::Identity& inode) const;
  /// How many inodes are sealed. Asks the kernel for each.
  [[nodiscard]] Result<std::uint64_t> count() const;

 private:
  friend class GuardLoader;
  explicit Guard(Fd map) : map_(std::move(map)) {}
  Fd map_;
};

/// What one hook of the kernel has refused since the guard was first loaded.
struct GuardHook {
  std::string_view name;  ///< "open", "setattr", "setxattr", "removexattr", "set_acl", "remove_acl", "ioctl" ...
  bool on = false;        ///< our program is attached
  std::string_view why_off;
  std::uint64_t refused = 0;
};

/// Whether and how the guard could run here, and what it has done.
struct GuardState {
  bool loaded = false;
  std::string why_not;           ///< "": this kernel can; else one line
  std::vector<GuardHook> hooks;  ///< empty unless loaded
  std::uint64_t inodes = 0;
};
[[nodiscard]] Result<GuardState> guard_state();

/// Whether a file system of sealed inodes can give a file the blocks of another. What refuses that is asked at every
/// read and write on the machine: it is loaded where it is needed, and stays where it is.
enum class SharedBlocks { none, possible };
[[nodiscard]] SharedBlocks shared_blocks_of(const sys::FileSystem& file_system);

/// Loads the programs and attaches them. A guard that is loaded is replaced by this program's, keeps what it holds, and
/// no moment is without one. `fill` puts in what is to be sealed, before the first program is attached. An error says
/// in one line why the kernel can't; then all is as before.
[[nodiscard]] Result<> load_guard(SharedBlocks blocks, const std::function<Result<>(const Guard&)>& fill);

/// Detaches the programs; what was sealed is open from now on. Content if none is loaded.
[[nodiscard]] Result<> unload_guard();

}  // namespace vskel
