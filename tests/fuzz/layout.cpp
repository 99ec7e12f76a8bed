#include "engine/skel/layout.h"

#include <vector>

#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

/// The first line is a path, the rest the rules.
void layout(std::string_view bytes) {
  const std::string path(bytes.substr(0, bytes.find('\n')));
  const std::string_view rules = bytes.substr(std::min(bytes.size(), path.size() + 1));
  const auto first = Layout::parse(rules, "l");
  if (first) {
    const std::string text = first->text();
    const auto second = Layout::parse(text, "l");
    must(second && second->text() == text, "a layout comes back as it was");
    for (const std::string& one : {path, std::string("usr/bin/tar"), std::string("etc/passwd")}) {
      must(second->part_of(one) == first->part_of(one), "and means the same");
      must(second->ambiguity_of(one) == first->ambiguity_of(one), "and is as clear");
      must(second->is_bundle(one) == first->is_bundle(one), "and bundles the same");
      must(second->may_hold_key(one) == first->may_hold_key(one), "and looks into the same");
      const auto rule = first->identity_of(one), again = second->identity_of(one);
      must(rule.has_value() == again.has_value(), "and takes the same");
      must(!rule || (rule->kind == again->kind && rule->token == again->token), "for the same reason");
    }
    must(!first->is_bundle("") && !first->is_bundle("var/lib/dpkg"), "neither root nor database is a bundle");
    must(!first->identity_of("var/lib/dpkg/status"), "package databases are taken as they are");
    if (is_safe_path(path)) {
      const std::vector omitted{path};
      const auto text_with = Layout::with_omitted(std::string(rules), "l", omitted);
      must(text_with && Layout::parse(*text_with, "l"), "a found key does not break a layout");
    }
    must(first->part_of("var/lib/dpkg/status") == Part::local_part, "package databases are local");
    must(first->part_of("") == Part::local_part, "the root is local");
  } else {
    must(first.error().path.starts_with("l:"), "an error names its line");
  }
  const std::string glob(rules.substr(0, rules.find('\n')));
  const bool good = check_glob(glob).has_value(), matches = glob_matches(glob, path);
  // What stands for itself matches itself, from the root and from anywhere.
  const bool literal = path.find_first_of("*?[\\") == path.npos && is_safe_path(path) && check_glob("/" + path);
  if (literal) {
    must(glob_matches("/" + path, path) && glob_matches("/" + path, path + "/below"), "a path matches itself");
    must(glob_matches(path, "above/" + path), "and below another");
  }
  must(!matches || good || glob.find('\n') == glob.npos, "only what is taken matches");
}

}  // namespace vskel::test::fuzz
