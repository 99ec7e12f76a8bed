// Which numbers a system gives to new users and groups: login.defs(5).
#pragma once

#include <cstdint>
#include <string_view>

namespace vskel {

/// From `lowest` to `highest`, both among them.
struct NumberRange {
  std::uint32_t lowest = 0, highest = 0;
};

struct NumberRanges {
  NumberRange system_users{100, 999}, users{1000, 59999};
  NumberRange system_groups{100, 999}, groups{1000, 59999};
};

/// The ranges that `login_defs` names (SYS_UID_MIN and the like); where it does not, or says what is no range of
/// decimal numbers from 1 on, the default ones. Pure: any bytes will do, and "" is no file.
[[nodiscard]] NumberRanges number_ranges(std::string_view login_defs);

}  // namespace vskel
