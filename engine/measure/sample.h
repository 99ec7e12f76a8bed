// The files that are measured with: a tree of our own in a hidden scratch directory, gone afterwards.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "engine/sys/kernel.h"

namespace vskel::measure {

/// As many directories as a busy machine has workers, with files as small as most of a root file system are.
inline constexpr std::size_t kDirectories = 64, kFilesEach = 128, kFileBytes = 4096;
inline constexpr std::size_t kFiles = kDirectories * kFilesEach;

/// Removed with all that is in it by remove(), or by the destructor, which cannot tell of an error. One that a killed
/// process left is removed by the next make() in the same place: its lock is free. Not thread-safe, but for const
/// functions.
class Sample {
 public:
  /// Makes `.vskel-bench.PID` in `where`, mode 0700, and fills it.
  [[nodiscard]] static Result<std::unique_ptr<Sample>> make(const DirFd& where);
  Sample(const Sample&) = delete;
  Sample& operator=(const Sample&) = delete;
  ~Sample();
  [[nodiscard]] Result<> remove();

  [[nodiscard]] const std::vector<Name>& names() const { return names_; }  ///< of the files of each directory
  /// The tree of directories "0", "1", ...; every second file has the content of the one before it.
  [[nodiscard]] const DirFd& sources() const { return sources_; }
  [[nodiscard]] Name directory_name(std::size_t at) const { return directory_names_[at]; }
  [[nodiscard]] const DirFd& source(std::size_t at) const { return source_[at]; }
  [[nodiscard]] const DirFd& target(std::size_t at) const { return target_[at]; }   ///< empty directories
  [[nodiscard]] const DirFd& stage(std::size_t at) const { return stage_[at]; }     ///< empty too
  [[nodiscard]] const std::vector<std::byte>& content() const { return content_; }  ///< kFileBytes

 private:
  Sample() = default;
  [[nodiscard]] Result<> fill();
  DirFd where_, root_, sources_;
  Fd lock_;
  std::string name_;
  std::deque<std::string> texts_;  // own the bytes of the names
  std::vector<Name> names_, directory_names_;
  std::vector<DirFd> source_, target_, stage_;
  std::vector<std::byte> content_;
};

}  // namespace vskel::measure
