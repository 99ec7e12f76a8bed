// Being asked to end, or to stop for a while, in the middle of work that must be brought to an end or be undone first.
//
// While there is something to undo, SIGHUP, SIGINT, SIGQUIT and SIGTERM are only noted. Whoever works asks may_go_on()
// between two steps and gives its error up as any other, so that all is undone in the one way that there is. A second
// signal changes nothing. At all other times they end the process, as they do any. What was ignored when the process
// began (nohup(1)) stays so. SIGSTOP and SIGKILL can't be deferred.
#pragma once

#include <utility>

#include "engine/sys/error.h"

namespace vskel::sys {

/// Counts its lives, of all threads together. Move-only.
template <class Of>
class Deferral {
 public:
  Deferral() { Of::begin(); }
  Deferral(Deferral&& other) noexcept : counts_(std::exchange(other.counts_, false)) {}
  Deferral& operator=(Deferral&& other) noexcept {
    std::swap(counts_, other.counts_);
    return *this;
  }
  ~Deferral() {
    if (counts_) Of::end();
  }

 private:
  bool counts_ = true;
};

struct Ending {
  static void begin();
  static void end();
};
struct Pausing {
  static void begin();
  static void end();
};
struct Heeding {
  static void begin();
  static void end();
};

/// While one lives there is something to undo, and signals that would end this process are noted.
using Unfinished = Deferral<Ending>;
/// While one lives SIGTSTP (the terminal's Ctrl-Z) is noted; the end of the last one stops this process then. The
/// terminal doesn't stop it for writing in the background either (SIGTTOU).
using Unpausable = Deferral<Pausing>;
/// While one lives may_go_on() always says yes: for what undoes, or has to be done to the end.
using Undoing = Deferral<Heeding>;

/// An error, ECANCELED, that names the signal, if one was noted. Thread-safe.
[[nodiscard]] Result<> may_go_on();
/// Whether an Unfinished lives.
[[nodiscard]] bool ends_are_noted();
/// The first signal that was noted; 0: none.
[[nodiscard]] int noted_signal();
/// Whether a SIGTSTP waits for the end of the last Unpausable.
[[nodiscard]] bool pause_noted();
/// Whether an Unpausable lives: somebody may be held still, and nothing may be waited for that people do. Thread-safe.
[[nodiscard]] bool is_unpausable();
/// Ends this process as that signal does, whatever its action was before. Comes back only if that fails.
void end_by(int signal);

}  // namespace vskel::sys
