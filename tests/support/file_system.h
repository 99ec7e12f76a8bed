// Small file systems of every kind that vskel must work on, each mounted for one test.
//
// The test process takes a mount namespace of its own before the first mount: nobody else sees the mounts, and the
// kernel takes them away with the process however it ends; the loop devices free themselves with the last mount.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>

namespace vskel::test {

enum class FileSystem { ext4, xfs, btrfs, tmpfs };

/// "ext4", as mount(8) says it; also the name of a parameterised test.
[[nodiscard]] std::string file_system_name(FileSystem kind);
std::ostream& operator<<(std::ostream& stream, FileSystem kind);

/// True if files can share extents on it (FICLONE).
[[nodiscard]] bool has_reflinks(FileSystem kind);

/// Why this process cannot act as root; nullopt if it can.
[[nodiscard]] std::optional<std::string> missing_root();
/// Why file systems of this kind cannot be made and mounted here; nullopt if they can.
[[nodiscard]] std::optional<std::string> missing_for_mount(FileSystem kind);

/// A fresh file system, mounted as long as this lives.
class ScopedLoopMount {
 public:
  /// Makes `directory`/image (sparse, 512 MiB) and mounts it on `directory`/mount; for tmpfs there is no image. Throws
  /// std::runtime_error where that fails.
  ScopedLoopMount(FileSystem kind, const std::filesystem::path& directory);
  ~ScopedLoopMount();
  ScopedLoopMount(const ScopedLoopMount&) = delete;
  ScopedLoopMount& operator=(const ScopedLoopMount&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return mount_; }

 private:
  std::filesystem::path mount_;
};

}  // namespace vskel::test
