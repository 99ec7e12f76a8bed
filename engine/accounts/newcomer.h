// What an account gets that comes to where others are. Pure.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "engine/accounts/account_table.h"
#include "engine/accounts/login_defs.h"
#include "engine/sys/error.h"

namespace vskel {

struct SystemOrNot {
  NumberRange system, others;
};

/// A number in place of `number`, from the range that it is in, that is none of `avoided`. An error where there is
/// none; `word` is "user" or "group".
[[nodiscard]] Result<std::uint32_t> free_account_number(std::uint32_t number, const SystemOrNot& ranges,
                                                        const std::set<std::uint32_t>& avoided, const char* word);

/// Whether some of these subordinate numbers are in another entry of the table, etc/subuid or etc/subgid.
[[nodiscard]] bool is_range_taken(const AccountTable& table, const AccountEntry& range);

/// A password field without a hash. What can't be a hash is what it was: "*", "!", "!!", "!*", "*LK*".
[[nodiscard]] std::string locked_password(std::string_view password);

}  // namespace vskel
