// Inside the kernel room: reading /proc by paths of our own making. Nothing of a tenant's stands in them, and what is
// followed is the kernel's magic links only. All of it goes past the seam: how many calls it takes depends on what else
// runs on the machine. All functions are thread-safe.
#pragma once

#include <dirent.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sys/processes.h"

namespace vskel::sys::detail {

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;
/// Null, with the reason in errno, if it can't be opened.
[[nodiscard]] Directory open_listing(const std::string& path);

/// "/proc/PID/WHAT". /proc has a directory for every thread, too, though it lists processes only.
[[nodiscard]] std::string proc(int pid, std::string_view what);
/// nullopt for a name that is no number.
[[nodiscard]] std::optional<int> number_of(const char* name);
/// A file of proc that is one page or less; empty if it is gone.
[[nodiscard]] std::string read_small(const std::string& path);
/// A file of proc of any length.
[[nodiscard]] Result<std::string> read_long(const std::string& path);
/// Whether the error of a read_long() says that the process has ended, or is a zombie.
[[nodiscard]] bool is_gone(const Error& error);

/// What is used of /proc/PID/stat and /proc/PID/task/TID/stat (proc(5)).
struct TaskStat {
  std::string name;
  char state = 'X';
  int parent = 0, group = 0;
  bool of_kernel = false;  ///< a thread of the kernel's own
  std::uint64_t threads = 0, start = 0;
};
[[nodiscard]] std::optional<TaskStat> parse_stat(const std::string& text);
[[nodiscard]] std::optional<TaskStat> stat_of(int pid);

/// Calls `see` with the number of every thread, until it gives false.
template <class See>
void for_each_thread(int pid, See see) {
  const Directory tasks = open_listing(proc(pid, "task"));
  if (tasks == nullptr) return;
  while (const dirent* entry = ::readdir(tasks.get()))
    if (const auto thread = number_of(entry->d_name); thread && !see(*thread)) return;
}

/// A line of /proc/PID/mountinfo.
struct Mount {
  int id = 0, parent = 0;
  MountedTree tree;
  std::string mount_point;
  std::string type, options;  ///< of the file system: "overlay", "rw,lowerdir=/a,upperdir=/b,workdir=/c"
};
/// What is mounted in the mount namespace of a thread, as far as its root reaches. None if it has ended.
[[nodiscard]] Result<std::vector<Mount>> mounts_of(int thread);

/// Whether `path` is `above` or below it, by the names in it.
[[nodiscard]] bool is_below(std::string_view path, std::string_view above);

}  // namespace vskel::sys::detail
