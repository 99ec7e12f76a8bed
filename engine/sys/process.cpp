// Running one program of the administrator's.
//
// The parent has many threads, any of which may hold the lock of malloc or of a stream at the moment of fork(2): the
// child makes system calls only, on memory that was laid out before. How it failed before execve(2), if it did, it says
// through a pipe that a successful execve closes.
//
// The program runs by /proc/self/fd/4, not by its path: what was checked is what runs. A script's interpreter opens
// that name again, so that a script (anything but an ELF file) keeps descriptor 4.

#include "engine/sys/process.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <span>
#include <string_view>

#include "engine/sys/call.h"
#include "engine/sys/kernel.h"

namespace vskel::sys {

namespace {

constexpr int kMessage = 3, kProgram = 4, kTrouble = 5;

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail("make pipe", "", errno);
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

/// What the child does between fork and exec. Only async-signal-safe calls.
struct Launch {
  int parent;
  int program, directory, null, output, message, trouble;  ///< descriptors of the parent's
  int shown;                                               ///< the same, or -1
  int program_flags;                                       ///< for F_SETFD: FD_CLOEXEC if nobody opens it again
  char* const* arguments;
  char* const* environment;

  [[noreturn]] void go() const {
    arrange_descriptors();
    forget_parent();
    ::execve("/proc/self/fd/4", arguments, environment);
    give_up(kTrouble);
  }

 private:
  [[noreturn]] static void give_up(int to) {
    const int code = errno;
    [[maybe_unused]] const auto written = ::write(to, &code, sizeof code);
    ::_exit(127);
  }

  /// Mounts `shown` over the working directory, for this process and its children alone. The working directory goes
  /// along into the new namespace (unshare(2)), so that no path has to lead to it.
  [[nodiscard]] bool show() const {
    if (::unshare(CLONE_NEWNS) != 0) return false;
    const Fd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)), here(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root.open() || !here.open()) return false;
    mount_attr alone{};
    alone.propagation = MS_PRIVATE;
    constexpr unsigned kAll = AT_EMPTY_PATH | AT_RECURSIVE;
    if (::syscall(SYS_mount_setattr, root.number(), "", kAll, &alone, sizeof alone) != 0) return false;
    constexpr unsigned kBoth = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    return ::syscall(SYS_move_mount, shown, "", here.number(), "", kBoth) == 0 && ::fchdir(shown) == 0;
  }

