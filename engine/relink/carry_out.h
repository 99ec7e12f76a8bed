// Carrying out staged steps in a vserver that may be running: by exchange of names, each proved before and looked at
// after (threats.md, section 4). The same function goes on after a crash.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/relink/skel_links.h"
#include "engine/relink/staged_step.h"

namespace vskel {

/// After a crash, with a vserver running that shares sealed inodes: nothing further may be lifted.
enum class Further { carry_out, leave };

struct CarriedOut {
  /// Steps that were not: what was there was changed, or is in use, or a parent is no directory any more. By path, with
  /// the generation that stays their base.
  std::map<std::string, unsigned> left;
  std::optional<Error> error;  ///< the kernel's word that ended it; the steps after it are in `left`
};

/// Carries out `steps`, whose slots are in `slots`, in the vserver `root`. What was replaced or removed is in its slot
/// afterwards, if it was not dropped already, and is the caller's to remove once all is durable.
[[nodiscard]] CarriedOut carry_out(LinkShared& links, const StepSource& steps, const DirFd& slots, const DirFd& root,
                                   Further further);

}  // namespace vskel
