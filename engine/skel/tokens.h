// Filling in %%VS_NAME%%-like tokens: one pass, output never scanned again. Pure; thread-safe.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vskel {

/// Token name without the percent signs ("VS_NAME") -> value.
using TokenValues = std::map<std::string, std::string, std::less<>>;

struct Filled {
  std::string text;
  std::vector<std::string> unknown;  ///< %%VS_...%% names left as they are, each once, in the order of appearance
};

/// True if `text` has no NUL byte and at least one "%%VS_".
[[nodiscard]] bool has_tokens(std::string_view text);
[[nodiscard]] Filled fill_tokens(std::string_view text, const TokenValues& values);

}  // namespace vskel
