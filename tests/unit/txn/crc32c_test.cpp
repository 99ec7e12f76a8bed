#include "engine/txn/crc32c.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

namespace vskel {
namespace {

// The vectors of RFC 3720, appendix B.4, which prints the checksum's bytes in the order that they are sent in.
TEST(Crc32cTest, AgreesWithRfc3720) {
  std::string ascending(32, '\0');
  std::iota(ascending.begin(), ascending.end(), '\0');
  const std::string descending(ascending.rbegin(), ascending.rend());
  const unsigned char read_command[] = {0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                        0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
                                        0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
                                        0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  EXPECT_EQ(crc32c(ascending), 0x46dd794eU);
  EXPECT_EQ(crc32c(descending), 0x113fdb5cU);
  EXPECT_EQ(crc32c(std::string(std::begin(read_command), std::end(read_command))), 0xd9963a56U);
}

TEST(Crc32cTest, AgreesWithTheCheckValueOfTheCatalogue) { EXPECT_EQ(crc32c("123456789"), 0xe3069283U); }

TEST(Crc32cTest, OfNothingIsZero) { EXPECT_EQ(crc32c(""), 0U); }

}  // namespace
}  // namespace vskel
