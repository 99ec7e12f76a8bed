// merge-skel: a skel's global and local parts as one tree, in which a package manager can work. What vservers share is
// set aside unchanged; the tree has inodes of its own, so that nothing done in it reaches a vserver.
#pragma once

#include <string>
#include <vector>

#include "engine/model/identity.h"
#include "engine/model/options.h"
#include "engine/txn/store.h"

namespace vskel {

/// What of static is laid into the merged tree.
enum class MergeStatic {
  accounts,  ///< users and groups, which package managers add to
  all,
  nothing,  ///< as the 2003 page has it
};

struct MergeReport {
  std::string skel;
  std::string path;  ///< of the merged tree
  double elapsed_s = 0;
};

/// "tmp_skel_NAME", in VSERVERS.
[[nodiscard]] std::string merged_name(const SkelName& skel);

/// Makes VSERVERS/tmp_skel_SKEL and moves global and local to global.bak and local.bak, whole or not at all. Static
/// files are laid in as they are; which account files were is remembered for split-skel (account_files.h).
[[nodiscard]] Result<MergeReport> merge_skel(const Store& store, const SkelName& skel, MergeStatic with_static,
                                             const EngineOptions& engine);
/// merge-skel --abort: the skel as it was; the merged tree is thrown away.
[[nodiscard]] Result<MergeReport> abort_merge(const Store& store, const SkelName& skel, const EngineOptions& engine);

/// Fails, naming it, if a process has its root in the merged tree or something is mounted in it.
[[nodiscard]] Result<> require_idle_merge(const Store& store, const SkelName& skel);

}  // namespace vskel
