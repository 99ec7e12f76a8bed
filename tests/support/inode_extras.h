// Kernel facts that a test sets or reads and that the C++ library does not know: extended attributes, ACLs and
// capabilities in their binary form, inode flags. Paths are followed only up to their last component.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vskel::test {

/// All throw std::system_error where the kernel refuses.
void set_xattr(const std::filesystem::path& path, const std::string& name, const std::string& value);

/// One entry of a POSIX ACL beyond the owner's, group's and others'.
struct AclUser {
  std::uint32_t uid;
  unsigned permissions;  ///< rwx as 0..7
};
/// system.posix_acl_access or _default in the kernel's form (linux/posix_acl_xattr.h), with the base entries taken from
/// `mode`.
[[nodiscard]] std::string posix_acl(unsigned mode, const AclUser& user);

/// security.capability, revision 2, effective, with the capabilities of the bits in `permitted`.
[[nodiscard]] std::string file_capability(std::uint32_t permitted);

/// True if FS_IMMUTABLE_FL is set.
[[nodiscard]] bool is_immutable(const std::filesystem::path& path);
void set_immutable(const std::filesystem::path& path);
void clear_immutable(const std::filesystem::path& path);

/// Whether the file's only extent says that other files have it too (FIEMAP_EXTENT_SHARED), and what was written is on
/// disk.
[[nodiscard]] bool has_shared_extents(const std::filesystem::path& path);

/// How many names ext4 gives an inode (EXT4_LINK_MAX).
inline constexpr std::uint64_t kExt4Links = 65'000;
/// Gives a file, immutable or not, all the names that an inode can have there, in the new directory `links`.
void use_up_links(const std::filesystem::path& path, const std::filesystem::path& links);

}  // namespace vskel::test
