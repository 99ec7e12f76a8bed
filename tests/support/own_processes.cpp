#include "tests/support/own_processes.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace vskel::test {

namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/// Waits for `child`, and for all whom their parents left behind, and ends as it did.
[[noreturn]] void end_with(pid_t child) {
  int status = 0;
  for (pid_t ended = 0; ended != child;) {
    ended = ::wait(&status);
    if (ended < 0 && errno != EINTR) ::_exit(1);
  }
  constexpr int kBySignal = 128;
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : kBySignal + WTERMSIG(status));
}

/// In a child, that dies with its parent; the parent never comes back.
void go_on_in_child() {
  const pid_t child = ::fork();
  if (child < 0) fail("fork");
  if (child > 0) end_with(child);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
}

}  // namespace

void enter_own_processes() {
  if (::geteuid() != 0) return;
  if (::unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) fail("unshare a pid namespace");
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) fail("make mounts private");
  go_on_in_child();
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) fail("mount /proc");
  go_on_in_child();  // the first process of a namespace ignores signals, and has others' children to wait for
}

}  // namespace vskel::test
