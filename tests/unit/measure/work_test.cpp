#include "engine/measure/work.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "engine/tree/listing.h"
#include "tests/support/requirement.h"
#include "tests/support/temporary_directory.h"

namespace vskel::measure {
namespace {

std::vector<std::string> names_in(const std::filesystem::path& path) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) names.push_back(entry.path().filename());
  return names;
}

TEST(Measure, EveryWorkIsDoneInEveryWayAndLeavesTheSampleAsItWas) {
  const test::TemporaryDirectory directory;
  const DirFd where = *sys::open_root(directory.path());
  const auto sample = Sample::make(where);
  ASSERT_TRUE(sample) << sample.error().line();
  for (const Work work : kAllWorks)
    for (const Way way : kAllWays) {
      if (!has_way(work, way)) continue;
      SCOPED_TRACE(std::string(name_of(work)) + " " + std::string(name_of(way)));
      for (const unsigned threads : {1U, 3U}) {
        const auto pass = measure_once(**sample, work, way, threads);
        if (!pass && work == Work::clone && says_unsupported(pass.error())) continue;
        ASSERT_TRUE(pass) << pass.error().line();
        EXPECT_GT(pass->operations, kFiles / 4);
        EXPECT_GT(pass->rate(), 0);
      }
      EXPECT_TRUE(Listing::read(*sys::reopen((*sample)->target(0)))->entries().empty());
      EXPECT_TRUE(Listing::read(*sys::reopen((*sample)->stage(kDirectories - 1)))->entries().empty());
      EXPECT_EQ(sys::stat((*sample)->source(1), (*sample)->names()[1])->nlink, 1U);
    }
  ASSERT_TRUE((*sample)->remove());
  EXPECT_TRUE(names_in(directory.path()).empty());
}

TEST(Measure, WhatAKilledProcessLeftIsRemovedAndWhatARunningOneHasIsNot) {
  const test::TemporaryDirectory directory;
  std::filesystem::create_directories(directory.path() / ".vskel-bench.1/source");
  std::filesystem::permissions(directory.path() / ".vskel-bench.1", std::filesystem::perms::owner_all);
  std::filesystem::create_directories(directory.path() / ".vskel-bench.2");
  std::filesystem::permissions(directory.path() / ".vskel-bench.2", std::filesystem::perms::owner_all);
  const DirFd where = *sys::open_root(directory.path());
  const Fd held = *sys::open_or_create(*sys::open_dir(where, ".vskel-bench.2"), "lock", 0600);
  ASSERT_TRUE(*sys::lock_exclusive(held, sys::Wait::no));
  ASSERT_TRUE((*Sample::make(where))->remove());
  EXPECT_EQ(names_in(directory.path()), std::vector<std::string>{".vskel-bench.2"});
}

}  // namespace
}  // namespace vskel::measure
