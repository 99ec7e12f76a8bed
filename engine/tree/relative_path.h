// Paths relative to a root, as manifests have them ("usr/bin/tar"): taken apart, and their directories made.
#pragma once

#include <string>
#include <string_view>

#include "engine/sys/kernel.h"

namespace vskel {

/// Whether a text from a file is such a path: one component or more, each one that a Name may be.
[[nodiscard]] bool is_relative_path(std::string_view path);
/// "usr/bin" of "usr/bin/tar"; "" of "tar".
[[nodiscard]] std::string_view parent_path(std::string_view path);
/// The last component. `path` is not empty and outlives the Name.
[[nodiscard]] Name last_name(const std::string& path);
/// "usr/bin/tar" of "usr/bin" and "tar"; "tar" of "" and "tar".
[[nodiscard]] std::string joined_path(std::string_view directory, std::string_view name);
/// The error of one who looks for a name in a tenant's tree where the tenant has nothing, no directory, a symbolic
/// link, or a mount.
[[nodiscard]] bool leads_nowhere(const Error& error);
/// As sys::open_dirs; a closed descriptor where there is nothing at `path`, or something other than directories on the
/// way.
[[nodiscard]] Result<DirFd> open_dirs_if_there(const DirFd& root, std::string_view path);
/// Opens a directory below `root`, which is ours; what is not there of the way to it is made, with mode 0700.
[[nodiscard]] Result<DirFd> make_dirs(const DirFd& root, std::string_view path);

}  // namespace vskel
