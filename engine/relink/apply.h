// From a set of plans to changed vservers, as one operation with an intent: all is staged, made durable and announced
// before the first exchange; from then on it only goes forward.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/quiesce/quiescence.h"
#include "engine/relink/carry_out.h"
#include "engine/relink/stage.h"
#include "engine/txn/journal.h"

namespace vskel {

/// One vserver of a run.
struct Planned {
  Record record;  ///< as it is to be when all steps are done
  VserverPlan plan;
};

/// What became of one vserver.
struct Applied {
  std::map<std::string, unsigned> left;  ///< steps that were not carried out, see CarriedOut
  std::string error;
  bool untouched = false;  ///< nothing was done, not even to the record; see CarriedOut
};

/// Stages and carries out the plans of several vservers, in parallel; saves their records. Plans without steps only
/// save the record. Gives an entry for every vserver, by name. The locks of skel and vservers are held by the caller,
/// and `quiescence` is of whoever runs in them and shares sealed inodes.
[[nodiscard]] Result<std::map<std::string, Applied>> apply_plans(const Store& store, StagingShared& shared,
                                                                 const std::vector<const Planned*>& planned,
                                                                 Tenants tenants, Quiescence& quiescence);

}  // namespace vskel
