#include "engine/issue/executor.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cerrno>
#include <filesystem>

namespace vskel {
namespace {

class ExecutorTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "vskel-executor.XXXXXX";
    path_ = ::mkdtemp(pattern.data());
    dir_ = *sys::open_root(path_);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }

  Results issue(std::initializer_list<Operation> operations, OnFailure on_failure = OnFailure::stop) {
    const std::vector<Operation> list(operations);
    return make_syscall_executor()->issue({&dir_, list}, on_failure);
  }

  std::string path_;
  DirFd dir_;
  const Metadata metadata_{0640, 0, 0, {1, 2}, {-5, 7}, {}};
};

TEST_F(ExecutorTest, AWrittenFileHasItsContentModeAndTimes) {
  const std::string text = "hello";
  ASSERT_TRUE(issue({WriteFile{"a", std::as_bytes(std::span(text)), &metadata_}}).failures.empty());
  const auto stat = sys::stat(dir_, "a");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->size, 5U);
  EXPECT_EQ(stat->mode, 0640U & ~0U);
  EXPECT_EQ(stat->mtime, (sys::Time{-5, 7}));
}

TEST_F(ExecutorTest, ACopyKeepsHolesAndTheSizeBehindTheLastOne) {
  const Fd source = *sys::create_file(dir_, "source", 0600);
  ASSERT_TRUE(sys::truncate(source, 8 << 20));
  const std::string text = "in the middle";
  ASSERT_TRUE(sys::write_at(source, std::as_bytes(std::span(text)), 4 << 20));
  const auto original = sys::stat(source);
  ASSERT_TRUE(
      issue({CopyFile{"copy", &source, original->size, original->blocks, CopyBy::data, &metadata_}}).failures.empty());
  const auto copy = sys::stat(dir_, "copy");
  EXPECT_EQ(copy->size, original->size);
  EXPECT_LE(copy->blocks, original->blocks);
  const Fd file = *sys::open_file(dir_, "copy");
  EXPECT_EQ(sys::read_whole(file, 16 << 20)->substr(4 << 20, text.size()), text);
}

TEST_F(ExecutorTest, EachFailureCarriesItsOwnErrnoAndTheRestIsDoneWhenAskedFor) {
  const Results results =
      issue({MakeDir{"a"}, MakeDir{"a"}, LinkName{"b", &dir_, "missing"}, MakeDir{"c"}}, OnFailure::go_on);
  ASSERT_EQ(results.failures.size(), 2U);
  EXPECT_EQ(results.failures[0].operation, 1U);
  EXPECT_EQ(results.failures[0].error.code, EEXIST);
  EXPECT_EQ(results.failures[1].error.code, ENOENT);
  EXPECT_TRUE(sys::stat(dir_, "c"));
}

TEST_F(ExecutorTest, StoppingLeavesTheRestUndone) {
  const Results results = issue({MakeDir{"a"}, MakeDir{"a"}, MakeDir{"c"}}, OnFailure::stop);
  EXPECT_EQ(results.failures.size(), 1U);
  EXPECT_FALSE(sys::stat(dir_, "c"));
}

}  // namespace
}  // namespace vskel
