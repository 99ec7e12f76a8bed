// The seam: where tests stand between the engine and the kernel, to inject faults, kills and an attacker's moves.
// Without one installed a call costs one load and one branch.
#pragma once

#include <atomic>

#include "engine/sys/fd.h"

namespace vskel::sys {

class Seam {
 public:
  virtual ~Seam() = default;
  /// Before a kernel call. `call` is its name ("linkat"), `changes` whether it changes anything, `dir` the descriptor
  /// it works on (-1: none), `name` the name in it ("" if it works on the descriptor). Gives kRun to let it run, the
  /// errno to fail with in its place, or kPretend.
  virtual int before(const char* call, bool changes, int dir, const char* name) = 0;

  static constexpr int kRun = 0;
  /// The call is left out and reported as done: a barrier taken out. For calls whose success has the value 0.
  static constexpr int kPretend = -1;
};

/// Installs `seam` for the whole process (nullptr takes it out). The caller keeps it alive.
void install_seam(Seam* seam);

namespace detail {
extern std::atomic<Seam*> seam;
}

/// What the seam wants in place of a call, as Seam::before says: asked by whoever is about to make one.
[[nodiscard]] inline int intercepted(const char* call, bool changes, int dir, const char* name) {
  Seam* const installed = detail::seam.load(std::memory_order_acquire);
  if (installed == nullptr) [[likely]]
    return Seam::kRun;
  return installed->before(call, changes, dir, name);
}

}  // namespace vskel::sys
