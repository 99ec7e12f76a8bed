// One alternative of update-alternatives(1): what there is to choose from, a file of dpkg's database, and what is
// chosen, symbolic links. A tenant's choice stays his while there is such a thing; what an update brings to choose
// from, or takes away, it brings and takes as its package scripts would. Pure: bytes in, values out; the tenant's side
// may be anything.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/sys/error.h"

namespace vskel {

/// Directories, relative to the root: of a file for each alternative, and of the links.
inline constexpr std::string_view kAlternatives = "var/lib/dpkg/alternatives";
inline constexpr std::string_view kAlternativeLinks = "etc/alternatives";
/// None that is larger is merged: 1 MiB, in bytes.
inline constexpr std::size_t kMaxAlternative = std::size_t{1} << 20U;

/// One side: its file, and where its link of the alternative's own name leads. nullopt: it is not there.
struct AlternativeSide {
  std::optional<std::string> text, choice;
};
struct AlternativeSides {
  AlternativeSide base, theirs, mine;
};

struct MergedAlternative {
  /// The file; nullopt where nothing is left to choose from.
  std::optional<std::string> text;
  /// By its name below kAlternativeLinks, where a link leads; nullopt: there is to be none. Empty where the tenant's
  /// link is none of update-alternatives' making: then it stays.
  std::map<std::string, std::optional<std::string>> links;
};

/// What becomes of the alternative `name`. The error is that of a file that update-alternatives would not read.
[[nodiscard]] Result<MergedAlternative> merge_alternative(const std::string& name, const AlternativeSides& sides);

}  // namespace vskel
