#include "engine/sys/error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace vskel {
namespace {

TEST(Error, LineIsOperationPathAndReason) {
  EXPECT_EQ(fail("link", "/vservers/web1/usr/bin/tar", ENOSPC).error().line(),
            "link /vservers/web1/usr/bin/tar: No space left on device");
}

TEST(Error, ControlBytesOfATenantsNameNeverReachTheTerminal) {
  const std::string line = fail("open", "/v/a\x1b[2J\n\xc2\x9b\xff", ENOENT).error().line();
  EXPECT_EQ(line, "open /v/a\\x1b[2J\\x0a\\xc2\\x9b\\xff: No such file or directory");
}

TEST(Error, UmlautsStayReadable) {
  EXPECT_EQ(printable("gr\xc3\xb6\xc3\x9f"
                      "e"),
            "gr\xc3\xb6\xc3\x9f"
            "e");
}

TEST(Error, RebasedReplacesTheStagingPathOnlyAsAWhole) {
  Error inside{"link", "/s/1/root/usr", EIO, {}, Blame::machine};
  EXPECT_EQ(std::move(inside).rebased("/s/1/root", "/v/web").path, "/v/web/usr");
  Error beside{"link", "/s/1/root2/usr", EIO, {}, Blame::machine};
  EXPECT_EQ(std::move(beside).rebased("/s/1/root", "/v/web").path, "/s/1/root2/usr");
}

TEST(Error, TryHandsTheErrorOn) {
  const auto inner = []() -> Result<int> { return fail("read", "x", EIO); };
  const auto outer = [&]() -> Result<std::string> { return std::to_string(TRY(inner())); };
  EXPECT_EQ(outer().error().code, EIO);
}

}  // namespace
}  // namespace vskel