  void arrange_descriptors() const {
    if (::fchdir(directory) != 0 || (shown >= 0 && !show())) give_up(trouble);
    // Copies above all targets first, so that no dup2 lands on what is still needed.
    constexpr int kAside = 16;
    std::array<int, 6> aside{null, output, output, message, program, trouble};
    for (int& number : aside)
      if ((number = ::fcntl(number, F_DUPFD_CLOEXEC, kAside)) < 0) give_up(trouble);
    // dup2 takes CLOEXEC away; the targets are 0, 1, 2, kMessage, kProgram, kTrouble.
    for (int target = 0; target < static_cast<int>(aside.size()); ++target)
      if (::dup2(aside[static_cast<std::size_t>(target)], target) < 0) give_up(aside.back());
    if (::fcntl(kTrouble, F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(kProgram, F_SETFD, program_flags) != 0)
      give_up(kTrouble);
    if (::syscall(SYS_close_range, kTrouble + 1, ~0U, 0) == 0) return;
    rlimit limit{};  // before Linux 5.9
    ::getrlimit(RLIMIT_NOFILE, &limit);
    for (rlim_t number = kTrouble + 1; number < limit.rlim_cur; ++number) ::close(static_cast<int>(number));
  }

  void forget_parent() const {
    ::setsid();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // it died before the prctl
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::umask(022);
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    // engine_start() raised it; programs that use select(2) break above 1024.
    rlimit files{};
    constexpr rlim_t kUsual = 1024;
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = std::min(files.rlim_max, kUsual);
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& text : strings) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

bool is_elf(const Fd& program) {
  std::array<std::byte, 4> magic{};
  const auto got = read_at(program, magic, 0);
  return got && *got == magic.size() && std::string_view(reinterpret_cast<const char*>(magic.data()), 4) == "\177ELF";
}

/// One of the child's pipes, and what came out of it.
struct Channel {
  Fd pipe;
  std::string& text;
  std::size_t most;

  /// Reads once, if poll(2) found something; what exceeds `most` is dropped. At the end the pipe is closed.
  void take(short found) {
    if (found == 0) return;
    std::array<char, 16384> buffer{};
    const ssize_t got = ::read(pipe.number(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) return;
    if (got <= 0) {
      pipe = Fd();
      return;
    }
    text.append(buffer.data(), std::min(static_cast<std::size_t>(got), most - std::min(most, text.size())));
  }
};

enum class End { by_itself, at_the_limit };

/// Reads both channels until the program ends, or the time does. poll(2) passes over negative descriptors.
End watch(const Fd& pid_fd, Channel& output, Channel& message, std::chrono::seconds timeout) {
  using std::chrono::steady_clock;
  const auto deadline = steady_clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    if (left <= 0) return End::at_the_limit;
    std::array<pollfd, 3> waits{
        {{pid_fd.number(), POLLIN, 0}, {output.pipe.number(), POLLIN, 0}, {message.pipe.number(), POLLIN, 0}}};
    if (::poll(waits.data(), waits.size(), static_cast<int>(left)) <= 0) continue;
    if (waits[0].revents != 0) return End::by_itself;
    output.take(waits[1].revents);
    message.take(waits[2].revents);
  }
}

/// Empties the pipes of what is in them by now. A daemon that left the process group may hold them open and write on,
/// so that the end of file is not waited for and the number of reads is bounded (a pipe holds at most 1 MiB: pipe(7)).
void take_the_rest(Channel& output, Channel& message) {
  for (int reads = 0; reads < 64; ++reads) {
    std::array<pollfd, 2> waits{{{output.pipe.number(), POLLIN, 0}, {message.pipe.number(), POLLIN, 0}}};
    if (::poll(waits.data(), waits.size(), 0) <= 0) return;
    output.take(waits[0].revents);
    message.take(waits[1].revents);
  }
}

/// Waits for the child's end, which is near. ECHILD (SIGCHLD ignored: wait(2)) is an error and no exit status 0.
Result<int> reap(int pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return fail("wait for", "process " + std::to_string(pid), errno);
  return status;
}

}  // namespace

Result<ChildOutcome> run_child(const ChildSpec& spec) {
  Pipe output = TRY(make_pipe()), message = TRY(make_pipe()), trouble = TRY(make_pipe());
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null.open()) return fail("open", "/dev/null", errno);
  const DirFd directory = TRY(detail::outside_of_clone(*spec.working_directory));
  const std::vector<char*> arguments = pointers(spec.arguments), environment = pointers(spec.environment);
  const Launch launch{.parent = ::getpid(),
                      .program = spec.program->number(),
                      .directory = directory.number(),
                      .null = null.number(),
                      .output = output.write.number(),
                      .message = message.write.number(),
                      .trouble = trouble.write.number(),
                      .shown = spec.shown != nullptr ? spec.shown->number() : -1,
                      .program_flags = is_elf(*spec.program) ? FD_CLOEXEC : 0,
                      .arguments = arguments.data(),
                      .environment = environment.data()};
  const int pid = ::fork();
  if (pid < 0) return fail("fork", "", errno);
  if (pid == 0) launch.go();
  const Fd pid_fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const int watch_error = pid_fd.open() ? 0 : errno;
  for (Pipe* const pipe : {&output, &message, &trouble}) pipe->write = Fd();
  int launch_error = 0;
  const auto told = read_some(trouble.read, std::as_writable_bytes(std::span(&launch_error, 1)));
  if (watch_error != 0 || !told || *told != 0) {
    ::kill(pid, SIGKILL);
    (void)reap(pid);
    const int read_error = told ? launch_error : told.error().code;
    return fail("run", path_of(*spec.program), watch_error != 0 ? watch_error : read_error);
  }
  ChildOutcome outcome;
  Channel words{std::move(output.read), outcome.output, spec.most_output};
  Channel note{std::move(message.read), outcome.message, spec.most_message};
  outcome.timed_out = watch(pid_fd, words, note, spec.timeout) == End::at_the_limit;
  // Before the child is reaped: until then no other process can have its number, and no other group either.
  ::kill(-pid, SIGKILL);
  take_the_rest(words, note);
  const int status = TRY(reap(pid));
  if (WIFEXITED(status)) outcome.exit_status = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
  return outcome;
}

