// A directory of a test's own, gone when the test is over.
#pragma once

#include <filesystem>

namespace vskel::test {

class TemporaryDirectory {
 public:
  /// Below TMPDIR, else /var/tmp (a disk even where /tmp is memory: images of file systems stand in it).
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace vskel::test
