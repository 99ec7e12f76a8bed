// What must be one machine's own, or is of no use to another, and so never travels from a skel: keys, ids, the host's
// name, caches and logs. An ordered list of rules, the first that covers a path decides. Pure; thread-safe once built.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sys/kernel.h"

namespace vskel {

enum class IdentityKind {
  omit,       ///< a regular file that is left out, and told by its name
  clear,      ///< regular files that are left out, told by number and size; directories stay
  scratch,    ///< a directory that stays, without all that is below it, told by number and size
  empty,      ///< a regular file that becomes an empty one, with its owner and mode
  token,      ///< a regular file that becomes static, with a token in it
  keep,       ///< whatever it is, as it is
  omit_keys,  ///< a regular file with a private key in it is left out, and told by its name
};

struct IdentityRule {
  IdentityKind kind = IdentityKind::keep;
  std::string pattern;  ///< see match_pattern(); of keep: see glob_matches()
  /// Of token: "NAME = %%VS_...%%" replaces the line of the file that sets NAME; other text replaces the whole content.
  std::string token;

  [[nodiscard]] bool covers(std::string_view relative_path) const;
};

class IdentityRules {
 public:
  /// The table of the design, built in.
  [[nodiscard]] static IdentityRules built_in();

  /// Reads one rule, "WORD PATTERN" or "token PATTERN TEXT", split into its first word and the rest: false if the word
  /// is none of an identity rule; the error says what is wrong with the rest.
  [[nodiscard]] std::expected<bool, const char*> add(std::string_view word, std::string_view rest);
  void add(IdentityRule rule) { rules_.push_back(std::move(rule)); }
  /// Puts `rules` behind these.
  void append(const IdentityRules& rules) { rules_.insert(rules_.end(), rules.rules_.begin(), rules.rules_.end()); }
  /// Nothing but keep rules, which say only what the others are not to take?
  [[nodiscard]] bool only_keeps() const;

  /// The rule that decides by the path alone: never one of kind omit_keys.
  [[nodiscard]] const IdentityRule* rule_of(std::string_view relative_path) const;
  /// Is a regular file of this path to be looked into for a private key? Then rule_of() may say nothing of it before.
  [[nodiscard]] bool may_hold_key(std::string_view relative_path) const;
  /// Is a path of this type never part of a skel? By its path alone.
  [[nodiscard]] bool leaves_out(std::string_view relative_path, sys::FileType type) const;
  /// Lines of the layout, a reason above those that are built in; "identity none" ahead of nothing but keep rules.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<IdentityRule> rules_;
};

}  // namespace vskel
