// Running a program as a test sees it: arguments in, output, error output and exit status out.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

namespace vskel::test {

/// How a program ended.
struct ProcessResult {
  int code = -1;   ///< exit status; -1 if a signal ended it
  int signal = 0;  ///< the signal that ended it; 0 if none did
  std::string out;
  std::string err;
  std::size_t peak_memory = 0;  ///< the most that it had resident, bytes
};

/// For messages of failed assertions: the status and both outputs.
std::ostream& operator<<(std::ostream& stream, const ProcessResult& result);

struct ProcessOptions {
  std::string input;                               ///< for standard input; at its end the program reads end of file
  std::map<std::string, std::string> environment;  ///< added to the test's own, from which VSKEL_* is taken out
  std::string directory;                           ///< working directory; "" is the test's own
  std::vector<int> missing_calls{};                ///< numbers of system calls that give ENOSYS, as in an older kernel
  std::chrono::seconds limit{120};  ///< after that the program's process group is killed and the result says signal 9
};

/// A program that runs. The destructor kills it if nobody waited.
class Process {
 public:
  /// Starts `arguments[0]`, looked for in PATH. Throws std::system_error if there is no process to be had; a program
  /// that cannot be executed gives code 127.
  explicit Process(const std::vector<std::string>& arguments, const ProcessOptions& options = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  /// Waits for its end. Once only.
  [[nodiscard]] ProcessResult wait();
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1, err_ = -1;
  std::string input_;
  std::chrono::steady_clock::time_point deadline_;
};

/// Starts a program and waits for its end.
[[nodiscard]] ProcessResult run(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

/// Runs a program that must succeed; throws std::runtime_error with its error output if it does not.
std::string run_or_throw(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

/// True if `program` is found in PATH.
[[nodiscard]] bool has_program(const std::string& program);

}  // namespace vskel::test
