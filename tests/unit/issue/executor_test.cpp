#include "engine/issue/executor.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cerrno>
#include <filesystem>

#include "tests/support/requirement.h"

namespace vskel {
namespace {

class ExecutorTest : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "vskel-executor.XXXXXX";
    path_ = ::mkdtemp(pattern.data());
    dir_ = *sys::open_root(path_);
    if (GetParam() == Backend::uring) {
      auto uring = make_uring_executor();
      VSKEL_REQUIRE(uring ? std::nullopt : std::optional(uring.error().line()));
      executor_ = std::move(*uring);
    } else {
      executor_ = make_syscall_executor();
    }
  }
  void TearDown() override { std::filesystem::remove_all(path_); }

  Results issue(std::initializer_list<Operation> operations, OnFailure on_failure = OnFailure::stop) {
    const std::vector<Operation> list(operations);
    return executor_->issue({&dir_, list}, on_failure);
  }

  std::string path_;
  DirFd dir_;
  std::unique_ptr<Executor> executor_;
  const Metadata metadata_{0640, 0, 0, {1, 2}, {-5, 7}, {}};
};

TEST_P(ExecutorTest, AWrittenFileHasItsContentModeAndTimes) {
  const std::string text = "hello";
  ASSERT_TRUE(issue({WriteFile{"a", std::as_bytes(std::span(text)), &metadata_}}).failures.empty());
  const auto stat = sys::stat(dir_, "a");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->size, 5U);
  EXPECT_EQ(stat->mode, 0640U & ~0U);
  EXPECT_EQ(stat->mtime, (sys::Time{-5, 7}));
}

TEST_P(ExecutorTest, ACopyKeepsHolesAndTheSizeBehindTheLastOne) {
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

TEST_P(ExecutorTest, EachFailureCarriesItsOwnErrnoAndTheRestIsDoneWhenAskedFor) {
  const Results results = issue(
      {MakeDir{"a", 0700}, MakeDir{"a", 0700}, LinkName{"b", &dir_, "missing"}, MakeDir{"c", 0700}}, OnFailure::go_on);
  ASSERT_EQ(results.failures.size(), 2U);
  EXPECT_EQ(results.failures[0].operation, 1U);
  EXPECT_EQ(results.failures[0].error.code, EEXIST);
  EXPECT_EQ(results.failures[1].error.code, ENOENT);
  EXPECT_TRUE(sys::stat(dir_, "c"));
}

TEST_P(ExecutorTest, StoppingLeavesTheRestUndoneButForWhatWasOnItsWay) {
  std::vector<std::string> names;
  for (int i = 0; i < 200; ++i) names.push_back(std::to_string(i));
  std::vector<Operation> operations = {MakeDir{"a", 0700}, MakeDir{"a", 0700}};
  for (const std::string& name : names) operations.emplace_back(MakeDir{*Name::check(name), 0700});
  const Results results = executor_->issue({&dir_, operations}, OnFailure::stop);
  ASSERT_EQ(results.failures.size(), 1U);
  EXPECT_EQ(results.failures[0].operation, 1U);
  EXPECT_FALSE(sys::stat(dir_, "199"));
}

TEST_P(ExecutorTest, ABatchOfEveryKindIsDoneWholeAndTheDirectoryHasItsOwnTimesAfterIt) {
  ASSERT_TRUE(sys::create_file(dir_, "source", 0600));
  const DirFd sub = [this] {
    EXPECT_TRUE(sys::make_dir(dir_, "sub", 0700));
    return *sys::open_dir(dir_, "sub");
  }();
  const std::string target = "over/there";
  const std::string text = "text";
  std::vector<std::string> names;
  for (int i = 0; i < 500; ++i) names.push_back(std::to_string(i));
  std::vector<Operation> operations;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Name name = *Name::check(names[i]);
    switch (i % 5) {
      case 0:
        operations.emplace_back(MakeDir{name, 0700});
        break;
      case 1:
        operations.emplace_back(LinkName{name, &dir_, "source"});
        break;
      case 2:
        operations.emplace_back(MakeSymlink{name, &target, &metadata_});
        break;
      case 3:
        operations.emplace_back(WriteFile{name, std::as_bytes(std::span(text)), &metadata_});
        break;
      default:
        operations.emplace_back(WriteFile{name, {}, &metadata_});
        break;
    }
  }
  const Metadata own{0711, 0, 0, {3, 4}, {5, 6}, {}};
  operations.emplace_back(SetDirectoryMetadata{&own, Fresh::no});
  ASSERT_TRUE(executor_->issue({&sub, operations}, OnFailure::stop).failures.empty());
  EXPECT_EQ(sys::stat(dir_, "source")->nlink, 101U);
  EXPECT_EQ(sys::stat(sub)->mtime, (sys::Time{5, 6}));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Name name = *Name::check(names[i]);
    const auto stat = sys::stat(sub, name);
    ASSERT_TRUE(stat) << names[i];
    if (i % 5 >= 2) {
      EXPECT_EQ(stat->mtime, metadata_.mtime) << names[i];
    }
    if (i % 5 == 2) {
      EXPECT_EQ(sys::read_link(sub, name).value_or(""), target);
    }
    if (i % 5 == 3) {
      EXPECT_EQ(*sys::read_whole(*sys::open_file(sub, name), 100), text);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, ExecutorTest, testing::Values(Backend::syscall, Backend::uring), [](const auto& tested) {
  return std::string(tested.param == Backend::uring ? "uring" : "syscall");
});

}  // namespace
}  // namespace vskel
