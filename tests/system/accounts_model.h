// How a vserver's users and groups follow a skel's, as the plainest reading of the table says it, apart from the
// engine; and random changes of both.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/system/random_world.h"

namespace vskel::test {

using Line = std::vector<std::string>;  ///< its fields
using Lines = std::vector<Line>;
using AccountFiles = std::map<std::string, Lines>;  ///< "passwd" -> its lines; what is not in it is not there

[[nodiscard]] std::string bytes_of(const Lines& lines);
[[nodiscard]] std::string bytes_of(const AccountFiles& files);
[[nodiscard]] AccountFiles read_accounts(const std::filesystem::path& etc);
/// Written in place: mode and owner of what is there stay.
void write_accounts(const std::filesystem::path& etc, const AccountFiles& files);

struct AccountSides {
  const AccountFiles &base, &theirs, &mine;
  Numbering ids;                         ///< until now
  unsigned highest_system_number = 999;  ///< by the vserver's login.defs
};
struct FollowedAccounts {
  AccountFiles files;
  Numbering ids;                    ///< from now on
  std::multiset<std::string> kept;  ///< as reported
};
[[nodiscard]] FollowedAccounts model_of_accounts(const AccountSides& sides);

/// What is told of files of the skel's `number` (of "passwd", or of "group") that come, if its name is not there; else
/// "".
[[nodiscard]] std::string line_of_stray(const std::string& file, unsigned number, const AccountFiles& theirs,
                                        const FollowedAccounts& followed);

/// The skel has a user of this number, or a group.
[[nodiscard]] bool has_owner(const AccountFiles& skels, unsigned uid, unsigned gid);

/// What rollback makes of a skel's own accounts, which nobody changed since the newest generation.
[[nodiscard]] AccountFiles model_of_restored(const AccountFiles& then, const AccountFiles& own);

/// root, and a group of its own.
[[nodiscard]] AccountFiles first_accounts();
/// What packages do to the users and groups of a skel: no number is two names'.
[[nodiscard]] AccountFiles changed_by_packages(Random& random, AccountFiles files);
/// The same by a tenant, with users of his own: he may do anything.
[[nodiscard]] AccountFiles changed_by_tenant(Random& random, AccountFiles files);

}  // namespace vskel::test
