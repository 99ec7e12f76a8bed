// Removal never crosses into another file system: a mount that a failed test left behind must not be emptied.
#include "tests/support/temporary_directory.h"

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

#include "tests/support/process.h"

namespace vskel::test {

TemporaryDirectory::TemporaryDirectory() {
  const char* asked = std::getenv("TMPDIR");
  std::string text = std::string(asked != nullptr ? asked : "/var/tmp") + "/vskel-test.XXXXXX";
  if (::mkdtemp(text.data()) == nullptr) throw std::system_error(errno, std::generic_category(), "mkdtemp " + text);
  path_ = text;
}

TemporaryDirectory::~TemporaryDirectory() {
  // Sealed files refuse to be removed; chattr reports what it cannot change, which is no matter here.
  const ProcessResult first = run({"rm", "-rf", "--one-file-system", "--", path_.string()});
  if (first.code == 0) return;
  static_cast<void>(run({"chattr", "-R", "-f", "-i", "--", path_.string()}));
  static_cast<void>(run({"rm", "-rf", "--one-file-system", "--", path_.string()}));
}

}  // namespace vskel::test
