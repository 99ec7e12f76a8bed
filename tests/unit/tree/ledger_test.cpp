// What tells that somebody has changed a file while its seal was lifted.
#include "engine/tree/ledger.h"

#include <gtest/gtest.h>

#include "tests/support/temporary_directory.h"

namespace vskel::test {
namespace {

class LedgerTest : public ::testing::Test {
 protected:
  [[nodiscard]] sys::Stat now() const { return sys::stat(dir_, "file").value(); }

  TemporaryDirectory top_;
  DirFd dir_ = sys::open_root(top_.path()).value();
  Fd file_ = sys::create_file(dir_, "file", 0640).value();
};

TEST_F(LedgerTest, ALinkIsNoChange) {
  const LedgerEntry entry(now());
  ASSERT_TRUE(sys::link(dir_, "file", dir_, "other"));
  EXPECT_TRUE(entry.check(dir_, "file", now()));
}

TEST_F(LedgerTest, WhatIsWrittenIsTold) {
  const LedgerEntry entry(now());
  ASSERT_TRUE(sys::write_all(file_, "x"));
  const auto checked = entry.check(dir_, "file", now());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, 0);
  EXPECT_NE(checked.error().line().find("file"), std::string::npos);
  EXPECT_NE(checked.error().line().find("size"), std::string::npos);
}

TEST_F(LedgerTest, ModeIsToldAndPutBack) {
  const LedgerEntry entry(now());
  ASSERT_TRUE(sys::set_mode(dir_, "file", 0777));
  const auto checked = entry.check(dir_, "file", now());
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().line().find("(mode)"), std::string::npos);
  ASSERT_TRUE(entry.put_back(dir_, "file"));
  EXPECT_EQ(now().mode, 0640U);
  EXPECT_TRUE(entry.check(dir_, "file", now()));
}

TEST_F(LedgerTest, TimeAloneIsTold) {
  const sys::Stat before = now();
  const LedgerEntry entry(before);
  ASSERT_TRUE(sys::set_times(dir_, "file", before.atime, {before.mtime.seconds + 1, 0}));
  const auto checked = entry.check(dir_, "file", now());
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().line().find("(time)"), std::string::npos);
}

}  // namespace
}  // namespace vskel::test