namespace {

constexpr const char* kOpenProgram = "open program";

/// Resolves a path by itself, one component after another, and looks at each: realpath(3) would say where the links
/// end, but not whose they were on the way.
class TrustedWalk {
 public:
  explicit TrustedWalk(const std::string& path) : path_(path) { put_before(path); }

  Result<Fd> to_program() {
    TRY(enter(Fd(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)), "/"));
    while (!pending_.empty()) {
      const std::string component = std::move(pending_.front());
      pending_.pop_front();
      if (component == "..") {
        if (above_.size() > 1) above_.pop_back();
        continue;
      }
      Fd found(::openat(above_.back().number(), component.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!found.open()) return fail(kOpenProgram, path_, errno);
      const Stat what = TRY(stat(found));
      if (what.type == FileType::symlink) {
        TRY(follow(found, what, component));
      } else if (what.type == FileType::directory) {
        TRY(enter(std::move(found), component));
      } else {
        return program(found, what, component);
      }
    }
    return fail(kOpenProgram, path_, "not a regular file");
  }

 private:
  static constexpr std::uint32_t kWritableByOthers = 022, kSetId = 06000, kSticky = 01000, kExecutable = 0111;
  static constexpr int kMostLinks = 40;  // as the kernel: path_resolution(7)

  [[nodiscard]] std::unexpected<Error> untrusted(const std::string& component, const char* why) const {
    return fail(kOpenProgram, path_, component + " on the way to it " + why);
  }

  void put_before(std::string_view path) {
    std::vector<std::string> components;
    while (!path.empty()) {
      const std::string_view component = path.substr(0, path.find('/'));
      if (!component.empty() && component != ".") components.emplace_back(component);
      path.remove_prefix(std::min(path.size(), component.size() + 1));
    }
    pending_.insert(pending_.begin(), components.begin(), components.end());
  }

  Result<> enter(Fd dir, const std::string& component) {
    if (!dir.open()) return fail(kOpenProgram, path_, errno);
    const Stat what = TRY(stat(dir));
    if (what.uid != 0) return untrusted(component, "is not root's");
    // In a sticky directory others can't replace what is root's: unlink(2), EPERM.
    if ((what.mode & kWritableByOthers) != 0 && (what.mode & kSticky) == 0)
      return untrusted(component, "is writable by others");
    above_.push_back(std::move(dir));
    return {};
  }

  Result<> follow(const Fd& link, const Stat& what, const std::string& component) {
    if (what.uid != 0) return untrusted(component, "is not root's");
    if (++links_ > kMostLinks) return fail(kOpenProgram, path_, ELOOP);
    std::string target(4096, '\0');
    const ssize_t size = ::readlinkat(link.number(), "", target.data(), target.size());
    if (size < 0) return fail(kOpenProgram, path_, errno);
    target.resize(static_cast<std::size_t>(size));
    if (target.starts_with('/')) above_.erase(above_.begin() + 1, above_.end());
    put_before(target);
    return {};
  }

  Result<Fd> program(const Fd& pinned, const Stat& what, const std::string& component) {
    if (!pending_.empty()) return fail(kOpenProgram, path_, ENOTDIR);
    if (what.type != FileType::regular) return fail(kOpenProgram, path_, "not a regular file");
    if (what.uid != 0) return untrusted(component, "is not root's");
    if ((what.mode & kWritableByOthers) != 0) return untrusted(component, "is writable by others");
    if ((what.mode & kSetId) != 0) return fail(kOpenProgram, path_, "has a set-id bit");
    if ((what.mode & kExecutable) == 0) return fail(kOpenProgram, path_, "not executable");
    std::array<char, 32> self{};
    std::snprintf(self.data(), self.size(), "/proc/self/fd/%d", pinned.number());
    Fd file(::open(self.data(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!file.open()) return fail(kOpenProgram, path_, errno);
    return file;
  }

  const std::string& path_;
  std::deque<std::string> pending_;
  std::vector<Fd> above_;  ///< the directories from / to where the walk is
  int links_ = 0;
};

}  // namespace

Result<Fd> open_trusted_program(const DirFd& dir, Name name) {
  const std::string path = path_of(dir) + "/" + std::string(name.view());
  return TrustedWalk(path).to_program();
}

}  // namespace vskel::sys
