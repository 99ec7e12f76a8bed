// Laying down a tree again as it was: links among its names, owners, modes, attributes, times and seals with it.
#pragma once

#include <filesystem>

namespace vskel::test {

/// All throw std::system_error where the kernel refuses. `to` must not be there.
void copy_whole_tree(const std::filesystem::path& from, const std::filesystem::path& to);
/// Sealed files and all. Content if it is not there.
void remove_whole_tree(const std::filesystem::path& root);
/// Of one file or link, without following.
void set_mtime(const std::filesystem::path& path, std::int64_t seconds);

}  // namespace vskel::test
