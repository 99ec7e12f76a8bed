// ACLs and capabilities are written as the attributes that the kernel keeps, so that no tool and no library stands
// between the test and the bytes that vskel must carry over.
#include "tests/support/inode_extras.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "tests/support/open_file.h"

namespace vskel::test {
namespace {

constexpr std::uint16_t kUserOwner = 0x01, kUser = 0x02, kGroupOwner = 0x04, kMask = 0x10, kOther = 0x20;
constexpr std::uint32_t kNoId = 0xffffffff;

void append_little_endian(std::string& text, std::uint32_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) text.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
}

void append_acl_entry(std::string& text, std::uint16_t tag, unsigned permissions, std::uint32_t id) {
  append_little_endian(text, tag, 2);
  append_little_endian(text, permissions & 7, 2);
  append_little_endian(text, id, 4);
}

int flags_of(const OpenFile& file) {
  int flags = 0;
  if (::ioctl(file.get(), FS_IOC_GETFLAGS, &flags) != 0)
    throw std::system_error(errno, std::generic_category(), "get flags");
  return flags;
}

void set_flags(const OpenFile& file, int flags) {
  if (::ioctl(file.get(), FS_IOC_SETFLAGS, &flags) != 0)
    throw std::system_error(errno, std::generic_category(), "set flags");
}

}  // namespace

void set_xattr(const std::filesystem::path& path, const std::string& name, const std::string& value) {
  if (::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) != 0) {
    throw std::system_error(errno, std::generic_category(), "set " + name + " of " + path.string());
  }
}

std::string posix_acl(unsigned mode, const AclUser& user) {
  std::string text;
  append_little_endian(text, 2, 4);  // POSIX_ACL_XATTR_VERSION
  append_acl_entry(text, kUserOwner, mode >> 6, kNoId);
  append_acl_entry(text, kUser, user.permissions, user.uid);
  append_acl_entry(text, kGroupOwner, mode >> 3, kNoId);
  append_acl_entry(text, kMask, (mode >> 3) | user.permissions, kNoId);
  append_acl_entry(text, kOther, mode, kNoId);
  return text;
}

std::string file_capability(std::uint32_t permitted) {
  std::string text;
  append_little_endian(text, 0x02000001, 4);  // VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE
  append_little_endian(text, permitted, 4);
  append_little_endian(text, 0, 4);  // inheritable
  append_little_endian(text, 0, 4);
  append_little_endian(text, 0, 4);  // the upper 32 capabilities, both sets
  return text;
}

bool has_shared_extents(const std::filesystem::path& path) {
  const OpenFile file(path);
  alignas(fiemap) std::array<char, sizeof(fiemap) + sizeof(fiemap_extent)> buffer{};
  auto* const map = reinterpret_cast<fiemap*>(buffer.data());
  map->fm_length = FIEMAP_MAX_OFFSET;
  map->fm_flags = FIEMAP_FLAG_SYNC;
  map->fm_extent_count = 1;
  if (::ioctl(file.get(), FS_IOC_FIEMAP, map) != 0)
    throw std::system_error(errno, std::generic_category(), "list extents of " + path.string());
  const auto* const extent = reinterpret_cast<const fiemap_extent*>(buffer.data() + sizeof(fiemap));
  return map->fm_mapped_extents == 1 && (extent->fe_flags & FIEMAP_EXTENT_SHARED) != 0;
}

bool is_immutable(const std::filesystem::path& path) { return (flags_of(OpenFile(path)) & FS_IMMUTABLE_FL) != 0; }

void set_immutable(const std::filesystem::path& path) {
  const OpenFile file(path);
  set_flags(file, flags_of(file) | FS_IMMUTABLE_FL);
}

void clear_immutable(const std::filesystem::path& path) {
  const OpenFile file(path);
  set_flags(file, flags_of(file) & ~FS_IMMUTABLE_FL);
}

void use_up_links(const std::filesystem::path& path, const std::filesystem::path& links) {
  std::filesystem::create_directory(links);
  const bool sealed = is_immutable(path);
  if (sealed) clear_immutable(path);
  for (std::uint64_t count = std::filesystem::hard_link_count(path); count < kExt4Links; ++count)
    std::filesystem::create_hard_link(path, links / std::to_string(count));
  if (sealed) set_immutable(path);
}

}  // namespace vskel::test
