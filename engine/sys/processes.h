// Processes of this pid namespace, as /proc tells of them: who they are, what tree they live in, and holding them
// still. What has gone meanwhile is left out or said to be gone, never an error. All functions are thread-safe.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/sys/error.h"
#include "engine/sys/fd.h"

namespace vskel::sys {

/// One inode among all.
struct FileId {
  std::uint64_t device = 0, inode = 0;
  friend auto operator<=>(const FileId&, const FileId&) = default;
};

/// One process among all since boot: a number alone is given to another one day.
struct ProcessId {
  int pid = 0;
  std::uint64_t start = 0;  ///< clock ticks after boot (proc(5), starttime)
  friend auto operator<=>(const ProcessId&, const ProcessId&) = default;
};

/// What a thread sees: threads of one process may differ (CLONE_FS, unshare(2)).
struct ThreadView {
  FileId root;  ///< its root directory
  std::uint64_t mount_namespace = 0;
  int thread = 0;  ///< number of one that sees this
};

struct RunningProcess {
  ProcessId id;
  int parent = 0;
  std::string name;  ///< as it calls itself, 15 bytes at most
  std::uint64_t pid_namespace = 0;
  bool hidden = false;            ///< it may not be looked at (ptrace(2)): views and namespace are not known
  std::vector<ThreadView> views;  ///< each root in each namespace once
};

/// "nginx (4711)", printable.
[[nodiscard]] std::string words_for(const RunningProcess& process);
/// An error that says what to do where /proc is not mounted, or shows a pid namespace that this process is not in:
/// nothing works without.
[[nodiscard]] Result<> require_proc();
/// This process.
[[nodiscard]] int own_pid();
/// Every process. One whose first thread has ended while others go on is there, too.
[[nodiscard]] Result<std::vector<RunningProcess>> running_processes();

/// The root directory `root` of a thread of process `pid` and the directories above it, from below, as far as the root
/// of its mount tree or of this process's. Empty if no thread has that root any more.
[[nodiscard]] Result<std::vector<FileId>> directories_up_from(int pid, FileId root);

/// A tree of a file system that is mounted somewhere. Two that stand for one file system have the same device here,
/// which is not always what stat(2) says (btrfs).
struct MountedTree {
  std::uint64_t device = 0;
  std::string root;  ///< path within the file system: "/" or "/vservers/web1"
  /// Whether the tree holds all or a part of what is at or below `other`.
  [[nodiscard]] bool is_within(const MountedTree& other) const;
};
/// What is mounted in the mount namespace of a thread.
[[nodiscard]] Result<std::vector<MountedTree>> mounted_trees(int thread);
/// Where a directory stands within its file system; nullopt if this process has no mount that says so.
[[nodiscard]] Result<std::optional<MountedTree>> place_in_file_system(const DirFd& dir);

/// Where something is mounted in this process's mount namespace, on the mount by which `dir` was opened: paths below
/// `dir`, each once.
[[nodiscard]] Result<std::vector<std::string>> mount_points_below(const DirFd& dir);

enum class RunState { running, stopped, gone };
/// Whether any thread of it may run. A process that a signal or a tracer stopped does not, nor a zombie.
[[nodiscard]] RunState state_of(const ProcessId& process);
/// SIGSTOP, which no process can ignore, a container's first process neither if its namespace is below ours
/// (pid_namespaces(7)). It takes effect later: see state_of(). What is gone is no error.
[[nodiscard]] Result<> stop_process(const ProcessId& process);
[[nodiscard]] Result<> continue_process(const ProcessId& process);

/// Inode numbers of all files that a process has mapped (/proc/PID/maps: programs and libraries, those that were
/// deleted too). Empty for a process that is gone.
[[nodiscard]] Result<std::vector<std::uint64_t>> mapped_inodes(int pid);

/// Who holds lock_exclusive() on the file of `fd`, by the descriptors of all processes (/proc/PID/fdinfo, "lock:"; the
/// kernel names no process for such a lock). nullopt: nobody does by now, or a process of another pid namespace.
[[nodiscard]] Result<std::optional<RunningProcess>> lock_holder(const Fd& fd);

/// Who holds a lease (fcntl(2), F_SETLEASE) on the file of `fd`, found in the same way; this process is not looked at.
/// `fd` may be O_PATH.
[[nodiscard]] Result<std::optional<RunningProcess>> lease_holder(const Fd& fd);

/// Tells one boot of the machine from the next (/proc/sys/kernel/random/boot_id).
[[nodiscard]] Result<std::string> boot_id();

}  // namespace vskel::sys
