// The users and groups of an old generation, brought back into the skel's own files (rollback): its files are theirs.
// Three sides, by name. Pure.
//
//   then          own           what is done
//   there         absent        the entry comes back with its number, locked, with its memberships and ranges
//   there         there         has the number and the primary group of then; follows in comment, home, shell and
//                               members, where own's is what the newest generation had; keeps its password
//   absent        there         stays, with another number where it has one that was another's then
//
// Root's number stays root's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/accounts/account_table.h"
#include "engine/accounts/id_map.h"

namespace vskel {

struct RestoreRequest {
  const Accounts* then = nullptr;    ///< the old generation's
  const Accounts* newest = nullptr;  ///< the newest generation's; nullptr: not known, own's are
  std::string_view login_defs;       ///< the skel's etc/login.defs; "" if it has none
};

struct Restored {
  Accounts accounts;
  /// Numbers that own gave away: what is of the first belongs to the second from now on.
  IdMap renumbered;
  /// "subuid range redis:165536:65536: another's by now". Names are printable.
  std::vector<std::string> told;
};

/// Files that one of the two does not have are left as they are. An error where a range has no free number left, or a
/// file would grow beyond its bounds.
[[nodiscard]] Result<Restored> restore_accounts(const RestoreRequest& request, Accounts own);

}  // namespace vskel
