#include "engine/skel/layout.h"

#include <algorithm>
#include <array>
#include <optional>

#include "engine/skel/path_pattern.h"

namespace vskel {

namespace {

// relink.md, "Package databases"; dnf's history and dnf5's state name packages that rpm's database has to have.
constexpr std::array<std::string_view, 8> kDatabases{
    "/var/lib/dpkg",   "/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm",
    "/var/lib/pacman", "/lib/apk/db",  "/var/lib/dnf",          "/usr/lib/sysimage/libdnf5"};

constexpr std::array<std::pair<Part, std::string_view>, 12> kDefaults{{
    {Part::static_part, "/etc/passwd"},
    {Part::static_part, "/etc/shadow"},
    {Part::static_part, "/etc/group"},
    {Part::static_part, "/etc/gshadow"},
    {Part::static_part, "/etc/subuid"},
    {Part::static_part, "/etc/subgid"},
    {Part::static_part, "/etc/hosts"},
    {Part::local_part, "/usr/local"},
    {Part::global_part, "/bin"},
    {Part::global_part, "/lib*"},
    {Part::global_part, "/sbin"},
    {Part::global_part, "/usr"},
}};

bool in_database(std::string_view path) {
  return std::ranges::any_of(kDatabases, [&](std::string_view database) { return pattern_covers(database, path); });
}

/// A line of the text form: its first word, and what stands behind it, "" if nothing does.
struct Line {
  std::string_view word, rest;
};

Line split_line(std::string_view line) {
  const std::size_t space = line.find_first_of(" \t");
  const std::size_t start = space == line.npos ? line.npos : line.find_first_not_of(" \t", space);
  return {line.substr(0, space), start == line.npos ? std::string_view() : line.substr(start)};
}

}  // namespace

std::span<const std::string_view> package_databases() { return kDatabases; }

Result<Layout> Layout::with_defaults(std::span<const std::string> global, std::span<const std::string> local,
                                     std::span<const std::string> static_paths, std::span<const std::string> keep) {
  Layout layout;
  const auto add = [&](Part part, std::span<const std::string> patterns) -> Result<> {
    for (const std::string& pattern : patterns) {
      if (const char* why = bad_pattern(pattern)) return refuse("layout rule", pattern, why);
      layout.rules_.push_back({part, pattern});
    }
    return {};
  };
  TRY(add(Part::global_part, global));
  TRY(add(Part::local_part, local));
  TRY(add(Part::static_part, static_paths));
  for (const auto& [part, pattern] : kDefaults) layout.rules_.push_back({part, std::string(pattern)});
  layout.bundles_ = Bundles::built_in();
  for (const std::string& glob : keep)
    if (const auto added = layout.identity_.add("keep", glob); !added)
      return refuse("layout rule", glob, added.error());
  layout.identity_.append(IdentityRules::built_in());
  return layout;
}

std::expected<void, const char*> Layout::add_rule(std::string_view word, std::string_view rest, BuiltIn& built_in) {
  if (rest.empty()) return std::unexpected("a rule is WORD PATTERN");
  if (word == "identity" || (word == "bundle" && rest == "none")) {
    if (rest != "none") return std::unexpected("identity is followed by none");
    (word == "identity" ? built_in.identity : built_in.bundles) = false;
    return {};
  }
  const auto identity = identity_.add(word, rest);
  if (!identity) return std::unexpected(identity.error());
  if (*identity) {
    built_in.identity = built_in.identity && word == "keep";
    return {};
  }
  if (const char* why = bad_pattern(rest)) return std::unexpected(why);
  if (word == "bundle") {
    bundles_.add(std::string(rest));
    built_in.bundles = false;
    return {};
  }
  if (word == "apart") {
    bundles_.add_apart(std::string(rest));
    return {};
  }
  for (const Part part : {Part::global_part, Part::local_part, Part::static_part})
    if (word == part_name(part)) {
      rules_.push_back({part, std::string(rest)});
      return {};
    }
  return std::unexpected(
      "a rule begins with global, local, static, bundle, apart, omit, clear, scratch, empty, token, omit-keys or keep");
}

Result<Layout> Layout::parse_own(std::string_view text, const std::string& source, BuiltIn& built_in) {
  Layout layout;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const Line rule = split_line(line);
    if (const auto added = layout.add_rule(rule.word, rule.rest, built_in); !added)
      return fail("read layout", source + ":" + std::to_string(number), std::string(line) + ": " + added.error());
  }
  return layout;
}

Result<Layout> Layout::parse(std::string_view text, const std::string& source) {
  BuiltIn built_in;
  Layout layout = TRY(parse_own(text, source, built_in));
  if (built_in.bundles) layout.bundles_.append(Bundles::built_in());
  if (built_in.identity) layout.identity_.append(IdentityRules::built_in());
  return layout;
}

