// The three trees of a skel.
#pragma once

#include <string_view>

namespace vskel {

enum class Part : unsigned char { global_part, local_part, static_part };
inline constexpr unsigned kParts = 3;
/// "global", "local", "static".
[[nodiscard]] constexpr std::string_view part_name(Part part) {
  return part == Part::global_part ? "global" : part == Part::local_part ? "local" : "static";
}

}  // namespace vskel
