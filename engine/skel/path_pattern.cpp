#include "engine/skel/path_pattern.h"

#include <fnmatch.h>

#include <algorithm>

namespace vskel {

namespace {

constexpr std::string_view kSpecial = "*?[\\", kNoLine("\n\r\0", 3);

bool component_matches(std::string_view glob, std::string_view component) {
  if (glob.find_first_of(kSpecial) == glob.npos) return glob == component;
  return ::fnmatch(std::string(glob).c_str(), std::string(component).c_str(), 0) == 0;
}

/// Told apart by the characters ahead of the first special one: most patterns are, by one of them.
bool begin_apart(std::string_view pattern, std::string_view path) {
  const auto [in_pattern, in_path] = std::ranges::mismatch(pattern, path);
  return in_pattern != pattern.end() && in_path != path.end() &&
         std::string_view(pattern.begin(), in_pattern + 1).find_first_of(kSpecial) == pattern.npos;
}

}  // namespace

PatternMatch match_pattern(std::string_view pattern, std::string_view relative_path) {
  pattern.remove_prefix(std::min<std::size_t>(pattern.size(), 1));
  if (begin_apart(pattern, relative_path)) return PatternMatch::none;
  while (!pattern.empty() && !relative_path.empty()) {
    const std::string_view glob = pattern.substr(0, pattern.find('/'));
    const std::string_view component = relative_path.substr(0, relative_path.find('/'));
    if (!component_matches(glob, component)) return PatternMatch::none;
    pattern.remove_prefix(std::min(pattern.size(), glob.size() + 1));
    relative_path.remove_prefix(std::min(relative_path.size(), component.size() + 1));
  }
  if (!pattern.empty()) return PatternMatch::above;
  return relative_path.empty() ? PatternMatch::exact : PatternMatch::below;
}

bool pattern_covers(std::string_view pattern, std::string_view relative_path) {
  const PatternMatch match = match_pattern(pattern, relative_path);
  return match == PatternMatch::exact || match == PatternMatch::below;
}

const char* bad_pattern(std::string_view pattern) {
  if (!pattern.starts_with('/') || pattern.size() < 2) return "a pattern is an absolute path below /";
  if (pattern.find_first_of(kNoLine) != pattern.npos) return "a pattern is one line";
  std::string_view rest = pattern.substr(1);
  while (!rest.empty()) {
    const std::string_view component = rest.substr(0, rest.find('/'));
    if (component.empty() || component == "." || component == "..") return "a pattern has no empty, . or .. components";
    rest.remove_prefix(std::min(rest.size(), component.size() + 1));
  }
  return pattern.ends_with('/') ? "a pattern does not end with /" : nullptr;
}

std::string literal_pattern(std::string_view relative_path) {
  std::string out = "/";
  for (const char character : relative_path) {
    if (kSpecial.contains(character)) out += '\\';
    out += kNoLine.contains(character) ? '?' : character;
  }
  return out;
}

}  // namespace vskel
