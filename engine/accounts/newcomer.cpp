#include "engine/accounts/newcomer.h"

#include <algorithm>

namespace vskel {

namespace {

/// 16 bits of ones and what stands for nobody; systems that can't tell them from an account are not rare.
bool is_reserved(std::uint32_t number) { return number == 0 || number == 65534 || number == 65535; }

}  // namespace

Result<std::uint32_t> free_account_number(std::uint32_t number, const SystemOrNot& ranges,
                                          const std::set<std::uint32_t>& avoided, const char* word) {
  // As useradd(8) does it: a system's from above, others from below.
  const bool is_system = number <= ranges.system.highest;
  const NumberRange range = is_system ? ranges.system : ranges.others;
  for (std::uint64_t step = 0; step <= range.highest - range.lowest; ++step) {
    const auto next = static_cast<std::uint32_t>(is_system ? range.highest - step : range.lowest + step);
    if (!is_reserved(next) && !avoided.contains(next)) return next;
  }
  return fail("add accounts", std::string(word) + " " + std::to_string(number),
              "no number from " + std::to_string(range.lowest) + " to " + std::to_string(range.highest) + " is free");
}

bool is_range_taken(const AccountTable& table, const AccountEntry& range) {
  using namespace account_field;
  const auto end = [](const AccountEntry& of) {
    return std::uint64_t{of.number(kStart)} + std::uint64_t{of.number(kCount)};
  };
  return std::ranges::any_of(table.entries(), [&](const AccountEntry* other) {
    return range.number(kStart) < end(*other) && other->number(kStart) < end(range);
  });
}

std::string locked_password(std::string_view password) {
  const bool plain = password.size() <= 4 && (password.starts_with('!') || password.starts_with('*')) &&
                     password.find('$') == password.npos;
  if (plain) return std::string(password);
  return password.starts_with('*') ? "*" : "!";
}

}  // namespace vskel
