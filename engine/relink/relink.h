// relink: brings the vservers of a skel to its newest generation, and back to sharing with it (relink.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/identity.h"
#include "engine/model/options.h"
#include "engine/relink/plan.h"
#include "engine/txn/store.h"

namespace vskel {

/// [relink] of vskel.toml.
struct RelinkSettings {
  std::vector<std::string> freeze;  ///< `freeze`: globs of paths that are never touched
  std::vector<std::string> pkgdb;   ///< `pkgdb`: further package databases, absolute paths
};

struct RelinkRequest {
  SkelName skel;
  std::vector<VserverName> vservers;  ///< empty: every vserver of the skel
  bool share_only = false, global_only = false, anywhere = false, acknowledge = false;
  bool new_beside = false;    ///< lay theirs of each kept file below /etc beside it, as NAME.dpkg-dist or NAME.rpmnew
  bool ignore_mtime = false;  ///< share files that differ in nothing but their time
  PackageDatabases databases = PackageDatabases::skip;
  std::optional<Share> to;  ///< how they share from now on; nullopt: as they do
  bool list_paths = false;  ///< the report is to name every path that was changed
  std::string export_new;   ///< a directory for theirs of every conflict; "": none
  RelinkSettings settings;
  EngineOptions engine;
};

enum class RelinkStatus { done, skipped, failed };

/// One path that was, or in a dry run would be, changed.
struct RelinkedPath {
  std::string_view code;  ///< "updated", "added", "removed", "shared"
  std::string path;       ///< "/usr/bin/tar"
};

struct RelinkedVserver {
  std::string name;
  unsigned from_generation = 0;
  RelinkStatus status = RelinkStatus::failed;
  std::uint64_t shared_before = 0, shared_now = 0;  ///< files that have the skel's inode, or its extents
  std::uint64_t updated = 0, added = 0, removed = 0;
  std::vector<KeptPath> kept;
  std::vector<std::string> accounts;  ///< "user redis (104:108) added"
  std::vector<TenantsState> states;   ///< that a package script would have migrated
  std::uint64_t bytes_saved = 0, bytes_read = 0;
  std::string error;  ///< one line

  std::vector<RelinkedPath> paths;      ///< if they were asked for
  std::vector<std::string> beside;      ///< "/etc/motd.dpkg-dist", laid beside what was kept
  std::vector<std::string> old_set_id;  ///< set-id files that are not the skel's
  std::vector<std::string> restart;     ///< processes that still use what was replaced: "nginx (4711)"
};

struct RelinkReport {
  std::string skel;
  unsigned generation = 0;
  double elapsed_s = 0;
  std::vector<RelinkedVserver> vservers;  ///< by name
};

/// An Error means that nothing was changed; what befalls single vservers is in the report. With a dry run nothing is
/// written at all, and the report is the one that the real run would give.
[[nodiscard]] Result<RelinkReport> relink_vservers(const Store& store, const RelinkRequest& request);

}  // namespace vskel
