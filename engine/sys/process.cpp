#include "engine/sys/process.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "engine/sys/call.h"
#include "engine/sys/kernel.h"

namespace vskel::sys {

namespace {

constexpr int kMessage = 3, kProgram = 4, kFirstClosed = 5;
constexpr std::uint32_t kWritableByOthers = 022;

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail("make pipe", "", errno);
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

/// What the child does between fork and exec. Only async-signal-safe calls: other threads of the parent may hold any lock.
struct Launch {
  int program, directory, output, message, null;
  char* const* arguments;
  char* const* environment;

  [[noreturn]] void go() const {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // Copies above all targets first, so that no dup2 lands on a source.
    constexpr int kAside = 64;
    const int in = ::fcntl(null, F_DUPFD, kAside), out = ::fcntl(output, F_DUPFD, kAside), note = ::fcntl(message, F_DUPFD, kAside);
    const int self = ::fcntl(program, F_DUPFD, kAside), dir = ::fcntl(directory, F_DUPFD, kAside);
    if (::fchdir(dir) != 0) ::_exit(127);
    ::dup2(in, 0);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::dup2(note, kMessage);
    ::dup2(self, kProgram);
    ::syscall(SYS_close_range, kFirstClosed, ~0U, 0);
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::umask(022);
    // Not CLOEXEC: the kernel hands a script to its interpreter as /proc/self/fd/4, which must still be open then.
    ::execve("/proc/self/fd/4", arguments, environment);
    ::_exit(127);
  }
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& text : strings) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

/// Reads once; what exceeds `most` is dropped. false at the end.
bool drain(const Fd& from, std::string& into, std::size_t most) {
  std::array<char, 16384> buffer{};
  const ssize_t got = ::read(from.number(), buffer.data(), buffer.size());
  if (got <= 0) return got < 0 && errno == EINTR;
  into.append(buffer.data(), std::min(static_cast<std::size_t>(got), most - std::min(most, into.size())));
  return true;
}

/// Reads both pipes until the program ends, or the time does. A daemon that keeps the pipes open holds nobody up: the end of the program is the end.
void watch(const ChildSpec& spec, int pid, const Fd& pid_fd, Fd output, Fd message, ChildOutcome& outcome) {
  const auto deadline = std::chrono::steady_clock::now() + spec.timeout;
  for (;;) {
    std::array<pollfd, 3> waits{{{pid_fd.number(), POLLIN, 0}, {output.number(), POLLIN, 0}, {message.number(), POLLIN, 0}}};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    const int ready = left <= 0 ? 0 : ::poll(waits.data(), waits.size(), static_cast<int>(left) + 1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      outcome.timed_out = true;
      ::kill(-pid, SIGKILL);
      ::kill(pid, SIGKILL);
      return;
    }
    if (waits[1].revents != 0 && !drain(output, outcome.output, spec.most_output)) output = Fd();
    if (waits[2].revents != 0 && !drain(message, outcome.message, spec.most_message)) message = Fd();
    const bool more = (waits[1].revents & POLLIN) != 0 || (waits[2].revents & POLLIN) != 0;
    if (waits[0].revents != 0 && !more) return;
  }
}

}  // namespace

Result<ChildOutcome> run_child(const ChildSpec& spec) {
  Pipe output = TRY(make_pipe()), message = TRY(make_pipe());
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null.open()) return fail("open", "/dev/null", errno);
  const std::vector<char*> arguments = pointers(spec.arguments), environment = pointers(spec.environment);
  const Launch launch{spec.program->number(), spec.working_directory->number(), output.write.number(), message.write.number(), null.number(), arguments.data(), environment.data()};
  const int pid = ::fork();
  if (pid < 0) return fail("fork", "", errno);
  if (pid == 0) launch.go();
  ::setpgid(pid, pid);
  const Fd pid_fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  output.write = Fd();
  message.write = Fd();
  ChildOutcome outcome;
  watch(spec, pid, pid_fd, std::move(output.read), std::move(message.read), outcome);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  ::kill(-pid, SIGKILL);
  if (WIFEXITED(status)) outcome.exit_status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
  return outcome;
}

Result<Fd> open_trusted_program(const DirFd& dir, Name name) {
  const std::string path = path_of(dir) + "/" + std::string(name.view());
  std::array<char, PATH_MAX> resolved{};
  if (::realpath(path.c_str(), resolved.data()) == nullptr) return fail("open plugin", path, errno);
  const auto check = [&](const std::string& at) -> Result<> {
    struct stat what {};
    if (::lstat(at.c_str(), &what) != 0) return fail("open plugin", at, errno);
    const bool link = S_ISLNK(what.st_mode);
    if (what.st_uid != 0) return fail("open plugin", at, "not root's");
    // In a sticky directory others can't replace what is root's (unlink(2), EPERM).
    const bool sticky = S_ISDIR(what.st_mode) && (what.st_mode & S_ISVTX) != 0;
    if (!link && !sticky && (what.st_mode & kWritableByOthers) != 0) return fail("open plugin", at, "writable by others");
    return {};
  };
  for (const std::string& chain : {path, std::string(resolved.data())})
    for (std::size_t slash = chain.find('/', 1);; slash = chain.find('/', slash + 1)) {
      TRY(check(chain.substr(0, slash)));
      if (slash == chain.npos) break;
    }
  Fd file(::open(resolved.data(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file.open()) return fail("open plugin", path, errno);
  struct stat what {};
  if (::fstat(file.number(), &what) != 0) return fail("open plugin", path, errno);
  if (!S_ISREG(what.st_mode)) return fail("open plugin", path, "not a regular file");
  if (what.st_uid != 0 || (what.st_mode & kWritableByOthers) != 0) return fail("open plugin", path, "writable by others");
  if ((what.st_mode & (S_ISUID | S_ISGID)) != 0) return fail("open plugin", path, "has a set-id bit");
  if ((what.st_mode & 0111) == 0) return fail("open plugin", path, "not executable");
  return file;
}

}  // namespace vskel::sys
