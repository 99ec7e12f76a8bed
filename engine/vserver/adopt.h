// adopt: a record for a vserver that vskel did not create (the 2003 script did, or cp, or debootstrap), so that relink
// can fold it in.
#pragma once

#include <optional>

#include "engine/model/identity.h"
#include "engine/model/options.h"
#include "engine/txn/store.h"
#include "engine/vserver/record.h"

namespace vskel {

struct AdoptRequest {
  SkelName skel;
  VserverName name;
  std::optional<Fqdn> fqdn;
  std::optional<Address> address;
  Share share = Share::hardlink;  ///< how it is to share from its first relink on
  EngineOptions engine;
};

/// Writes the record; the vserver itself is not touched. Users and groups that it has by another number than the skel
/// get mapped in the record (Record::ids); where its files can't be taken apart nothing is, and a warning says so. Its
/// configuration (ETC/NAME.conf) and context (a link in ETC/contexts that leads to it) are taken over where they are.
/// No base is known: see Record::generation. Refused where there is no such directory, where one is mounted, or where
/// it has a record.
[[nodiscard]] Result<Record> adopt_vserver(const Store& store, const AdoptRequest& request);

}  // namespace vskel
