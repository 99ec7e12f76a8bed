#include "engine/content/hash.h"

#include <gtest/gtest.h>

#include <string>

namespace vskel {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

template <std::size_t N>
std::string hex(const std::array<std::uint8_t, N>& bytes) {
  std::string out;
  for (const std::uint8_t byte : bytes) {
    std::array<char, 3> two{};
    std::snprintf(two.data(), two.size(), "%02x", byte);
    out += two.data();
  }
  return out;
}

TEST(Hash, OfNothingIsTheOneThatXxhashDocuments) {
  EXPECT_EQ(hex(hash_bytes({}, WithSha256::no).xxh128), "99aa06d3014798d86001c324468d497f");
}

TEST(Hash, Sha256OfAbcIsTheOneOfFips180) {
  const std::string abc = "abc";
  EXPECT_EQ(hex(*hash_bytes(bytes_of(abc), WithSha256::yes).sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Hash, OfAttributesTellsNamesFromValues) {
  EXPECT_NE(hash_xattrs({{"user.a", "bc"}}), hash_xattrs({{"user.ab", "c"}}));
  EXPECT_EQ(hash_xattrs({}), std::nullopt);
}

}  // namespace
}  // namespace vskel
