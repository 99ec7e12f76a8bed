#include "engine/relink/step.h"

namespace vskel {

std::string_view change_word(Change change) {
  switch (change) {
    case Change::updated:
      return "updated";
    case Change::added:
      return "added";
    case Change::removed:
      return "removed";
    case Change::shared:
      return "shared";
    case Change::moved:
      return "moved";
    case Change::beside:
      return "beside";
    case Change::none:
      break;
  }
  return "";
}

Identity identity_of(const sys::Stat& stat) {
  return {stat.inode, stat.size, stat.mtime, stat.ctime,     stat.mode,
          stat.uid,   stat.gid,  stat.type,  stat.immutable, stat.type == sys::FileType::regular && stat.nlink > 1};
}

bool is_still(const Identity& identity, const sys::Stat& stat) {
  const bool same_inode = identity.type == stat.type && identity.inode == stat.inode;
  const bool same_owner = identity.mode == stat.mode && identity.uid == stat.uid && identity.gid == stat.gid;
  // What is made or removed in a directory moves its time and size; it is judged by what is in it.
  if (stat.type == sys::FileType::directory) return same_inode && same_owner;
  return same_inode && same_owner && identity.size == stat.size && identity.mtime == stat.mtime;
}

}  // namespace vskel
