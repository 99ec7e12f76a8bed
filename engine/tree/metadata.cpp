#include "engine/tree/metadata.h"

namespace vskel {

namespace {

constexpr std::uint32_t kSpecialBits = 07000;

bool owner_needs_setting(const Metadata& metadata, Fresh fresh) {
  return fresh == Fresh::no || metadata.uid != 0 || metadata.gid != 0;
}

bool mode_needs_setting(const Metadata& metadata, Fresh fresh) {
  return fresh == Fresh::no || (metadata.mode & kSpecialBits) != 0;
}

}  // namespace

Metadata metadata_of(const sys::Stat& stat, std::vector<sys::Xattr> xattrs) {
  return {stat.mode, stat.uid, stat.gid, stat.atime, stat.mtime, std::move(xattrs)};
}

Result<> apply_metadata(const Fd& target, const Metadata& metadata, Fresh fresh) {
  if (owner_needs_setting(metadata, fresh)) TRY(sys::set_owner(target, metadata.uid, metadata.gid));
  if (mode_needs_setting(metadata, fresh)) TRY(sys::set_mode(target, metadata.mode));
  for (const sys::Xattr& xattr : metadata.xattrs) TRY(sys::set_xattr(target, xattr));
  return sys::set_times(target, metadata.atime, metadata.mtime);
}

Result<> apply_metadata(const DirFd& dir, Name name, sys::FileType type, const Metadata& metadata, Fresh fresh) {
  if (owner_needs_setting(metadata, fresh)) TRY(sys::set_owner(dir, name, metadata.uid, metadata.gid));
  if (type != sys::FileType::symlink && mode_needs_setting(metadata, fresh))
    TRY(sys::set_mode(dir, name, metadata.mode));
  for (const sys::Xattr& xattr : metadata.xattrs) TRY(sys::set_xattr(dir, name, xattr));
  return sys::set_times(dir, name, metadata.atime, metadata.mtime);
}

}  // namespace vskel
