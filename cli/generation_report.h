// What a new generation brought, told: split-skel and rollback have the same to say.
#pragma once

#include "cli/output.h"
#include "engine/skel/generation_change.h"

namespace vskel::cli {

/// The fields of cli.md, and the lists that the text tells.
[[nodiscard]] Json generation_json(const GenerationReport& report);
/// A line a part and the lists, on standard output; notes on standard error.
void tell_generation(Output& output, const GenerationReport& report, DryRun dry_run);

}  // namespace vskel::cli
