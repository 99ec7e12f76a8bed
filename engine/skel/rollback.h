// rollback: an old generation becomes the newest again, as a new one, made of what is kept and what is there.
#pragma once

#include "engine/skel/generation_change.h"

namespace vskel {

/// Makes generation `generation` the newest again: its global and local parts, by the very inodes that vservers of that
/// generation have. Static stays as it is: a path that is in it now is in no other part of the new generation, and one
/// that has left it for another since then stays there. Its users and groups too: whoever has a number by now keeps it, else the
/// files of an account that came later would have no owner, or another's. A dry run gives the same report, without
/// making anything.
[[nodiscard]] Result<GenerationReport> roll_back(const Store& store, const GenerationRequest& request,
                                                 unsigned generation);

}  // namespace vskel
