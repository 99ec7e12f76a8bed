// What the guard in the kernel holds (`vskel guard`), asked of its pinned map without the engine. Where no guard is
// loaded nothing is held.
#pragma once

#include <filesystem>

namespace vskel::test {

/// Asked once in a process. Throws std::system_error if it can't be told.
[[nodiscard]] bool is_guard_loaded();

/// All of a regular file on ext4, XFS or tmpfs; they throw std::system_error where the kernel refuses.
[[nodiscard]] bool is_guarded(int file);
[[nodiscard]] bool is_guarded(const std::filesystem::path& path);
/// From now on nobody can change the file. A guard must be loaded.
void put_under_guard(const std::filesystem::path& path);

}  // namespace vskel::test
