// Which paths of a root are global, local or static, which belong together, and which are no part of a skel: three
// ordered lists of rules, in each of which the first match wins. The text form is SKEL/layout. Pure; thread-safe once
// built.
//
// Text: one rule a line; blank lines and lines that begin with # are skipped. PATTERN is an absolute path whose
// components may hold * ? [..] (never matching '/'); a rule covers that path and all below it.
//
//   PART PATTERN        PART one of global, local, static. Package databases are local by a built-in rule ahead of all
//                       others, and all else is local by a built-in last one.
//   bundle PATTERN      a directory that the pattern matches moves as a whole or not at all (bundles.h)
//   apart PATTERN       no bundle, whatever a bundle rule says
//   omit, clear, scratch, empty, omit-keys PATTERN, token PATTERN TEXT, keep GLOB
//                       identity rules (identity_rules.h). What a token rule decides is static. Package databases are
//                       never touched by one.
//
// A text without any bundle rule, such as version 0.1 wrote, means the built-in ones, and `bundle none` none; a text
// without any identity rule but keep means the built-in ones behind those that it has, and `identity none` none.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/part.h"
#include "engine/skel/bundles.h"
#include "engine/skel/identity_rules.h"
#include "engine/sys/error.h"

namespace vskel {

/// Paths of package databases (relink.md), each absolute, local wherever they lie.
[[nodiscard]] std::span<const std::string_view> package_databases();

class Layout {
 public:
  /// The default rules of cli.md (build-skel), with `global`, `local`, `static_paths` (patterns from the command line,
  /// absolute) and `keep` (globs) ahead of them.
  [[nodiscard]] static Result<Layout> with_defaults(std::span<const std::string> global,
                                                    std::span<const std::string> local,
                                                    std::span<const std::string> static_paths = {},
                                                    std::span<const std::string> keep = {});
  /// Reads the text form; `source` names the file in messages ("SOURCE:LINE").
  [[nodiscard]] static Result<Layout> parse(std::string_view text, const std::string& source);
  /// With all rules in it, those that are built in, too.
  [[nodiscard]] std::string text() const;
  /// The part of a path relative to the root ("usr/bin/tar"; "" is the root itself: local).
  [[nodiscard]] Part part_of(std::string_view relative_path) const;
  /// A later rule for another part that is more to the point (has more components) than the one that decides: then the
  /// order of the rules may be a mistake. Its text ("local /usr/local"), or nullopt.
  [[nodiscard]] std::optional<std::string> ambiguity_of(std::string_view relative_path) const;

  /// True if exactly this path, if a directory, is a bundle. Never a package database, nor what is above or below one.
  [[nodiscard]] bool is_bundle(std::string_view relative_path) const;

  /// The identity rule that decides of a path, of any type, by its name; none in package databases. Who asks for a
  /// vserver's sake may lay neither content nor absence of such a path, but of `keep`, over what the vserver has there.
  [[nodiscard]] std::optional<IdentityRule> identity_of(std::string_view relative_path) const;
  /// Is a regular file of this path to be looked into for a private key, and left out if it has one?
  [[nodiscard]] bool may_hold_key(std::string_view relative_path) const;
  /// Do the rules omit, clear or scratch keep a path of this type out of every generation? Its absence from one says
  /// nothing then: relink leaves such a path alone, whatever older generations have. (Symlinks and devices are left out
  /// by scratch only, directories never but below a scratch one.)
  [[nodiscard]] bool left_out(std::string_view relative_path, sys::FileType type) const;
  /// `text`, a layout as its administrator wrote it, with further `omit` rules for exactly these paths behind all
  /// others; what is built in, and would end with a first rule of its own, is written out ahead of them.
  [[nodiscard]] static Result<std::string> with_omitted(std::string text, const std::string& source,
                                                        std::span<const std::string> relative_paths);

 private:
  struct Rule {
    Part part;
    std::string pattern;
  };
  /// Which built-in rules a text means that has none of its own.
  struct BuiltIn {
    bool bundles = true, identity = true;
  };
  /// Without what is built in.
  [[nodiscard]] static Result<Layout> parse_own(std::string_view text, const std::string& source, BuiltIn& built_in);
  [[nodiscard]] std::expected<void, const char*> add_rule(std::string_view word, std::string_view rest,
                                                          BuiltIn& built_in);
  [[nodiscard]] bool is_tokens(std::string_view relative_path) const;

  std::vector<Rule> rules_;
  Bundles bundles_;
  IdentityRules identity_;
};

/// Refuses what no path can match: an empty glob, one with a newline, or an absolute one with empty, "." or ".."
/// components.
[[nodiscard]] Result<> check_glob(const std::string& pattern);
/// True if the glob `pattern` ("/var/cache/*" absolute; "*.log" without a slash: any component's name) matches
/// `relative_path` or one of its parents. Used for --exclude.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view relative_path);

}  // namespace vskel
