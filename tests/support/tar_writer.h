// Tar archives byte by byte, wrong ones among them, which no honest tar program writes.
#pragma once

#include <string>

namespace vskel::test {

/// A ustar archive that grows by one entry a call.
class TarWriter {
 public:
  TarWriter& file(const std::string& name, const std::string& content);
  TarWriter& directory(const std::string& name);
  TarWriter& symlink(const std::string& name, const std::string& target);
  TarWriter& hard_link(const std::string& name, const std::string& target);
  /// The archive, with its end mark.
  [[nodiscard]] std::string bytes() const;

 private:
  TarWriter& entry(char type, const std::string& name, const std::string& target, const std::string& content);
  std::string bytes_;
};

}  // namespace vskel::test
