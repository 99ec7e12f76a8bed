// Static files that the layout gives a token, in a merged tree: package scripts read and write them (postfix,
// mailname), so that a merge lays them in as they are, and a split takes back what became of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/skel/layout.h"
#include "engine/skel/skel.h"

namespace vskel {

/// Puts static's files with a token into `merged`, the root of a merged tree in the making, where they are not yet, and
/// into `memory`. Owners, modes and times are static's; the times of directories that they come into stay.
[[nodiscard]] Result<> lay_in_token_files(const Skel& skel, const DirFd& merged, const DirFd& memory);
/// What was laid in at `path`; nullopt: nothing, or a merge of version 0.1.
[[nodiscard]] Result<std::optional<std::string>> laid_in_token_file(const Skel& skel, std::string_view path);

/// The largest file that is followed, in bytes.
inline constexpr std::size_t kMostTokenFile = std::size_t{1} << 20;

}  // namespace vskel
