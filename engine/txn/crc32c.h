// CRC-32C (Castagnoli), as in RFC 3720, appendix B.4: tells a torn or flipped journal line from a whole one.
#pragma once

#include <cstdint>
#include <string_view>

namespace vskel {

[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);

}  // namespace vskel
