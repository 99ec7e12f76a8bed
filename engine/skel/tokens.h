// Filling in %%VS_NAME%%-like tokens: one pass, output never scanned again. Pure; thread-safe.
#pragma once

#include <map>
#include <optional>
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

/// Is a token rule's text "NAME = VALUE", one line of a file, and not all of it?
[[nodiscard]] bool sets_one_line(std::string_view token);
/// `text` with `token` ("NAME = VALUE") in the place of every line that sets NAME, as postfix reads them: the name
/// stands at the beginning of a line, and lines that begin with white space go on with the one before. nullopt if no
/// line sets it, or if there is a NUL byte.
[[nodiscard]] std::optional<std::string> with_line(std::string_view text, std::string_view token);

}  // namespace vskel
