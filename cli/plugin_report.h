// What plugins did, told: create-vs and run-plugins have the same to say.
#pragma once

#include <string>
#include <vector>

#include "cli/output.h"
#include "engine/vserver/record.h"

namespace vskel::cli {

/// No plugin failed or was left waiting.
[[nodiscard]] bool all_ok(const std::vector<PluginOutcome>& plugins);
/// [{"name","status"}], with "reason" and "message" where there is one.
[[nodiscard]] Json plugins_json(const std::vector<PluginOutcome>& plugins);
/// Plugins' words to the administrator: "NAME: PLUGIN: LINE" for each line. They may be passwords, so they are told
/// once and always.
void tell_messages(Output& output, const std::string& vserver, const std::vector<PluginOutcome>& plugins);
/// "vskel: NAME: plugin PLUGIN: REASON" for each that failed.
void tell_failures(Output& output, const std::string& vserver, const std::vector<PluginOutcome>& plugins);

}  // namespace vskel::cli
