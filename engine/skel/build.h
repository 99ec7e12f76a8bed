// build-skel: a skel from the host, a directory or an archive.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/identity.h"
#include "engine/model/options.h"
#include "engine/model/part.h"
#include "engine/skel/left_out.h"
#include "engine/txn/store.h"

namespace vskel {

/// What becomes of /home and /root. From the host they are emptied in any case, as the 2003 page has it.
enum class Homes { as_they_are, emptied };

struct BuildRequest {
  SkelName skel;
  std::string source = "/";          ///< "/" (the host), a directory, an archive, "-" (an archive on standard input)
  std::vector<std::string> exclude;  ///< globs, see glob_matches()
  std::vector<std::string> global, local, static_paths;  ///< layout rules ahead of the default ones
  std::vector<std::string> keep;  ///< globs: what identity rules would leave out or change is taken as it is
  Homes homes = Homes::as_they_are;
  EngineOptions engine;
};

struct BuildReport {
  std::string skel;
  unsigned generation = 1;
  std::uint64_t files = 0, dirs = 0, symlinks = 0, bytes = 0;
  std::uint64_t global_files = 0, local_files = 0, static_files = 0;
  void add_file(Part part, std::uint64_t size);
  double elapsed_s = 0;
  std::vector<std::string> notes;  ///< what was left out: sockets, other file systems
  std::vector<Omitted> omitted;    ///< what is one machine's own; the source keeps it
  std::vector<LeftOut> left_out;   ///< caches and logs
  std::vector<std::string>
      warnings;  ///< what is not as it was: metadata that could not be kept, a file system without seals
  /// What deserves a look before the skel is used, each a path with what it is: "/etc/ssh/ssh_host_rsa_key: SSH host
  /// key".
  std::vector<std::string> look_at;
};

/// Makes VSERVERS/.skel/SKEL whole or not at all. With dry_run nothing is changed and the report says what would be.
[[nodiscard]] Result<BuildReport> build_skel(const Store& store, const BuildRequest& request);

}  // namespace vskel
