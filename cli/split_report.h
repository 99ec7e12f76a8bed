// What a new generation brought, told: split-skel and rollback have the same to say.
#pragma once

#include "cli/output.h"
#include "engine/skel/split.h"

namespace vskel::cli {

/// The fields of cli.md, and the lists that the text tells.
[[nodiscard]] Json split_json(const SplitReport& report);
/// A line a part and the lists, on standard output; notes on standard error.
void tell_split(Output& output, const SplitReport& report);

}  // namespace vskel::cli
