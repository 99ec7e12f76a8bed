// What an administrator says to dpkg and apt about packages without changing which there are: holds, diversions,
// overridden owners, what was installed by hand. It is kept in lists, and stays his entry by entry when an update
// brings others. Pure: bytes in, values out; a list may be a tenant's, who wrote into it what he liked.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/packages/dpkg_status.h"

namespace vskel {

/// Paths relative to the root.
inline constexpr std::string_view kDpkgStatus = "var/lib/dpkg/status";
inline constexpr std::string_view kDpkgInfo = "var/lib/dpkg/info";
inline constexpr std::string_view kDpkgDiversions = "var/lib/dpkg/diversions";
inline constexpr std::string_view kDpkgOverrides = "var/lib/dpkg/statoverride";
inline constexpr std::string_view kAptExtendedStates = "var/lib/apt/extended_states";

/// A file of dpkg's database that says nothing of which packages are installed: alternatives, triggers, the lists
/// above, what is derived or a backup. Each follows, or stays, by itself.
[[nodiscard]] bool is_dpkg_bookkeeping(std::string_view path);

/// The packages that one has and the other has not, or in another version or state; as dpkg calls them, each once. What
/// is wanted of them is not compared. Empty: dpkg would do the same in both.
[[nodiscard]] std::vector<std::string> differing_packages(const DpkgPackages& a, const DpkgPackages& b);

/// The three sides of a list.
struct ListSides {
  std::string_view base, theirs, mine;
};
struct MergedList {
  std::string text;
  std::vector<std::string> kept;  ///< what stays as `mine` has it: "/usr/bin/x: changed on both sides"
};

/// Of a status whose packages are base's: theirs, with what mine wants of a package otherwise than base. Of one whose
/// packages are theirs already: mine. nullopt: they are neither. The error is that of a text that is no status.
[[nodiscard]] Result<std::optional<std::string>> merge_dpkg_status(const ListSides& sides);

/// One of the other three lists at `path`, entry by entry: what only one side changed is as that has it. An error for a
/// text that is no such list, or larger than 16 MiB.
[[nodiscard]] Result<MergedList> merge_dpkg_list(std::string_view path, const ListSides& sides);

}  // namespace vskel
