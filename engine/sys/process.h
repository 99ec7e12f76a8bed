// Running one program of the administrator's, with nothing of ours in its hands.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "engine/sys/error.h"
#include "engine/sys/fd.h"

namespace vskel::sys {

/// What to run, and how much of it to bear. The pointed-to descriptors must be open and outlive run_child().
struct ChildSpec {
  /// Open for reading: a binary, or a script with its #! line. What was checked is what runs.
  const Fd* program = nullptr;
  std::vector<std::string> arguments;        ///< argv, the program's name first
  std::vector<std::string> environment;      ///< NAME=VALUE, and nothing else
  const DirFd* working_directory = nullptr;  ///< one in a clone of a mount stands for the same in the mount itself
  /// Of mount_without_links(): what the program sees in the place of its working directory, by any path, in a mount
  /// namespace of its own. It is used up. nullptr: the directory as it is mounted.
  const Fd* shown = nullptr;
  std::chrono::seconds timeout{60};
  std::size_t most_output = 1 << 20;     ///< bytes of stdout and stderr that are kept; the rest is read and dropped
  std::size_t most_message = 64 * 1024;  ///< bytes of descriptor 3 that are kept
};

struct ChildOutcome {
  int exit_status = -1;    ///< of a program that ended by itself
  int signal = 0;          ///< that killed it
  bool timed_out = false;  ///< killed by us at the time limit; `signal` is then SIGKILL
  std::string output;      ///< stdout and stderr, in the order in which they came
  std::string message;     ///< what was written to descriptor 3
};

/// Runs the program to its end: standard input from /dev/null, standard output and error into one pipe, descriptor 3
/// into another, all others closed (but a script's own at 4, where its interpreter reads it: $0 is /proc/self/fd/4);
/// default signals, umask 022, no core dumps, a session of its own. Its process group is killed at the time limit, and
/// when the program has ended, so that nothing is left in the background. Dies with the calling thread. An Error means
/// that it did not run (no such interpreter, no process to be had). Needs /proc. Thread-safe.
[[nodiscard]] Result<ChildOutcome> run_child(const ChildSpec& spec);

/// The file that `name` in `dir` leads to, open for run_child(), or the reason why it must not be run: the file, every
/// symbolic link on the way and every directory above any of them must be root's and writable by nobody else (a sticky
/// directory of root's may be: what is root's in it others cannot replace). Set-id files are refused.
[[nodiscard]] Result<Fd> open_trusted_program(const DirFd& dir, Name name);

}  // namespace vskel::sys
