#include "engine/sys/error.h"

#include <array>
#include <cstring>

namespace vskel {

namespace {

/// Length in bytes of the valid, printable UTF-8 sequence at the start of `text`; 0 if there is none.
std::size_t printable_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f && first != '\\' ? 1 : 0;
  const std::size_t length = first >= 0xc2 && first < 0xe0   ? 2
                             : first < 0xf0 && first >= 0xe0 ? 3
                             : first >= 0xf0 && first < 0xf5 ? 4
                                                             : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  // Overlong forms, surrogates, values past U+10FFFF, and the C1 controls, which terminals obey.
  if (first == 0xc2 && byte(1) < 0xa0) return 0;
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) >= 0xa0) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) >= 0x90) return 0;
  return length;
}

}  // namespace

std::string printable(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = printable_sequence(text);
    if (length == 0) {
      const auto value = static_cast<unsigned char>(text[0]);
      out.append("\\x").push_back(kHex[value >> 4]);
      out.push_back(kHex[value & 15]);
      text.remove_prefix(1);
    } else {
      out.append(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  return out;
}

std::string Error::line() const {
  std::string text = operation;
  if (!path.empty()) text.append(" ").append(printable(path));
  text.append(": ");
  if (!reason.empty()) return text.append(printable(reason));
  std::array<char, 128> buffer{};
  return text.append(strerror_r(code, buffer.data(), buffer.size()));
}

Error Error::rebased(std::string_view from, std::string_view to) && {
  const bool inside = path.starts_with(from) && (path.size() == from.size() || path[from.size()] == '/');
  if (inside) path.replace(0, from.size(), to);
  return std::move(*this);
}

std::unexpected<Error> fail(std::string operation, std::string path, int code) {
  return std::unexpected(Error{std::move(operation), std::move(path), code, {}, Blame::machine});
}

std::unexpected<Error> fail(std::string operation, std::string path, std::string reason) {
  return std::unexpected(Error{std::move(operation), std::move(path), 0, std::move(reason), Blame::machine});
}

std::unexpected<Error> refuse(std::string operation, std::string value, std::string rule) {
  return std::unexpected(Error{std::move(operation), std::move(value), 0, std::move(rule), Blame::request});
}

}  // namespace vskel
