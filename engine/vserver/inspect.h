// Looking without changing: list, show, verify.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/identity.h"
#include "engine/model/options.h"
#include "engine/txn/store.h"
#include "engine/vserver/record.h"

namespace vskel {

struct SkelSummary {
  std::string name;
  unsigned generation = 0;
  std::uint64_t instances = 0;
  std::uint64_t global_files = 0, local_files = 0, static_files = 0;  ///< from the manifest
  bool merged = false;                                                ///< between merge-skel and split-skel
};

struct VserverSummary {
  Record record;
  std::string path;
  std::uint64_t files_shared = 0;  ///< names whose inode is the skel's
  std::uint64_t files_own = 0;     ///< regular files that are not
  std::uint64_t bytes_own = 0;     ///< disk use of those, bytes
  std::string problem;             ///< "no record", "root is missing", ...; empty if all is well
};

struct Inventory {
  std::vector<SkelSummary> skels;  ///< by name
  std::vector<VserverSummary>
      vservers;  ///< by name; directories in VSERVERS that have no record are listed with a problem
};

/// Counts by one parallel walk; nothing is opened but directories.
[[nodiscard]] Result<Inventory> take_inventory(const Store& store, const EngineOptions& engine);
/// One vserver; refused if there is none of that name.
[[nodiscard]] Result<VserverSummary> show_vserver(const Store& store, const VserverName& name,
                                                  const EngineOptions& engine);

/// verify: with no names, all skels (trees against the newest manifest by bytes hashed and metadata, seals, what is
/// kept of older generations) and all vservers (root there, record, configuration, context link, nextid above all
/// contexts); with names, those skels and vservers; a name that is neither is refused. One line a difference: "SUBJECT
/// PATH: WHAT"; empty if all is well. What stands in a vserver is verify_with_files()'s to look at
/// (engine/relink/verify_files.h).
[[nodiscard]] Result<std::vector<std::string>> verify(const Store& store, const std::vector<VserverName>& names,
                                                      const EngineOptions& engine);

/// True if files of this vserver are other vservers' inodes under a seal. Pure.
[[nodiscard]] bool has_sealed_files(const Record& record);

/// What the configurations that records name, of the same vservers as verify(), give tenants against the seals of their
/// shared files (confinement.h): a line each. No difference: how a container is started is the administrator's. A
/// configuration that isn't there or can't be read says nothing here.
[[nodiscard]] Result<std::vector<std::string>> weak_configurations(const Store& store,
                                                                   const std::vector<VserverName>& names);

}  // namespace vskel
