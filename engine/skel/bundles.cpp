#include "engine/skel/bundles.h"

#include <algorithm>
#include <array>
#include <span>

#include "engine/skel/path_pattern.h"

namespace vskel {

namespace {

struct BuiltIn {
  std::string_view pattern, reason;
};

constexpr std::array<BuiltIn, 11> kBundles{{
    {"/var/lib/*", "The state of a program: a database, a mail store."},
    {"/var/lib/apt/*", "apt keeps several states here, and extended_states beside them."},
    {"/var/lib/php/*", "Sessions here, and which modules are on there."},
    {"/var/lib/private/*", "The states of services of systemd's with DynamicUser=."},
    {"/var/lib/systemd/*", "Each part of systemd has its own."},
    {"/var/spool/*", "Queues, and crontabs."},
    {"/var/www/*", "A site."},
    {"/var/opt/*", "The state of an add-on package."},
    {"/srv/*", "The data of a service."},
    {"/home/*", "Somebody's home."},
    {"/opt/*", "An add-on package, program and all."},
}};

// Lists with one file an entry, kept by package scripts: an entry of a tenant's own keeps none of the skel's away.
constexpr std::array<BuiltIn, 6> kApart{{
    {"/var/lib/alternatives", "A file for each alternative (rpm)."},
    {"/var/lib/apache2", "A file for each module, site and configuration that a package turned on."},
    {"/var/lib/emacsen-common", "A file for each add-on package."},
    {"/var/lib/php/modules", "A file for each module that a package turned on."},
    {"/var/lib/systemd/deb-systemd-helper-*", "A file for each unit that a package turned on."},
    {"/var/lib/systemd/deb-systemd-user-helper-*", "The same for units of users."},
}};

void append_rule(std::string& out, std::string_view word, const std::string& pattern,
                 std::span<const BuiltIn> built_in) {
  const auto known = std::ranges::find(built_in, pattern, &BuiltIn::pattern);
  if (known != built_in.end()) out.append("# ").append(known->reason).append("\n");
  out.append(word).append(" ").append(pattern).append("\n");
}

}  // namespace

Bundles Bundles::built_in() {
  Bundles bundles;
  for (const BuiltIn& bundle : kBundles) bundles.add(std::string(bundle.pattern));
  for (const BuiltIn& apart : kApart) bundles.add_apart(std::string(apart.pattern));
  return bundles;
}

void Bundles::append(const Bundles& bundles) {
  patterns_.insert(patterns_.end(), bundles.patterns_.begin(), bundles.patterns_.end());
  apart_.insert(apart_.end(), bundles.apart_.begin(), bundles.apart_.end());
}

bool Bundles::is_bundle(std::string_view relative_path) const {
  bool found = false;
  for (const std::string& pattern : patterns_) {
    const PatternMatch match = match_pattern(pattern, relative_path);
    if (match == PatternMatch::above) return false;
    found = found || match == PatternMatch::exact;
  }
  const auto covers = [&](const std::string& pattern) { return pattern_covers(pattern, relative_path); };
  return found && std::ranges::none_of(apart_, covers);
}

std::string Bundles::text() const {
  std::string out;
  if (patterns_.empty()) out = "bundle none\n";
  for (const std::string& pattern : patterns_) append_rule(out, "bundle", pattern, kBundles);
  for (const std::string& pattern : apart_) append_rule(out, "apart", pattern, kApart);
  return out;
}

}  // namespace vskel
