// split-skel: a merged tree becomes the skel's parts again, as the next generation. What did not change keeps the inode
// that vservers share; what did is kept aside for the vservers that still have it.
#pragma once

#include "engine/skel/generation_change.h"

namespace vskel {

/// Splits the merged tree of a skel. A dry run gives the same report, without making anything. An error, and the merge
/// stays as it is, while a process runs in the tree, something is mounted there, or packages are not finished (see
/// Unfinished), which the error names.
[[nodiscard]] Result<GenerationReport> split_skel(const Store& store, const GenerationRequest& request);

}  // namespace vskel
