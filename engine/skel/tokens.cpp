#include "engine/skel/tokens.h"

#include <algorithm>

namespace vskel {

namespace {

constexpr std::string_view kMark = "%%", kTokenBegins = "%%VS_";

bool is_token_character(char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

/// The name that a line "NAME = VALUE" sets; "" if it sets none.
std::string_view name_set_by(std::string_view line) {
  const std::size_t equals = line.find('=');
  if (equals == line.npos) return {};
  const std::string_view name = line.substr(0, line.find_last_not_of(" \t", equals == 0 ? 0 : equals - 1) + 1);
  return name.find_first_of(" \t#%=") == name.npos ? name : std::string_view();
}

}  // namespace

bool has_tokens(std::string_view text) { return text.find(kTokenBegins) != text.npos && text.find('\0') == text.npos; }

Filled fill_tokens(std::string_view text, const TokenValues& values) {
  Filled out;
  out.text.reserve(text.size());
  for (;;) {
    const std::size_t begin = text.find(kTokenBegins);
    out.text.append(text.substr(0, begin));
    if (begin == text.npos) return out;
    text.remove_prefix(begin);
    std::size_t end = kTokenBegins.size();
    while (end < text.size() && is_token_character(text[end])) ++end;
    const std::string_view name = text.substr(kMark.size(), end - kMark.size());
    const bool closed = text.substr(end).starts_with(kMark) && end > kTokenBegins.size();
    const auto value = closed ? values.find(name) : values.end();
    if (value != values.end()) {
      out.text.append(value->second);
      text.remove_prefix(end + kMark.size());
      continue;
    }
    // Left as it is; the closing marks stay in the text, since they may open the next token.
    if (closed && std::ranges::find(out.unknown, name) == out.unknown.end()) out.unknown.emplace_back(name);
    const std::size_t passed = closed ? end + kMark.size() : end;
    out.text.append(text.substr(0, passed));
    text.remove_prefix(passed);
  }
}

bool sets_one_line(std::string_view token) { return !name_set_by(token).empty(); }

std::optional<std::string> with_line(std::string_view text, std::string_view token) {
  if (text.contains('\0')) return std::nullopt;
  const std::string_view name = name_set_by(token);
  std::string out;
  bool found = false, goes_on = false;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    goes_on = goes_on && line.find_first_of(" \t") == 0;
    if (goes_on) continue;
    goes_on = name_set_by(line) == name;
    found = found || goes_on;
    out.append(goes_on ? token : line).append("\n");
  }
  return found ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace vskel
