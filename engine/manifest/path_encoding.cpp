// Names as mtree(5) wants them: vis(3) in its octal form. Everything that mtree, bsdtar or a terminal could take for
// something else is \ooo; the glob characters too, because NetBSD's mtree takes a name with * ? [ for a pattern.

#include <algorithm>

#include "engine/manifest/manifest.h"

namespace vskel {

namespace {

bool stands_for_itself(char c) {
  const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return alphanumeric || std::string_view("/._-+,:@~").contains(c);
}

bool is_octal(char c) { return c >= '0' && c <= '7'; }

}  // namespace

std::string encode_path(std::string_view path) {
  if (std::ranges::all_of(path, stands_for_itself)) return std::string(path);
  std::string out;
  for (const char c : path) {
    if (stands_for_itself(c)) {
      out.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out.push_back('\\');
    for (int shift = 6; shift >= 0; shift -= 3) out.push_back(static_cast<char>('0' + ((byte >> shift) & 7)));
  }
  return out;
}

std::optional<std::string> decode_path(std::string_view text) {
  if (text.find('\0') != text.npos) return std::nullopt;  // no name has a NUL
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t escape = text.find('\\');
    out.append(text.substr(0, escape));
    if (escape == text.npos) return out;
    text.remove_prefix(escape);
    if (text.size() < 4 || !std::all_of(text.begin() + 1, text.begin() + 4, is_octal) || text[1] > '3')
      return std::nullopt;
    const int value = (text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0');
    if (value == 0) return std::nullopt;
    out.push_back(static_cast<char>(value));
    text.remove_prefix(4);
  }
  return out;
}

}  // namespace vskel
