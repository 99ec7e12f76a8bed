#include <algorithm>

#include "engine/manifest/manifest.h"

namespace vskel {

ManifestEntry::ManifestEntry(const ManifestEntry& other)
    : path(other.path),
      size(other.size),
      mtime(other.mtime),
      mode(other.mode),
      uid(other.uid),
      gid(other.gid),
      nlink(other.nlink),
      type(other.type),
      part(other.part),
      content(other.content),
      rare_(other.rare_ ? std::make_unique<Rare>(*other.rare_) : nullptr) {}

ManifestEntry& ManifestEntry::operator=(const ManifestEntry& other) {
  ManifestEntry copy(other);
  return *this = std::move(copy);
}

bool operator==(const ManifestEntry& a, const ManifestEntry& b) {
  return a.path == b.path && a.part == b.part && a.mtime == b.mtime && a.mode == b.mode && a.nlink == b.nlink &&
         look_the_same(a, b) && a.sha256() == b.sha256();
}

bool same_time(sys::Time a, sys::Time b) {
  return a.seconds == b.seconds && (a.nanoseconds == b.nanoseconds || a.nanoseconds == 0 || b.nanoseconds == 0);
}

bool look_the_same(const ManifestEntry& a, const ManifestEntry& b) {
  const bool has_time = a.type == sys::FileType::regular || a.type == sys::FileType::symlink;
  return a.type == b.type && (!has_time || same_time(a.mtime, b.mtime)) &&
         (a.type == sys::FileType::symlink || a.mode == b.mode) && a.uid == b.uid && a.gid == b.gid &&
         a.size == b.size && a.rdev() == b.rdev() && a.link_target() == b.link_target() && a.content == b.content &&
         a.xattrs() == b.xattrs();
}

bool by_path_and_part(const ManifestEntry& a, const ManifestEntry& b) {
  return a.path != b.path ? a.path < b.path : a.part < b.part;
}

ManifestEntries::const_iterator find_path(const ManifestEntries& entries, std::string_view path) {
  const auto found = std::ranges::lower_bound(
      entries, path, {}, [](const ManifestEntry& entry) -> std::string_view { return entry.path; });
  return found != entries.end() && found->path == path ? found : entries.end();
}

}  // namespace vskel
