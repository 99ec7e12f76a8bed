// The records of a skel's vservers, on disk: SKEL/instances/NAME.json.
#pragma once

#include <optional>
#include <vector>

#include "engine/skel/skel.h"
#include "engine/vserver/record.h"

namespace vskel {

/// All records of a skel, by name. A record that cannot be read is an error that names it.
[[nodiscard]] Result<std::vector<Record>> read_records(const Skel& skel);
/// The record of a vserver, whichever skel it came from; nullopt if none has one.
[[nodiscard]] Result<std::optional<Record>> find_record(const Store& store, const VserverName& name);
/// Writes instances/NAME.json atomically and durably; one that says the same already is left as it is.
[[nodiscard]] Result<> save_record(const Skel& skel, const Record& record);
/// The same for one of many, in two steps: see prepare_file().
[[nodiscard]] Result<> prepare_record(const Skel& skel, const Record& record);
[[nodiscard]] Result<> put_record_in_place(const Skel& skel, const std::string& vserver);
[[nodiscard]] Result<> discard_prepared_record(const Skel& skel, const std::string& vserver);

}  // namespace vskel
