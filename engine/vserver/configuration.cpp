#include "engine/vserver/configuration.h"

#include <algorithm>

namespace vskel {

namespace {

bool is_harmless(char c) {
  const bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return alphanumeric || std::string_view("._:/@+-").contains(c);
}

}  // namespace

Result<Filled> fill_configuration(std::string_view text, const TokenValues& values) {
  for (const auto& [token, value] : values) {
    if (std::ranges::all_of(value, is_harmless) || text.find("%%" + token + "%%") == text.npos) continue;
    return refuse("fill in configuration", token + "=" + value,
                  "only letters, digits and . _ : / @ + - may enter a configuration file");
  }
  return fill_tokens(text, values);
}

}  // namespace vskel
