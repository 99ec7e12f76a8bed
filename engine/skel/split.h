// split-skel: a merged tree becomes the skel's parts again, as the next generation. What did not change keeps the inode
// that vservers share; what did is kept aside for the vservers that still have it.
#pragma once

#include "engine/skel/generation_change.h"

namespace vskel {

/// Splits the merged tree of a skel. A dry run gives the same report, without making anything.
[[nodiscard]] Result<GenerationReport> split_skel(const Store& store, const GenerationRequest& request);

}  // namespace vskel
