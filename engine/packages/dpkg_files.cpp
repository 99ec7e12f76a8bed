#include "engine/packages/dpkg_files.h"

#include <algorithm>
#include <set>

namespace vskel {

namespace {

constexpr std::size_t kMaxPathName = 255;
constexpr std::size_t kMaxToldOfPath = 80;

/// Why a path ("usr/bin/ls", "" the root) is none; nullptr if it is one.
const char* bad_path(std::string_view path) {
  if (path.contains('\0')) return "a NUL byte";
  while (!path.empty()) {
    const std::string_view component = path.substr(0, path.find('/'));
    if (component.empty() || component == "." || component == "..") return "a path has no empty, . or .. components";
    if (component.size() > kMaxPathName) return "a name is too long";
    if (component.size() + 1 == path.size()) return "a path does not end with /";
    path.remove_prefix(std::min(path.size(), component.size() + 1));
  }
  return nullptr;
}

}  // namespace

Result<> DpkgFileLists::add(const std::string& package, std::string_view list, const std::string& source) {
  constexpr const char* kWhat = "read package file list";
  if (list.size() > kMaxDpkgList) return fail(kWhat, source, "larger than 64 MiB");
  if (files_.text_.size() + list.size() > kMaxDpkgLists) return fail(kWhat, source, "all lists are more than 512 MiB");
  const auto number = static_cast<std::uint32_t>(files_.packages_.size());
  files_.packages_.push_back(package);
  for (std::size_t line = 1; !list.empty(); ++line) {
    const std::size_t end = list.find('\n');
    const std::string_view text = list.substr(0, end);
    const auto bad = [&](const char* why) {
      return fail(kWhat, source + ":" + std::to_string(line), std::string(text.substr(0, kMaxToldOfPath)) + ": " + why);
    };
    if (end == list.npos) return bad("the file ends within a line");
    list.remove_prefix(end + 1);
    if (!text.starts_with('/')) return bad("a path is absolute");
    const std::string_view path = text == "/." ? std::string_view() : text.substr(1);
    if (const char* why = bad_path(path)) return bad(why);
    const auto begin = static_cast<std::uint32_t>(files_.text_.size());
    files_.text_ += path;
    files_.entries_.push_back({begin, static_cast<std::uint32_t>(path.size()), number});
  }
  return {};
}

DpkgFiles DpkgFileLists::finish() && {
  std::ranges::sort(files_.entries_, {}, [this](const DpkgFiles::Entry& entry) { return files_.path_of(entry); });
  return std::move(files_);
}

std::string_view DpkgFiles::path_of(const Entry& entry) const {
  return std::string_view(text_).substr(entry.begin, entry.size);
}

std::vector<std::string> DpkgFiles::names_of(Entries first, Entries second) const {
  std::set<std::uint32_t> owners;
  for (const Entries entries : {first, second})
    for (const Entry& entry : entries) owners.insert(entry.package);
  std::set<std::string> names;
  for (const std::uint32_t owner : owners) names.insert(packages_[owner]);
  return {names.begin(), names.end()};
}

DpkgFiles::Entries DpkgFiles::entries_of(std::string_view path) const {
  return std::ranges::equal_range(entries_, path, {}, [this](const Entry& entry) { return path_of(entry); });
}

std::vector<std::string> DpkgFiles::owners_of(std::string_view path) const { return names_of(entries_of(path), {}); }

std::vector<std::string> DpkgFiles::owners_below(std::string_view directory) const {
  if (directory.empty()) return names_of(entries_, {});
  // "a-b" sorts between "a" and "a/b": what is below a directory stands together, but not beside it.
  const std::string below = std::string(directory) + "/";
  const auto begins = [this](const Entry& entry) { return path_of(entry); };
  const auto first = std::ranges::lower_bound(entries_, below, {}, begins);
  const auto last = std::partition_point(first, entries_.end(),
                                         [&](const Entry& entry) { return path_of(entry).starts_with(below); });
  return names_of(entries_of(directory), {first, last});
}

}  // namespace vskel
