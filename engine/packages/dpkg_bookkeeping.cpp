#include "engine/packages/dpkg_bookkeeping.h"

#include <algorithm>
#include <array>
#include <map>

namespace vskel {

namespace {

constexpr std::string_view kDatabase = "var/lib/dpkg/";
constexpr std::size_t kMostList = std::size_t{16} << 20;

bool is_there(const DpkgPackage& package) { return package.state != DpkgState::not_installed; }

bool is_same(const DpkgPackage& a, const DpkgPackage& b) {
  return a.version == b.version && a.state == b.state && a.flag == b.flag;
}

/// Labels of what `a` has and `b` has not, or not so.
void add_differing(const DpkgPackages& a, const DpkgPackages& b, std::vector<std::string>& out) {
  for (const DpkgPackage& package : a) {
    if (!is_there(package)) continue;
    const DpkgPackage* const other = find_package(b, package.name, package.architecture);
    if (other == nullptr || !is_same(package, *other)) out.push_back(dpkg_label(package));
  }
}

/// The paragraph with another first word of its Status.
std::string with_want(std::string_view paragraph, DpkgWant want) {
  constexpr std::string_view kField = "\nStatus:";
  const std::size_t field = paragraph.find(kField);
  if (field == paragraph.npos) return std::string(paragraph);
  const std::size_t begin = paragraph.find_first_not_of(" \t", field + kField.size());
  const std::size_t end = std::min(paragraph.find_first_of(" \t", begin), paragraph.size());
  return std::string(paragraph.substr(0, begin)).append(want_word(want)).append(paragraph.substr(end));
}

/// What mine wants of a package that theirs has, where its administrator said so.
std::optional<DpkgWant> wanted(const DpkgPackage& package, const DpkgPackages& base, const DpkgPackages& mine) {
  const DpkgPackage* const own = find_package(mine, package.name, package.architecture);
  const DpkgPackage* const was = find_package(base, package.name, package.architecture);
  if (own == nullptr || own->want == package.want || (was != nullptr && own->want == was->want)) return std::nullopt;
  return own->want;
}

struct Entry {
  std::string_view key, text;
};

/// Takes a list apart, which is of one-line, of three-line entries or of paragraphs.
class EntryReader {
 public:
  EntryReader(std::string_view path, std::string_view text) : path_(path), text_(text) {}

  Result<std::vector<Entry>> run() {
    if (text_.size() > kMostList) return bad("larger than 16 MiB");
    if (!text_.empty() && !text_.ends_with('\n')) return bad("the file ends within a line");
    if (text_.contains('\0')) return bad("a NUL byte");
    std::vector<Entry> out;
    while (at_ < text_.size()) {
      const Entry entry = TRY(next());
      if (!entry.key.empty()) out.push_back(entry);
    }
    return out;
  }

 private:
  [[nodiscard]] std::unexpected<Error> bad(const std::string& why) const {
    return fail("read list of packages", "/" + std::string(path_), why);
  }

  std::string_view line() {
    const std::size_t end = text_.find('\n', at_);
    const std::string_view line = text_.substr(at_, end - at_);
    at_ = end + 1;
    return line;
  }

  Result<Entry> next() {
    const std::size_t begin = at_;
    std::string_view key = line();
    if (path_ == kDpkgOverrides) {
      key = key.substr(std::min(key.rfind(' ') + 1, key.size()));  // USER GROUP MODE PATH
      if (!key.starts_with('/')) return bad("a line is USER GROUP MODE PATH");
    } else if (path_ == kDpkgDiversions) {
      for (int further = 0; further < 2; ++further) {
        if (at_ >= text_.size()) return bad("an entry has three lines");
        (void)line();
      }
    } else {
      if (key.empty()) return Entry{};
      std::size_t end = at_;
      while (at_ < text_.size() && !line().empty()) end = at_;
      // Package and Architecture come first.
      const std::string_view whole = text_.substr(begin, end - begin);
      key = whole.substr(0, whole.find("\nAuto-Installed:"));
      return Entry{key, whole};
    }
    return Entry{key, text_.substr(begin, at_ - begin)};
  }

