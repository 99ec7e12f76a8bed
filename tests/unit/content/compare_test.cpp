// Only bytes decide whether two files are the same.

#include "engine/content/compare.h"

#include <gtest/gtest.h>

#include <fstream>

#include "engine/content/hash.h"
#include "tests/support/temporary_directory.h"

namespace vskel {
namespace {

class CompareTest : public testing::Test {
 protected:
  Fd opened(const std::string& name, const std::string& content) {
    std::ofstream(directory_.path() / name, std::ios::binary) << content;
    auto file = sys::open_input((directory_.path() / name).string());
    EXPECT_TRUE(file);
    return file ? std::move(*file) : Fd();
  }
  Comparison compare(const std::string& a, const std::string& b) {
    const auto compared = compare_content(opened("a", a), opened("b", b));
    EXPECT_TRUE(compared);
    return compared.value_or(Comparison{});
  }
  test::TemporaryDirectory directory_;
};

TEST_F(CompareTest, EqualBytesAreTheSame) {
  for (const std::size_t size : {0UL, 1UL, 16'384UL, 16'385UL, 300'000UL, 278'528UL, 600'000UL}) {
    const std::string content(size, 'x');
    EXPECT_TRUE(compare(content, content).same) << size;
    EXPECT_EQ(compare(content, content).bytes_read, size);
  }
}

TEST_F(CompareTest, OneByteMakesThemDifferent) {
  for (const std::size_t at : {0UL, 16'383UL, 16'384UL, 278'527UL, 299'999UL}) {
    std::string a(300'000, 'x'), b = a;
    b[at] = 'y';
    EXPECT_FALSE(compare(a, b).same) << at;
  }
}

TEST_F(CompareTest, FilesOfDifferentSizesAreNotRead) {
  const Comparison comparison = compare(std::string(5000, 'x'), std::string(5001, 'x'));
  EXPECT_FALSE(comparison.same);
  EXPECT_EQ(comparison.bytes_read, 0U);
}

TEST_F(CompareTest, ADifferenceAtTheBeginningEndsTheReading) {
  EXPECT_EQ(compare("a" + std::string(1 << 20, 'x'), "b" + std::string(1 << 20, 'x')).bytes_read, 32U * 1024);
}

TEST_F(CompareTest, FilesThatCollideInXxh3AreDifferent) {
  for (const char* size : {"32", "4096"}) {
    const auto file = [&](const char* side) {
      return sys::open_input(std::string(VSKEL_TEST_DATA) + "/xxh3-collision/" + side + "-" + size + ".bin");
    };
    const auto a = file("a"), b = file("b");
    ASSERT_TRUE(a && b);
    const auto hash_a = hash_file(*a, WithSha256::no), hash_b = hash_file(*b, WithSha256::no);
    ASSERT_TRUE(hash_a && hash_b);
    ASSERT_EQ(hash_a->xxh128, hash_b->xxh128) << "the pair has to collide, or the test shows nothing";
    const auto compared = compare_content(*a, *b);
    ASSERT_TRUE(compared);
    EXPECT_FALSE(compared->same);
  }
}

}  // namespace
}  // namespace vskel
