// CRC-32C (Castagnoli), as in RFC 3720, appendix B.4: tells a torn or flipped journal line from a whole one. By a
// table, a byte at a time: an fdatasync stands behind every line that is summed.
#pragma once

#include <cstdint>
#include <string_view>

namespace vskel {

/// The checksum of `bytes`; 0 for none.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);

}  // namespace vskel