  const std::string_view path_, text_;
  std::size_t at_ = 0;
};

using Entries = std::map<std::string_view, std::string_view>;

Result<Entries> by_key(std::string_view path, const std::vector<Entry>& entries) {
  Entries out;
  for (const Entry& entry : entries)
    if (!out.emplace(entry.key, entry.text).second)
      return fail("read list of packages", "/" + std::string(path), "an entry is there twice");
  return out;
}

const std::string_view* find(const Entries& entries, std::string_view key) {
  const auto found = entries.find(key);
  return found == entries.end() ? nullptr : &found->second;
}

bool equal(const std::string_view* a, const std::string_view* b) {
  return (a == nullptr) == (b == nullptr) && (a == nullptr || *a == *b);
}

class ListMerge {
 public:
  explicit ListMerge(std::string_view path) : path_(path) {}

  Result<MergedList> run(const ListSides& sides) {
    const auto base = TRY(EntryReader(path_, sides.base).run()), theirs = TRY(EntryReader(path_, sides.theirs).run()),
               mine = TRY(EntryReader(path_, sides.mine).run());
    base_ = TRY(by_key(path_, base));
    theirs_ = TRY(by_key(path_, theirs));
    mine_ = TRY(by_key(path_, mine));
    for (const Entry& entry : mine) take(entry.key);
    for (const Entry& entry : theirs)
      if (!mine_.contains(entry.key)) take(entry.key);
    return std::move(out_);
  }

 private:
  void take(std::string_view key) {
    const std::string_view *const base = find(base_, key), *const theirs = find(theirs_, key),
                                  *const mine = find(mine_, key);
    const bool follows = equal(base, mine);
    if (!follows && !equal(base, theirs) && !equal(theirs, mine))
      out_.kept.push_back(std::string(key.substr(0, key.find('\n'))) + ": changed on both sides");
    const std::string_view* const taken = follows ? theirs : mine;
    if (taken == nullptr) return;
    out_.text += *taken;
    if (path_ == kAptExtendedStates) out_.text += '\n';
  }

  const std::string_view path_;
  Entries base_, theirs_, mine_;
  MergedList out_;
};

}  // namespace

bool is_dpkg_bookkeeping(std::string_view path) {
  if (!path.starts_with(kDatabase) || path == kDpkgStatus) return false;
  const std::string_view name = path.substr(kDatabase.size());
  constexpr std::array<std::string_view, 3> kDirectories{"alternatives", "info", "triggers"};
  constexpr std::array<std::string_view, 3> kFiles{"diversions", "statoverride", "available"};
  return std::ranges::find(kDirectories, name.substr(0, name.find('/'))) != kDirectories.end() ||
         std::ranges::find(kFiles, name) != kFiles.end() || name.ends_with("-old");
}

std::vector<std::string> differing_packages(const DpkgPackages& a, const DpkgPackages& b) {
  std::vector<std::string> out;
  add_differing(a, b, out);
  add_differing(b, a, out);
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

Result<std::optional<std::string>> merge_dpkg_status(const ListSides& sides) {
  const std::string source = "/" + std::string(kDpkgStatus);
  const DpkgPackages base = TRY(parse_dpkg_status(sides.base, source)),
                     theirs = TRY(parse_dpkg_status(sides.theirs, source)),
                     mine = TRY(parse_dpkg_status(sides.mine, source));
  if (!differing_packages(base, mine).empty()) {
    if (differing_packages(theirs, mine).empty()) return std::string(sides.mine);
    return std::nullopt;
  }
  std::map<std::size_t, std::pair<std::size_t, DpkgWant>> changed;  // begin of a paragraph -> its size, what is wanted
  for (const DpkgPackage& package : theirs)
    if (const auto want = wanted(package, base, mine)) changed.emplace(package.begin, std::pair(package.size, *want));
  std::string out;
  std::size_t at = 0;
  for (const auto& [begin, change] : changed) {
    out.append(sides.theirs.substr(at, begin - at))
        .append(with_want(sides.theirs.substr(begin, change.first), change.second));
    at = begin + change.first;
  }
  return out.append(sides.theirs.substr(at));
}

Result<MergedList> merge_dpkg_list(std::string_view path, const ListSides& sides) { return ListMerge(path).run(sides); }

}  // namespace vskel
