#include "engine/skel/tokens.h"

#include <algorithm>

namespace vskel {

namespace {

constexpr std::string_view kMark = "%%", kBegin = "%%VS_";

bool is_token_character(char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

}  // namespace

bool has_tokens(std::string_view text) { return text.find(kBegin) != text.npos && text.find('\0') == text.npos; }

Filled fill_tokens(std::string_view text, const TokenValues& values) {
  Filled out;
  out.text.reserve(text.size());
  for (;;) {
    const std::size_t begin = text.find(kBegin);
    out.text.append(text.substr(0, begin));
    if (begin == text.npos) return out;
    text.remove_prefix(begin);
    std::size_t end = kBegin.size();
    while (end < text.size() && is_token_character(text[end])) ++end;
    const std::string_view name = text.substr(kMark.size(), end - kMark.size());
    const bool closed = text.substr(end).starts_with(kMark) && end > kBegin.size();
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

}  // namespace vskel
