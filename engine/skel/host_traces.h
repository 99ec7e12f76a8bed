// Files of a tree that hold the name of the host that it was made on.
#pragma once

#include <string>
#include <vector>

#include "engine/manifest/manifest.h"

namespace vskel {

/// What to look for to find the name of the host that this process runs on; "" where that tells nothing.
[[nodiscard]] Result<std::string> own_host_label();

/// Reads the small text files below etc in `tree`, of those regular files that `entries` has of `part`, and adds
/// "/etc/x: the host's name LABEL" to `look_at` for each that holds `label` (own_label()) as a word. Many are told by
/// their number. Inside the caller's TBB arena.
[[nodiscard]] Result<> look_for_host(const DirFd& tree, Part part, const ManifestEntries& entries,
                                     const std::string& label, std::vector<std::string>& look_at);

}  // namespace vskel
