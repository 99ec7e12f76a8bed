// Patterns of the layout's rules: an absolute path whose components may hold * ? [..] and \ before what is meant as it
// stands. Nothing matches a '/'. Pure; thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace vskel {

/// How a path relative to the root stands to a pattern.
enum class PatternMatch {
  none,
  above,  ///< a directory on the way to what the pattern may match; the root is above all
  exact,
  below,  ///< something above the path matches exactly
};

/// `pattern` begins with '/', as bad_pattern() wants it; `relative_path` is "" or has no '/' at either end.
[[nodiscard]] PatternMatch match_pattern(std::string_view pattern, std::string_view relative_path);
/// True for exact and below: what a rule of the layout covers.
[[nodiscard]] bool pattern_covers(std::string_view pattern, std::string_view relative_path);

/// Why a pattern is no good ("a pattern is one line" ...); nullptr if it is.
[[nodiscard]] const char* bad_pattern(std::string_view pattern);

/// The pattern that matches `relative_path` (not "") and means its characters as they stand. A byte that a line of the
/// layout can't hold is a '?'.
[[nodiscard]] std::string literal_pattern(std::string_view relative_path);

}  // namespace vskel
