#include "engine/vserver/configuration.h"

#include <algorithm>

#include "engine/sys/fd.h"

namespace vskel {

namespace {

bool is_harmless(char c) {
  const bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return alphanumeric || std::string_view("._:/@+-").contains(c);
}

}  // namespace

Result<std::string> fill_configuration_path(std::string_view pattern, const TokenValues& values) {
  constexpr const char* kOperation = "fill in configuration path";
  for (const auto& [token, value] : values)
    if (value.contains('/') && pattern.contains("%%" + token + "%%"))
      return refuse(kOperation, token + "=" + value, "no / may enter the path of a configuration file");
  std::string out;
  for (std::size_t at = 0; at <= pattern.size();) {
    const std::string_view component = pattern.substr(at, pattern.find('/', at) - at);
    const std::string filled = fill_tokens(component, values).text;
    if (filled != component && !Name::check(filled))
      return refuse(kOperation, std::string(component) + "=" + filled, "not the name of a file or directory");
    out.append(at == 0 ? "" : "/").append(filled);
    at += component.size() + 1;
  }
  return out;
}

Result<Filled> fill_configuration(std::string_view text, const TokenValues& values) {
  for (const auto& [token, value] : values) {
    if (std::ranges::all_of(value, is_harmless) || text.find("%%" + token + "%%") == text.npos) continue;
    return refuse("fill in configuration", token + "=" + value,
                  "only letters, digits and . _ : / @ + - may enter a configuration file");
  }
  return fill_tokens(text, values);
}

}  // namespace vskel
