// Opening directories along paths one after the other: what two paths have in common is opened once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/sys/kernel.h"

namespace vskel {

/// Holds the directories on the way to the last path, at most kMostLevels of them. Not thread-safe: one for each task.
class DirectoryChain {
 public:
  static constexpr std::size_t kMostLevels = 24;

  /// `root` is a directory of its own for the chain: see sys::reopen.
  explicit DirectoryChain(DirFd root) : root_(std::move(root)) {}
  /// The directory at "a/b/c", opened as sys::open_dirs does; "" is the root. Good until the next call.
  [[nodiscard]] Result<const DirFd*> open(std::string_view path);
  /// To be called when a directory on the way may have been replaced.
  void forget() { levels_.clear(); }

 private:
  struct Level {
    std::string path;  ///< from the root
    DirFd dir;
  };
  DirFd root_;
  std::vector<Level> levels_;  ///< outer ones first
  DirFd deep_;                 ///< what lies deeper than the levels kept
};

}  // namespace vskel
