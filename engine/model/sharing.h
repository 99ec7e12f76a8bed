// How vservers have the skel's global files, and what protects those.
#pragma once

namespace vskel {

/// How a vserver has the skel's global files.
enum class Share { hardlink, reflink, copy };
/// What keeps a shared inode from being changed by a tenant (safety.md, "Seals").
enum class SealKind { none, immutable, guard, iunlink };
/// What becomes of tenants while a seal is lifted. refuse: none is lifted while anybody runs who could be one; freeze:
/// they are held still, which the cooperative let happen to them; off: the administrator's word that none is hostile.
enum class Quiesce { refuse, freeze, off };

}  // namespace vskel
