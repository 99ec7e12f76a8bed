// Running one program of the administrator's, with nothing of ours in its hands.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "engine/sys/error.h"
#include "engine/sys/fd.h"

namespace vskel::sys {

struct ChildSpec {
  const Fd* program = nullptr;                ///< open for reading: a binary, or a script with its #! line; what was checked is what runs
  std::vector<std::string> arguments;         ///< argv, the program's name first
  std::vector<std::string> environment;       ///< NAME=VALUE, and nothing else
  const DirFd* working_directory = nullptr;
  std::chrono::seconds timeout{60};
  std::size_t most_output = 1 << 20;          ///< bytes of stdout and stderr that are kept; the rest is read and dropped
  std::size_t most_message = 64 * 1024;       ///< bytes of descriptor 3 that are kept
};

struct ChildOutcome {
  int exit_status = -1;  ///< of a program that ended by itself
  int signal = 0;        ///< that killed it
  bool timed_out = false;
  std::string output;    ///< stdout and stderr, in the order in which they came
  std::string message;   ///< what was written to descriptor 3
};

/// Runs the program to its end: standard input from /dev/null, standard output and error into one pipe, descriptor 3 into another, descriptor 4 the program
/// itself (an interpreter reads its script there), all others closed; default signals, umask 022, a process group of its own, killed whole at the
/// time limit and when the program has ended (what it left in the background). Thread-safe.
[[nodiscard]] Result<ChildOutcome> run_child(const ChildSpec& spec);

/// The file that `name` in `dir` leads to, for execution, or the reason why it must not be run: every directory above it, every symlink on the way and the file itself
/// must be root's and writable by nobody else.
[[nodiscard]] Result<Fd> open_trusted_program(const DirFd& dir, Name name);

}  // namespace vskel::sys
