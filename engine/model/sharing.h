// How vservers have the skel's global files, and what protects those.
#pragma once

namespace vskel {

/// How a vserver has the skel's global files.
enum class Share { hardlink, reflink, copy };
/// What keeps a shared inode from being changed by a tenant (safety.md, "Seals").
enum class SealKind { none, immutable, guard, iunlink };
/// May running tenants be held still while a seal is lifted? off: the administrator's word that none is hostile.
enum class Quiesce { automatic, off };

}  // namespace vskel
