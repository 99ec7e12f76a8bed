#include <array>

#include "engine/packages/alternatives.h"
#include "engine/packages/dpkg_bookkeeping.h"
#include "engine/packages/dpkg_files.h"
#include "engine/packages/dpkg_status.h"
#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

namespace {

void status(std::string_view bytes) {
  const auto packages = parse_dpkg_status(bytes, "s");
  if (!packages) {
    must(packages.error().path.starts_with("s"), "an error names its line");
    must(packages.error().line().size() < 1000, "and is one that can be told");
    return;
  }
  const DpkgPackage* before = nullptr;
  for (const DpkgPackage& package : *packages) {
    must(before == nullptr ||
             std::pair(before->name, before->architecture) < std::pair(package.name, package.architecture),
         "packages are sorted, each once");
    before = &package;
    must(is_safe_path(package.name) && is_safe_path(dpkg_list_name(package)), "a name leads nowhere else");
    must(find_package(*packages, package.name, package.architecture) == &package, "a package is found");
    // What a caller takes from one file and lays into another means there what it meant here.
    must(package.begin + package.size <= bytes.size(), "a paragraph is in the text");
    const auto again = parse_dpkg_status(bytes.substr(package.begin, package.size), "s");
    must(again && again->size() == 1, "a paragraph stands for itself");
    const DpkgPackage& alone = again->front();
    must(alone.name == package.name && alone.architecture == package.architecture && alone.version == package.version &&
             alone.want == package.want && alone.flag == package.flag && alone.state == package.state &&
             is_settled(alone) == is_settled(package),
         "and says the same");
  }
}

void list(std::string_view bytes) {
  DpkgFileLists lists;
  if (!lists.add("one", bytes, "l") || !lists.add("two", "/.\n/a\n/a/b\n", "l")) return;
  const DpkgFiles files = std::move(lists).finish();
  while (!bytes.empty()) {
    const std::string_view line = bytes.substr(1, bytes.find('\n') - 1);
    bytes.remove_prefix(line.size() + 2);
    if (line == ".") continue;
    must(line.empty() || is_safe_path(line), "a path leads nowhere else");
    must(!files.owners_of(line).empty() && files.owners_of(line).front() == "one", "a path is owned");
    for (std::size_t slash = line.rfind('/'); slash != line.npos; slash = line.substr(0, slash).rfind('/'))
      must(files.owners_below(line.substr(0, slash)).front() == "one", "and so is what it lies below");
  }
}

/// The three sides of a merge, with form feeds between them.
void merges(std::string_view bytes) {
  std::array<std::string_view, 3> sides;
  for (std::string_view& side : sides) {
    side = bytes.substr(0, bytes.find('\f'));
    bytes.remove_prefix(std::min(bytes.size(), side.size() + 1));
  }
  const auto& [base, theirs, mine] = sides;
  if (const auto merged = merge_dpkg_status({base, theirs, mine}); merged && *merged) {
    const auto next = parse_dpkg_status(**merged, "s"), skels = parse_dpkg_status(theirs, "s");
    must(next && skels && differing_packages(*next, *skels).empty(), "a merged status has the skel's packages");
    must(base != mine || **merged == theirs, "who said nothing has what the skel has");
  }
  const auto led = [](std::string_view text) { return AlternativeSide{std::string(text), "/a"}; };
  if (const auto merged = merge_alternative("one", {led(base), led(theirs), led(mine)})) {
    for (const auto& [name, target] : merged->links) must(is_safe_path(name), "a link's name leads nowhere else");
    const auto own = merged->links.find("one");
    if (merged->text && own != merged->links.end()) {
      const AlternativeSide next{merged->text, own->second};
      auto again = merge_alternative("one", {led(theirs), led(theirs), next});
      must(again && again->text == next.text && again->links["one"] == own->second, "a second merge changes nothing");
    }
  }
  for (const std::string_view path : {kDpkgDiversions, kDpkgOverrides, kAptExtendedStates}) {
    const auto merged = merge_dpkg_list(path, {base, theirs, mine});
    if (!merged) continue;
    const std::string_view text = merged->text;
    const auto again = merge_dpkg_list(path, {text, text, text});
    must(again && again->text == text && again->kept.empty(), "what was merged is a list, and stays the same");
    const auto followed = merge_dpkg_list(path, {base, theirs, base}),
               stays = merge_dpkg_list(path, {base, base, mine});
    must(followed && followed->kept.empty() && stays && stays->kept.empty(), "one side alone is no conflict");
    const auto next = merge_dpkg_list(path, {base, text, text});
    must(next && next->text == text, "a second merge changes nothing");
  }
}

}  // namespace

/// All parsers get all of it.
void packages(std::string_view bytes) {
  status(bytes);
  list(bytes);
  merges(bytes);
}

}  // namespace vskel::test::fuzz
