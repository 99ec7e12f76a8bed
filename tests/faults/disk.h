// A small file system that can be cut off from its disk and mounted again, as after a power cut.
#pragma once

#include <filesystem>
#include <memory>

#include "tests/support/file_system.h"
#include "tests/support/temporary_directory.h"

namespace vskel::test {

class Disk {
 public:
  /// Fresh and mounted. The image of a block file system stands in memory. Throws where that fails.
  explicit Disk(FileSystem kind);
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] FileSystem kind() const { return kind_; }
  /// Unmounts and mounts again; throws if something is still open in it. Not for tmpfs.
  void mount_again();
  /// What its log holds since it was mounted is written out.
  void sync() const;

 private:
  void mount() const;
  FileSystem kind_;
  TemporaryDirectory scratch_;
  std::unique_ptr<ScopedLoopMount> memory_;
  std::filesystem::path path_, device_;
  int loop_ = -1;  ///< held open: the device frees itself with the last user
};

/// How much of a file system's log a power cut spares (XFS_IOC_GOINGDOWN, EXT4_IOC_SHUTDOWN).
enum class Spared { log = 1, nothing = 2 };

/// Stops the file system of a directory dead: nothing reaches the disk from now on. errno, or 0.
[[nodiscard]] int cut_off(int directory, Spared spared);

}  // namespace vskel::test