Result<std::string> Layout::with_omitted(std::string text, const std::string& source,
                                         std::span<const std::string> relative_paths) {
  BuiltIn built_in;
  TRY(parse_own(text, source, built_in));
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  if (built_in.identity) text += IdentityRules::built_in().text();
  text += "# A private key was found in it.\n";
  for (const std::string& path : relative_paths) text += "omit " + literal_pattern(path) + "\n";
  return text;
}

std::string Layout::text() const {
  std::string out =
      "# Which paths are global, local, static: the first rule that matches a path or a directory above it wins.\n"
      "# Package databases are local in any case, and so is all that no rule names.\n";
  for (const Rule& rule : rules_) out.append(part_name(rule.part)).append(" ").append(rule.pattern).append("\n");
  out +=
      "\n# Which directories belong together: relink moves such a bundle as a whole, or, once its tenant has changed\n"
      "# anything in it, not at all. What is apart is decided file by file.\n";
  out += bundles_.text();
  out +=
      "\n# What is one machine's own, or of no use to another: the first rule that matches wins, and keep GLOB ahead "
      "of\n"
      "# another takes a path as it is. Left out are regular files (omit: told by name; clear: by number; omit-keys: "
      "if\n"
      "# there is a private key in it) and all below a directory (scratch). empty makes a file empty; token makes it\n"
      "# static, with this text, or this line of it.\n";
  out += identity_.text();
  return out;
}

Part Layout::part_of(std::string_view relative_path) const {
  if (in_database(relative_path)) return Part::local_part;
  if (is_tokens(relative_path)) return Part::static_part;
  for (const Rule& rule : rules_)
    if (pattern_covers(rule.pattern, relative_path)) return rule.part;
  return Part::local_part;
}

std::optional<std::string> Layout::ambiguity_of(std::string_view relative_path) const {
  const auto matches = [&](const Rule& rule) { return pattern_covers(rule.pattern, relative_path); };
  if (in_database(relative_path) || is_tokens(relative_path)) return std::nullopt;
  const auto decides = std::ranges::find_if(rules_, matches);
  if (decides == rules_.end()) return std::nullopt;
  const auto depth = [](const Rule& rule) { return std::ranges::count(rule.pattern, '/'); };
  for (auto later = std::next(decides); later != rules_.end(); ++later)
    if (later->part != decides->part && depth(*later) > depth(*decides) && matches(*later))
      return std::string(part_name(later->part)) + " " + later->pattern;
  return std::nullopt;
}

bool Layout::is_bundle(std::string_view relative_path) const {
  const std::string own = "/" + std::string(relative_path);
  const auto is_above = [&](std::string_view database) { return database.starts_with(own + "/"); };
  return !in_database(relative_path) && std::ranges::none_of(kDatabases, is_above) && bundles_.is_bundle(relative_path);
}

std::optional<IdentityRule> Layout::identity_of(std::string_view relative_path) const {
  const IdentityRule* const rule = in_database(relative_path) ? nullptr : identity_.rule_of(relative_path);
  return rule == nullptr ? std::nullopt : std::optional(*rule);
}

bool Layout::is_tokens(std::string_view relative_path) const {
  const IdentityRule* const rule = identity_.rule_of(relative_path);
  return rule != nullptr && rule->kind == IdentityKind::token;
}

bool Layout::may_hold_key(std::string_view relative_path) const {
  return !in_database(relative_path) && identity_.may_hold_key(relative_path);
}

bool Layout::left_out(std::string_view relative_path, sys::FileType type) const {
  return !in_database(relative_path) && identity_.leaves_out(relative_path, type);
}

Result<> check_glob(const std::string& pattern) {
  const std::size_t end = pattern.find_last_not_of('/');
  const std::string trimmed = end == pattern.npos ? std::string() : pattern.substr(0, end + 1);
  const char* why = trimmed.empty() ? "a glob names something below /"
                                    : bad_pattern(trimmed.starts_with('/') ? trimmed : "/" + trimmed);
  if (why != nullptr) return refuse("exclude", pattern, why);
  return {};
}

bool glob_matches(std::string_view pattern, std::string_view relative_path) {
  if (pattern.starts_with('/')) {
    pattern.remove_prefix(1);
    while (pattern.ends_with('/')) pattern.remove_suffix(1);
    return !pattern.empty() && pattern_covers("/" + std::string(pattern), relative_path);
  }
  while (pattern.ends_with('/')) pattern.remove_suffix(1);
  if (pattern.empty()) return false;
  const std::string anchored = "/" + std::string(pattern);
  while (!relative_path.empty()) {
    if (pattern_covers(anchored, relative_path)) return true;
    const std::size_t slash = relative_path.find('/');
    if (slash == relative_path.npos) return false;
    relative_path.remove_prefix(slash + 1);
  }
  return false;
}

}  // namespace vskel
