// How a vserver's users and groups follow its skel's (relink, adopt): three sides, by name. Pure.
//
//   base          theirs        mine               what is done
//   -             there         absent             adds the entry, its shadow entry and memberships, with the skel's
//                                                  number, or with a free one of the same range where that is
//                                                  another's; then that number is mapped
//   -             there         the same number    nothing
//   -             there         another number     maps
//   there         there         as base            follows in comment, home, shell and primary group; members one by
//   one there         there         changed            keeps, reports if the skel's changed, too there         there
//   absent             stays deleted, reports likewise there         absent        there              keeps, reports:
//   files may be its
//
// What is there keeps its number and its password whatever the skel says. What is added is locked, and no hash travels:
// not even a locked one. Numbers decide whose a file is, so that nothing is ever mapped to root's, nor from it.
//
// A map is of the newest generation's numbers. It is extended; a number in it changes where by name it leads elsewhere
// now (a skel gives a removed user's number to another): files of the base are to be looked up in the map from before.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/accounts/account_table.h"
#include "engine/accounts/id_map.h"

namespace vskel {

struct FollowRequest {
  const Accounts* base = nullptr;    ///< the skel's at the vserver's base generation; nullptr: not known, as if empty
  const Accounts* theirs = nullptr;  ///< the skel's newest
  std::string_view login_defs;       ///< the vserver's etc/login.defs; "" if it has none
  IdMap ids;                         ///< of the vserver's record
};

struct Followed {
  Accounts accounts;  ///< the vserver's files to be; those without a change have the bytes that they had
  IdMap ids;          ///< the record's to be
  /// "user redis (104:108) added", "user redis (104:108) added as 998:997", "group ssl-cert: member redis added",
  /// "user redis: 104 in the skel is 998 here". Names are printable.
  std::vector<std::string> done;
  /// "user redis: removed in the skel, files may be its", "user www-data: changed on both sides".
  std::vector<std::string> kept;
};

/// The table above for all that the vserver has in `mine`. A vserver without etc/passwd or etc/group is left as it is,
/// and files that it does not have are not made, but for etc/subuid and etc/subgid where the skel did not have them. An
/// error where a range has no free number left, or a file would grow beyond its bounds: then the vserver is left as it
/// is.
[[nodiscard]] Result<Followed> follow_accounts(const FollowRequest& request, Accounts mine);

struct NamedIds {
  IdMap ids;
  std::vector<std::string> done, kept;  ///< as in Followed
};
/// No more than the map, by the names that both sides have; `ids` is extended.
[[nodiscard]] NamedIds map_by_names(const Accounts& theirs, const Accounts& mine, IdMap ids);

/// Owners of files, by number.
struct OwnerNumbers {
  std::set<std::uint32_t> uid, gid;
};
/// Whose files would be another's, or nobody's. Lines are printable, and begin with "user " or "group ".
struct StrayOwners {
  std::vector<std::string> missing;    ///< "user redis: not here, what is its in the skel comes as 104, which is bob's"
  std::vector<std::string> roots;      ///< "user redis: 104 in the skel is 0 here: what is root's is not mapped"
  std::vector<std::string> not_known;  ///< "user redis": the vserver has no such list
};
/// What becomes of those of the skel's `numbers` that have a name there, in a vserver with the map `ids`. `mine`
/// nullptr: nothing is known of its accounts.
[[nodiscard]] StrayOwners stray_owners(const Accounts& theirs, const Accounts* mine, const IdMap& ids,
                                       const OwnerNumbers& numbers);

}  // namespace vskel
