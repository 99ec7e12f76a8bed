// What a relink will do to one vserver: every step, every conflict, all counted, before anything is changed. A dry run
// ends here.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/relink/skel_view.h"
#include "engine/relink/step.h"
#include "engine/relink/table.h"
#include "engine/vserver/record.h"

namespace vskel {

enum class PackageDatabases {
  skip,   ///< a vserver whose tenant changed its database gets only what is equal already
  force,  ///< the table, file by file, without the database
};

struct PlanOptions {
  Share share = Share::hardlink;  ///< how the vserver is to share from now on
  bool share_only = false, global_only = false, anywhere = false;
  bool acknowledge = false;   ///< --ack: what is kept has been seen, its base moves on
  bool new_beside = false;    ///< theirs of each kept file below /etc comes to stand beside it
  bool ignore_mtime = false;  ///< files that differ in nothing but their time are shared all the same
  PackageDatabases databases = PackageDatabases::skip;
  std::string locked;                       ///< what a tool inside has locked (ToolLocks); "": nothing
  std::string vservers;                     ///< the directory that it lies in, for tokens_of()
  std::vector<std::string> freeze;          ///< globs (glob_matches)
  std::vector<std::string> more_databases;  ///< absolute paths beside package_databases()
};

struct KeptPath {
  std::string path;  ///< "/etc/motd"
  std::string why;   ///< "changed on both sides"
  friend auto operator<=>(const KeptPath&, const KeptPath&) = default;
};

/// A bundle that its tenant has in use, and a package that serves it of which the update brings another version: no
/// script of the package's runs in a vserver, so that a migration is the administrator's to make.
struct TenantsState {
  std::string path;  ///< "/var/lib/mysql"
  std::string package, from, to;
  friend auto operator<=>(const TenantsState&, const TenantsState&) = default;
};

/// What the base of all account files is noted at in a record, and the bundle that they are, which no directory is.
inline constexpr std::string_view kAccounts = "etc/passwd";

struct VserverPlan {
  Steps steps;                       ///< in the order in which they are to be carried out
  std::vector<std::string> bundles;  ///< those that have steps; Step::bundle counts from 1
  std::vector<KeptPath> kept;
  std::vector<std::string> accounts;  ///< what becomes of users and groups, see Followed::done
  IdMap ids_before, ids;              ///< of the record, and of the record when all is done
  bool are_ids_stale = false;         ///< it is to be made again, with the numbers that the tenant gave meanwhile
  /// What hides other paths from the update, or makes nonsense of it: the vserver is left as it is, whole, and there
  /// are no steps.
  std::vector<KeptPath> torn;
  std::vector<TenantsState> states;
  std::set<std::string> old_set_id;        ///< set-id files that are not the skel's: "usr/bin/su"
  std::vector<const TreeNode*> conflicts;  ///< theirs of what is kept, for --export-new
  Gate gate = Gate::open;
  std::string closed_by;   ///< what closed it: "/var/lib/dpkg/status"
  bool held_back = false;  ///< the gate is closed, and something but the database itself waits behind it
  std::uint64_t shared_before = 0, shared_now = 0, bytes_saved = 0, bytes_read = 0;
  sys::Time since;                        ///< by the inodes' clock, before the first look at the vserver
  unsigned generation = 0;                ///< of the record when all is done
  std::map<std::string, unsigned> bases;  ///< likewise
};

/// Looks at `root`, the vserver of `record`, and at nothing that neither generation has (but for --anywhere).
/// Thread-safe over one SkelView. An error is one of the kernel's; a tenant's doings are in the plan.
[[nodiscard]] Result<VserverPlan> plan_vserver(const SkelView& view, const Record& record, const DirFd& root,
                                               const PlanOptions& options);

}  // namespace vskel
