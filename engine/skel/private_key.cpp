#include "engine/skel/private_key.h"

#include <algorithm>
#include <vector>

namespace vskel {

namespace {

constexpr std::size_t kFirstLook = 4096, kMostLook = 1 << 20;
constexpr std::string_view kBegin = "-----BEGIN ", kKey = "PRIVATE KEY", kSpace = " \t";

/// The line that `at` is in, up to there, is white space.
bool begins_line(std::string_view text, std::size_t at) {
  const std::size_t before = at == 0 ? text.npos : text.find_last_not_of(kSpace, at - 1);
  return before == text.npos || text[before] == '\n';
}

}  // namespace

bool has_private_key(std::string_view text) {
  if (text.contains('\0')) return false;
  for (std::size_t at = text.find(kBegin); at != text.npos; at = text.find(kBegin, at + kBegin.size())) {
    const std::string_view rest = text.substr(at + kBegin.size());
    const std::string_view label = rest.substr(0, rest.find_first_of("-\n"));
    if (label.contains(kKey) && rest.substr(label.size()).starts_with("-----") && begins_line(text, at)) return true;
  }
  return false;
}

Result<bool> holds_private_key(const Fd& file) {
  std::vector<std::byte> bytes(kFirstLook);
  const auto text = [&](std::size_t size) {
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), size);
  };
  std::size_t got = TRY(sys::read_at(file, bytes, 0));
  // Databases and images, which may be large, show what they are at once.
  if (got < kFirstLook || text(got).contains('\0')) return has_private_key(text(got));
  bytes.resize(kMostLook);
  got += TRY(sys::read_at(file, std::span(bytes).subspan(got), got));
  return has_private_key(text(got));
}

}  // namespace vskel
