// A POSIX ACL in the form in which the kernel takes it, and names of users and groups in it as numbers. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/accounts/id_map.h"

namespace vskel {

/// What an entry is for; the values are the kernel's (linux/posix_acl.h).
enum class AclTag : std::uint16_t {
  owner = 0x01,
  user = 0x02,
  owning_group = 0x04,
  group = 0x08,
  mask = 0x10,
  other = 0x20,
};

struct AclEntry {
  AclTag tag = AclTag::other;
  std::uint16_t permissions = 0;    ///< rwx as 0 to 7
  std::optional<std::uint32_t> id;  ///< of user and group entries; nullopt: only the name is known
  std::string name;                 ///< of user and group entries, as the archive spells it
};

/// Name -> id.
using Ids = std::map<std::string, std::uint32_t, std::less<>>;

/// The first and third field of every line of etc/passwd or etc/group; lines that are no such thing are passed over.
[[nodiscard]] Ids read_ids(std::string_view text);

/// The value of system.posix_acl_access or _default (linux/posix_acl_xattr.h). Every user and group entry must have an
/// id.
[[nodiscard]] std::string acl_value(std::vector<AclEntry> entries);
/// The value of the extended attribute `xattr` with the numbers of its user and group entries as `ids` has them. XFS
/// has ACLs a second time, in its own form (trusted.SGI_ACL_FILE and _DEFAULT). What is no ACL comes back as it is.
[[nodiscard]] std::string mapped_acl(std::string_view xattr, const std::string& value, const IdMap& ids);

}  // namespace vskel
