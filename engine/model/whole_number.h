// Numbers in JSON files, as they must be: nlohmann's get<T>() takes 4294967298 for 2 and 1.5 for 1.
#pragma once

#include <concepts>
#include <nlohmann/json.hpp>
#include <utility>

namespace vskel {

/// The number itself; nlohmann's exception, as for a value of another type, where it is none that T can hold.
template <std::integral T>
[[nodiscard]] T whole_number(const nlohmann::json& json) {
  const bool fits = json.is_number_unsigned() ? std::in_range<T>(json.get<std::uint64_t>())
                                              : json.is_number_integer() && std::in_range<T>(json.get<std::int64_t>());
  if (!fits) throw nlohmann::json::type_error::create(302, json.dump() + " is no whole number in range", &json);
  return json.get<T>();
}

}  // namespace vskel
