#include "engine/skel/kept_files.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <mutex>

#include "engine/tree/relative_path.h"
#include "engine/tree/walk.h"

namespace vskel {

namespace {

constexpr std::string_view kFilesSuffix = ".files", kLeadersSuffix = ".leaders";

std::optional<unsigned> generation_of_files(std::string_view name) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || name.substr(static_cast<std::size_t>(end - name.data())) != kFilesSuffix)
    return std::nullopt;
  return number;
}

}  // namespace

std::string kept_files_name(unsigned generation) {
  std::string name = generation_file_name(generation);
  return name.substr(0, name.rfind('.')) + std::string(kFilesSuffix);
}

std::string former_leaders_name(unsigned generation) {
  std::string name = generation_file_name(generation);
  return name.substr(0, name.rfind('.')) + std::string(kLeadersSuffix);
}

Result<> KeptFiles::read_former_leaders(const DirFd& generations, Name name) {
  const DirFd dir = TRY(sys::open_dir(generations, name));
  const Listing listing = TRY(Listing::read(dir));
  for (const Listed& listed : listing.entries()) global_inodes_.push_back(listed.inode);
  return {};
}

Result<> KeptFiles::read(const DirFd& files, unsigned generation, Part part) {
  const DirFd root = TRY(open_dirs_if_there(files, part_name(part)));
  if (!root.open()) return {};
  PartFiles& known = parts_.at(static_cast<std::size_t>(part));
  std::mutex mutex;
  TRY(for_each_file(root, [&](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
    const std::scoped_lock lock(mutex);
    known.generations[directory.path_to(entry.name)].push_back(generation);
    if (part == Part::global_part && entry.type == sys::FileType::regular) global_inodes_.push_back(entry.inode);
    return {};
  }));
  known.roots.emplace(generation, TRY(sys::reopen(root)));
  return {};
}

Result<KeptFiles> KeptFiles::load(const Skel& skel) {
  KeptFiles kept;
  if (!skel.generations().open()) return kept;
  const DirFd generations = TRY(sys::reopen(skel.generations()));
  const Listing listing = TRY(Listing::read(generations));
  std::vector<unsigned> numbers;
  for (const Listed& listed : listing.entries()) {
    if (listed.name.view().ends_with(kLeadersSuffix)) TRY(kept.read_former_leaders(generations, listed.name));
    if (const auto number = generation_of_files(listed.name.view()); number && listed.type == sys::FileType::directory)
      numbers.push_back(*number);
  }
  std::ranges::sort(numbers);
  for (const unsigned number : numbers) {
    const std::string name = kept_files_name(number);
    const DirFd files = TRY(sys::open_dir(generations, *Name::check(name)));
    for (const Part part : {Part::global_part, Part::local_part}) TRY(kept.read(files, number, part));
  }
  return kept;
}

std::optional<unsigned> KeptFiles::holder(Part part, std::string_view path, unsigned generation) const {
  if (part == Part::static_part) return std::nullopt;
  const auto& known = parts_.at(static_cast<std::size_t>(part)).generations;
  const auto found = known.find(std::string(path));
  if (found == known.end()) return std::nullopt;
  const auto first = std::ranges::lower_bound(found->second, generation);
  return first == found->second.end() ? std::nullopt : std::optional(*first);
}

const DirFd& KeptFiles::root(unsigned generation, Part part) const {
  return parts_.at(static_cast<std::size_t>(part)).roots.at(generation);
}

}  // namespace vskel
