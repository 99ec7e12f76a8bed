// Actions are changed when the first deferral begins and the last ends, not by a handler that looks at a counter: the
// kernel takes a signal's action and begins a stop, or the end, under one lock (kernel/signal.c: get_signal), so that
// none begins after sigaction(2) has come back.

#include "engine/sys/stopping.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <string>

namespace vskel::sys {

namespace {

using Handler = void (*)(int);

constexpr std::array kEnding{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

std::atomic<int> ending{0};
std::atomic<bool> pausing{false};
std::atomic<unsigned> overruled{0};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free, "handlers set them");

void note_ending(int signal) {
  int none = 0;
  ending.compare_exchange_strong(none, signal);
}

void note_pause(int) { pausing = true; }

/// Only where it has the action that it is thought to have.
void change_action(int signal, Handler from, Handler to) {
  struct sigaction now {};
  if (::sigaction(signal, nullptr, &now) != 0 || now.sa_handler != from) return;
  struct sigaction next {};
  next.sa_handler = to;
  next.sa_flags = SA_RESTART;
  ::sigaction(signal, &next, nullptr);
}

/// How many deferrals of one kind live.
struct Lives {
  std::mutex mutex;
  unsigned count = 0;
};
Lives unfinished, unpausable;

const char* name_of(int signal) {
  switch (signal) {
    case SIGHUP:
      return "SIGHUP";
    case SIGINT:
      return "SIGINT";
    case SIGQUIT:
      return "SIGQUIT";
    default:
      return "SIGTERM";
  }
}

}  // namespace

void Ending::begin() {
  const std::scoped_lock lock(unfinished.mutex);
  if (unfinished.count++ != 0) return;
  for (const int signal : kEnding) change_action(signal, SIG_DFL, note_ending);
}

void Ending::end() {
  const std::scoped_lock lock(unfinished.mutex);
  if (--unfinished.count != 0) return;
  for (const int signal : kEnding) change_action(signal, note_ending, SIG_DFL);
}

void Pausing::begin() {
  const std::scoped_lock lock(unpausable.mutex);
  if (unpausable.count++ != 0) return;
  change_action(SIGTSTP, SIG_DFL, note_pause);
  // Ignored, it lets us write; with a handler the write would be begun again and again (drivers/tty/tty_jobctrl.c).
  change_action(SIGTTOU, SIG_DFL, SIG_IGN);
}

void Pausing::end() {
  const std::scoped_lock lock(unpausable.mutex);
  if (--unpausable.count != 0) return;
  change_action(SIGTSTP, note_pause, SIG_DFL);
  change_action(SIGTTOU, SIG_IGN, SIG_DFL);
  if (pausing.exchange(false)) ::kill(::getpid(), SIGTSTP);
}

void Heeding::begin() { ++overruled; }
void Heeding::end() { --overruled; }

Result<> may_go_on() {
  const int signal = ending.load(std::memory_order_relaxed);
  if (signal == 0 || overruled.load(std::memory_order_relaxed) != 0) [[likely]]
    return {};
  return std::unexpected(Error{"go on", "", ECANCELED, std::string("stopped by ") + name_of(signal)});
}

bool ends_are_noted() {
  const std::scoped_lock lock(unfinished.mutex);
  return unfinished.count != 0;
}

int noted_signal() { return ending; }

bool pause_noted() { return pausing; }

bool is_unpausable() {
  const std::scoped_lock lock(unpausable.mutex);
  return unpausable.count != 0;
}


void end_by(int signal) {
  ::signal(signal, SIG_DFL);
  ::kill(::getpid(), signal);
}

}  // namespace vskel::sys
