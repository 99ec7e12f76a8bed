// A program is started with fork and exec, in its own process group, so that a time limit can end it together with its
// children. One poll loop feeds and drains all three pipes: a program that fills one while we wait on another must not
// hang the test.
#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace vskel::test {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  int read_end = -1, write_end = -1;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
  return {ends[0], ends[1]};
}

void close_if_open(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    if (!name.starts_with("VSKEL_") && !added.contains(name)) all.push_back(text);
  }
  for (const auto& [name, value] : added) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// A seccomp filter that answers ENOSYS to `calls` (seccomp(2)). Of the one architecture that tests are built for.
std::vector<sock_filter> filter_without(const std::vector<int>& calls) {
  std::vector<sock_filter> filter{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const int call : calls) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return filter;
}

bool enter(const sock_fprog& filter) {
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

[[noreturn]] void become(char** arguments, char** environment, const char* directory, std::array<int, 3> standard,
                         const sock_fprog* filter) {
  ::setpgid(0, 0);
  for (int fd = 0; fd < 3; ++fd) ::dup2(standard[static_cast<std::size_t>(fd)], fd);
  if (directory != nullptr && ::chdir(directory) != 0) ::_exit(127);
  if (filter != nullptr && !enter(*filter)) ::_exit(127);
  ::execvpe(arguments[0], arguments, environment);
  ::_exit(127);
}

// False at end of file.
bool drain(int fd, std::string& into) {
  std::array<char, 65536> buffer{};
  const ssize_t got = ::read(fd, buffer.data(), buffer.size());
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  into.append(buffer.data(), static_cast<std::size_t>(got));
  return got > 0;
}

// False when all is written or nobody reads.
bool feed(int fd, std::string& input) {
  const ssize_t put = ::write(fd, input.data(), input.size());
  if (put < 0) return errno == EINTR || errno == EAGAIN;
  input.erase(0, static_cast<std::size_t>(put));
  return !input.empty();
}

}  // namespace

std::ostream& operator<<(std::ostream& stream, const ProcessResult& result) {
  return stream << "code " << result.code << ", signal " << result.signal << "\n--- out\n"
                << result.out << "--- err\n"
                << result.err << "---";
}

Process::Process(const std::vector<std::string>& arguments, const ProcessOptions& options)
    : input_(options.input), deadline_(Clock::now() + options.limit) {
  Pipe in = make_pipe(), out = make_pipe(), err = make_pipe();
  std::vector<std::string> argument_texts = arguments, environment_texts = merged_environment(options.environment);
  const std::vector<char*> argument_pointers = pointers_to(argument_texts);
  const std::vector<char*> environment_pointers = pointers_to(environment_texts);
  const char* directory = options.directory.empty() ? nullptr : options.directory.c_str();
  std::vector<sock_filter> steps = filter_without(options.missing_calls);
  const sock_fprog filter{static_cast<unsigned short>(steps.size()), steps.data()};
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    become(const_cast<char**>(argument_pointers.data()), const_cast<char**>(environment_pointers.data()), directory,
           {in.read_end, out.write_end, err.write_end}, options.missing_calls.empty() ? nullptr : &filter);
  }
  ::setpgid(pid_, pid_);  // also here: whoever comes first, the group is there before anybody kills it
  close_if_open(in.read_end);
  close_if_open(out.write_end);
  close_if_open(err.write_end);
  in_ = in.write_end;
  out_ = out.read_end;
  err_ = err.read_end;
  ::fcntl(in_, F_SETFL, O_NONBLOCK);
  if (input_.empty()) close_if_open(in_);
}

Process::~Process() {
  if (pid_ > 0) {
    ::kill(-pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  close_if_open(in_);
  close_if_open(out_);
  close_if_open(err_);
}

ProcessResult Process::wait() {
  ProcessResult result;
  const auto old_handler = ::signal(SIGPIPE, SIG_IGN);
  while (out_ >= 0 || err_ >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
    if (left <= 0) {
      ::kill(-pid_, SIGKILL);
      break;
    }
    std::array<pollfd, 3> wanted{{{in_, POLLOUT, 0}, {out_, POLLIN, 0}, {err_, POLLIN, 0}}};
    if (::poll(wanted.data(), wanted.size(), static_cast<int>(std::min<decltype(left)>(left, 1000))) < 0) continue;
    if (wanted[0].revents != 0 && !feed(in_, input_)) close_if_open(in_);
    if (wanted[1].revents != 0 && !drain(out_, result.out)) close_if_open(out_);
    if (wanted[2].revents != 0 && !drain(err_, result.err)) close_if_open(err_);
  }
  int status = 0;
  rusage used{};
  while (::wait4(pid_, &status, 0, &used) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  ::signal(SIGPIPE, old_handler);
  result.peak_memory = static_cast<std::size_t>(used.ru_maxrss) * 1024;
  if (WIFEXITED(status)) result.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

ProcessResult run(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  return Process(arguments, options).wait();
}

std::string run_or_throw(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  ProcessResult result = run(arguments, options);
  if (result.code == 0) return std::move(result.out);
  std::ostringstream message;
  for (const std::string& argument : arguments) message << argument << ' ';
  message << ": " << result;
  throw std::runtime_error(message.str());
}

bool has_program(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    if (::access((std::filesystem::path(folder) / program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

}  // namespace vskel::test
