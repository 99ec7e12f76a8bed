// rollback: an old generation becomes the newest again, as a new one, made of what is kept and what is there.
#pragma once

#include "engine/skel/generation_change.h"

namespace vskel {

/// Makes generation `generation` the newest again: its global and local parts, by the very inodes that vservers of that
/// generation have. Static stays as it is: a path that is in it now is in no other part of the new generation, and one
/// that has left it for another since then stays there. Its users
/// and groups are the generation's again, by name and number, because its files are: who came later stays, with another
/// number where it was another's then. Refused where static has a file of such a number that the generation had not. A
/// dry run gives the same report, without making anything.
[[nodiscard]] Result<GenerationReport> roll_back(const Store& store, const GenerationRequest& request,
                                                 unsigned generation);

}  // namespace vskel
