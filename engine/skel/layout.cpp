#include "engine/skel/layout.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <optional>

namespace vskel {

namespace {

// relink.md, "Package databases".
constexpr std::array<std::string_view, 6> kDatabases{"/var/lib/dpkg",  "/var/lib/rpm",    "/usr/lib/sysimage/rpm",
                                                     "/usr/share/rpm", "/var/lib/pacman", "/lib/apk/db"};

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

/// Does the pattern (no leading slash) match the path or one of its parents, component by component?
bool matches_path_or_parent(std::string_view pattern, std::string_view path) {
  while (!pattern.empty()) {
    if (path.empty()) return false;
    const std::string_view glob = pattern.substr(0, pattern.find('/')), component = path.substr(0, path.find('/'));
    const bool literal = glob.find_first_of("*?[\\") == glob.npos;
    const bool same =
        literal ? glob == component : ::fnmatch(std::string(glob).c_str(), std::string(component).c_str(), 0) == 0;
    if (!same) return false;
    pattern.remove_prefix(std::min(pattern.size(), glob.size() + 1));
    path.remove_prefix(std::min(path.size(), component.size() + 1));
  }
  return true;
}

/// Why a pattern is no good; nullptr if it is.
const char* bad_pattern(std::string_view pattern) {
  if (!pattern.starts_with('/') || pattern.size() < 2) return "a pattern is an absolute path below /";
  if (pattern.find_first_of(std::string_view("\n\r\0", 3)) != pattern.npos) return "a pattern is one line";
  std::string_view rest = pattern.substr(1);
  while (!rest.empty()) {
    const std::string_view component = rest.substr(0, rest.find('/'));
    if (component.empty() || component == "." || component == "..") return "a pattern has no empty, . or .. components";
    rest.remove_prefix(std::min(rest.size(), component.size() + 1));
  }
  return pattern.ends_with('/') ? "a pattern does not end with /" : nullptr;
}

}  // namespace

std::span<const std::string_view> package_databases() { return kDatabases; }

Result<Layout> Layout::with_defaults(std::span<const std::string> global, std::span<const std::string> local) {
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
  for (const auto& [part, pattern] : kDefaults) layout.rules_.push_back({part, std::string(pattern)});
  return layout;
}

Result<Layout> Layout::parse(std::string_view text, const std::string& source) {
  Layout layout;
  for (std::size_t number = 1; !text.empty(); ++number) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const auto bad = [&](const char* why) {
      return fail("read layout", source + ":" + std::to_string(number), std::string(line) + ": " + why);
    };
    const std::size_t space = line.find_first_of(" \t");
    const std::string_view word = line.substr(0, space);
    const std::size_t start = space == line.npos ? line.npos : line.find_first_not_of(" \t", space);
    if (start == line.npos) return bad("a rule is PART PATTERN");
    const std::string_view pattern = line.substr(start);
    if (const char* why = bad_pattern(pattern)) return bad(why);
    std::optional<Part> part;
    for (const Part candidate : {Part::global_part, Part::local_part, Part::static_part})
      if (word == part_name(candidate)) part = candidate;
    if (!part) return bad("the part is one of global, local, static");
    layout.rules_.push_back({*part, std::string(pattern)});
  }
  return layout;
}

std::string Layout::text() const {
  std::string out =
      "# Which paths are global, local, static: the first rule that matches a path or a directory above it wins.\n"
      "# Package databases are local in any case, and so is all that no rule names.\n";
  for (const Rule& rule : rules_) out.append(part_name(rule.part)).append(" ").append(rule.pattern).append("\n");
  return out;
}

Part Layout::part_of(std::string_view relative_path) const {
  for (const std::string_view database : kDatabases)
    if (matches_path_or_parent(database.substr(1), relative_path)) return Part::local_part;
  for (const Rule& rule : rules_)
    if (matches_path_or_parent(std::string_view(rule.pattern).substr(1), relative_path)) return rule.part;
  return Part::local_part;
}

std::optional<std::string> Layout::ambiguity_of(std::string_view relative_path) const {
  const auto matches = [&](const Rule& rule) {
    return matches_path_or_parent(std::string_view(rule.pattern).substr(1), relative_path);
  };
  for (const std::string_view database : kDatabases)
    if (matches_path_or_parent(database.substr(1), relative_path)) return std::nullopt;
  const auto decides = std::ranges::find_if(rules_, matches);
  if (decides == rules_.end()) return std::nullopt;
  const auto depth = [](const Rule& rule) { return std::ranges::count(rule.pattern, '/'); };
  for (auto later = std::next(decides); later != rules_.end(); ++later)
    if (later->part != decides->part && depth(*later) > depth(*decides) && matches(*later))
      return std::string(part_name(later->part)) + " " + later->pattern;
  return std::nullopt;
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
    return !pattern.empty() && matches_path_or_parent(pattern, relative_path);
  }
  while (pattern.ends_with('/')) pattern.remove_suffix(1);
  while (!pattern.empty() && !relative_path.empty()) {
    if (matches_path_or_parent(pattern, relative_path)) return true;
    const std::size_t slash = relative_path.find('/');
    if (slash == relative_path.npos) return false;
    relative_path.remove_prefix(slash + 1);
  }
  return false;
}

}  // namespace vskel
