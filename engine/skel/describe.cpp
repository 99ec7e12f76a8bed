#include "engine/skel/describe.h"

#include <algorithm>
#include <mutex>

#include "engine/content/hash.h"
#include "engine/tree/walk.h"

namespace vskel {

namespace {

ManifestEntry entry_of(std::string path, Part part, const sys::Stat& stat, const std::vector<sys::Xattr>& xattrs) {
  ManifestEntry entry;
  entry.path = std::move(path);
  entry.part = part;
  entry.type = stat.type;
  entry.mode = stat.mode;
  entry.uid = stat.uid;
  entry.gid = stat.gid;
  entry.mtime = stat.mtime;
  entry.set_xattrs(hash_xattrs(xattrs));
  return entry;
}

struct Described {
  ManifestEntry entry;
  sys::Stat stat;
};

Result<Described> describe_file(const WalkDirectory& directory, const WalkEntry& entry, Part part) {
  const Fd file = TRY(sys::open_trusted_file(directory.top(), entry.name));
  const sys::Stat stat = TRY(sys::stat(file));
  ManifestEntry out = entry_of(directory.path_to(entry.name), part, stat, TRY(sys::xattrs(file)));
  out.size = stat.size;
  out.nlink = stat.nlink;
  const ContentHash hash = TRY(hash_file(file, part == Part::local_part ? WithSha256::yes : WithSha256::no));
  out.content = hash.xxh128;
  out.set_sha256(hash.sha256);
  return Described{std::move(out), stat};
}

Result<Described> describe_other(const WalkDirectory& directory, const WalkEntry& entry, Part part) {
  const sys::Stat stat = TRY(sys::stat(directory.top(), entry.name));
  ManifestEntry out =
      entry_of(directory.path_to(entry.name), part, stat, TRY(sys::xattrs(directory.top(), entry.name)));
  out.nlink = stat.nlink;
  if (stat.type == sys::FileType::symlink) out.set_link_target(TRY(sys::read_link(directory.top(), entry.name)));
  if (stat.type == sys::FileType::character || stat.type == sys::FileType::block) out.set_rdev(stat.rdev);
  return Described{std::move(out), stat};
}

}  // namespace

Result<ManifestEntries> describe_tree(const DirFd& tree, const DescribedPart& part_of, const WantedEntry& is_wanted) {
  ManifestEntries out;
  std::mutex mutex;
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void> context) -> Result<> {
    const Part own_part = context == nullptr ? Part::local_part : *std::static_pointer_cast<Part>(context);
    std::vector<Described> found;
    const sys::Stat own = TRY(sys::stat(directory->top()));
    const std::vector<sys::Xattr> own_xattrs = TRY(sys::xattrs(directory->top()));
    found.push_back({entry_of(directory->path, own_part, own, own_xattrs), own});
    for (const WalkEntry& entry : directory->entries) {
      if (entry.type == sys::FileType::socket) continue;
      const std::optional<Part> part = part_of(*directory, entry);
      if (!part) continue;
      if (entry.type == sys::FileType::directory) {
        walk.descend(directory, entry, std::make_shared<Part>(*part));
      } else {
        found.push_back(entry.type == sys::FileType::regular ? TRY(describe_file(*directory, entry, *part))
                                                             : TRY(describe_other(*directory, entry, *part)));
      }
    }
    const std::scoped_lock lock(mutex);
    for (Described& one : found)
      if (is_wanted(one.entry, one.stat)) out.push_back(std::move(one.entry));
    return {};
  };
  (void)TRY(Walk::run({&tree}, Mounts::stop, nullptr, visitor));
  std::ranges::sort(out, {}, &ManifestEntry::path);
  return out;
}

Result<ManifestEntries> describe_tree(const DirFd& tree, const DescribedPart& part_of) {
  return describe_tree(tree, part_of, [](const ManifestEntry&, const sys::Stat&) { return true; });
}

Result<ManifestEntries> describe_tree(const DirFd& tree, Part part) {
  auto entries = TRY(describe_tree(tree, [part](const WalkDirectory&, const WalkEntry&) { return part; }));
  for (ManifestEntry& entry : entries) entry.part = part;
  return entries;
}

}  // namespace vskel
