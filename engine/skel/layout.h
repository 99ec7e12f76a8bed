// Which paths of a root are global, local or static: an ordered list of rules, the first match wins. The text form is
// SKEL/layout. Pure; thread-safe once built.
//
// Text: one rule a line, `PART PATTERN`, PART one of global, local, static; blank lines and lines that begin with # are
// skipped. PATTERN is an absolute path whose components may hold * ? [..] (never matching '/'); it matches that path
// and all below it. Package databases are local by a built-in rule ahead of all others, and all else is local by a
// built-in last one.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/part.h"
#include "engine/sys/error.h"

namespace vskel {

/// Paths of package databases (relink.md), each absolute, local wherever they lie.
[[nodiscard]] std::span<const std::string_view> package_databases();

class Layout {
 public:
  /// The default rules of cli.md (build-skel), with `global` and `local` (patterns from the command line, absolute)
  /// ahead of them.
  [[nodiscard]] static Result<Layout> with_defaults(std::span<const std::string> global,
                                                    std::span<const std::string> local);
  /// Reads the text form; `source` names the file in messages ("SOURCE:LINE").
  [[nodiscard]] static Result<Layout> parse(std::string_view text, const std::string& source);
  [[nodiscard]] std::string text() const;
  /// The part of a path relative to the root ("usr/bin/tar"; "" is the root itself: local).
  [[nodiscard]] Part part_of(std::string_view relative_path) const;
  /// A later rule for another part that is more to the point (has more components) than the one that decides: then the
  /// order of the rules may be a mistake. Its text ("local /usr/local"), or nullopt.
  [[nodiscard]] std::optional<std::string> ambiguity_of(std::string_view relative_path) const;

 private:
  struct Rule {
    Part part;
    std::string pattern;
  };
  std::vector<Rule> rules_;
};

/// Refuses what no path can match: an empty glob, one with a newline, or an absolute one with empty, "." or ".."
/// components.
[[nodiscard]] Result<> check_glob(const std::string& pattern);
/// True if the glob `pattern` ("/var/cache/*" absolute; "*.log" without a slash: any component's name) matches
/// `relative_path` or one of its parents. Used for --exclude.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view relative_path);

}  // namespace vskel
