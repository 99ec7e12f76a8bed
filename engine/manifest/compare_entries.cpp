#include "engine/manifest/manifest.h"

namespace vskel {

bool look_the_same(const ManifestEntry& a, const ManifestEntry& b) {
  return a.type == b.type && (a.type == sys::FileType::symlink || a.mode == b.mode) && a.uid == b.uid &&
         a.gid == b.gid && a.size == b.size && a.rdev == b.rdev && a.link_target == b.link_target &&
         a.content == b.content && a.xattrs == b.xattrs;
}

bool by_path_and_part(const ManifestEntry& a, const ManifestEntry& b) {
  return a.path != b.path ? a.path < b.path : a.part < b.part;
}

}  // namespace vskel
