#include "engine/accounts/login_defs.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "engine/accounts/id_map.h"

namespace vskel {

namespace {

std::string_view first_word(std::string_view& line) {
  constexpr std::string_view kBlanks = " \t\r";
  line.remove_prefix(std::min(line.size(), line.find_first_not_of(kBlanks)));
  const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
  line.remove_prefix(word.size());
  return word;
}

std::map<std::string_view, std::uint32_t> numbers_in(std::string_view text) {
  std::map<std::string_view, std::uint32_t> out;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::string_view key = first_word(line), value = first_word(line);
    if (!key.starts_with("SYS_") && !key.starts_with("UID_") && !key.starts_with("GID_")) continue;
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error == std::errc{} && end == value.data() + value.size()) out.insert_or_assign(key, number);
  }
  return out;
}

}  // namespace

NumberRanges number_ranges(std::string_view login_defs) {
  const auto numbers = numbers_in(login_defs);
  NumberRanges ranges;
  const auto set = [&](std::string_view lowest, std::string_view highest, NumberRange& range) {
    const auto value = [&](std::string_view key, std::uint32_t otherwise) {
      const auto found = numbers.find(key);
      return found == numbers.end() ? otherwise : found->second;
    };
    const NumberRange said{value(lowest, range.lowest), value(highest, range.highest)};
    if (said.lowest >= 1 && said.lowest <= said.highest && said.highest <= kHighestId) range = said;
  };
  set("SYS_UID_MIN", "SYS_UID_MAX", ranges.system_users);
  set("UID_MIN", "UID_MAX", ranges.users);
  set("SYS_GID_MIN", "SYS_GID_MAX", ranges.system_groups);
  set("GID_MIN", "GID_MAX", ranges.groups);
  return ranges;
}

}  // namespace vskel
