// Package databases of a vserver: did its tenant change them? They are compared as bytes (relink.md, "Package
// databases"), but for dpkg's, of which it counts what they say (upgrade.md, "The gate, by package").
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/relink/skel_view.h"
#include "engine/vserver/record.h"

namespace vskel {

/// The built-in databases and `more` (absolute), as paths relative to a root.
[[nodiscard]] std::vector<std::string> database_paths(std::span<const std::string> more);
/// Is `path` one of `directories` or below it?
[[nodiscard]] bool is_below_any(std::span<const std::string> directories, std::string_view path);

/// Whether what the skel has at a path in a database is none of relink's business: a lock, or what readers leave
/// (engine/skel/database_leftovers.h).
[[nodiscard]] bool is_database_leftover(const TreeNode& node);

struct DatabaseLook {
  bool untouched = true;
  std::string changed;   ///< what closed the gate: "/var/lib/rpm/rpmdb.sqlite"; "" if nothing did
  std::string packages;  ///< in which packages it differs, if that is known; or why it is not
  std::uint64_t bytes_read = 0;
};

/// Untouched: every file of every database is, byte for byte, the base's or theirs, none is missing and none more is
/// there. Of dpkg's only the packages count that its status has, which are the base's or theirs, and that no file of
/// info is missing (engine/packages/dpkg_bookkeeping.h). Locks and other files that merely looking at a database leaves
/// there don't count. Where the skel has a link in the place of a database, the vserver has the same one, and it leads
/// to another of the databases or into it
/// (/var/lib/rpm -> /usr/lib/sysimage/rpm): what counts stands there.
[[nodiscard]] Result<DatabaseLook> look_at_databases(const SkelView& view, const Record& record, const DirFd& root,
                                                     std::span<const std::string> more);

}  // namespace vskel
