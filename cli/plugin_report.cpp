// A message is taken apart into lines, so that every line on standard error names the vserver that it is of. It stands
// nowhere else: the JSON document is kept by scripts and logs, and a message may hold a password.

#include "cli/plugin_report.h"

#include <algorithm>

namespace vskel::cli {

bool all_ok(const std::vector<PluginOutcome>& plugins) {
  return std::ranges::none_of(plugins, [](const PluginOutcome& plugin) {
    return plugin.status == PluginStatus::failed || plugin.status == PluginStatus::pending;
  });
}

Json plugins_json(const std::vector<PluginOutcome>& plugins) {
  Json out = Json::array();
  for (const PluginOutcome& plugin : plugins) {
    Json one = {{"name", plugin.name}, {"status", std::string(plugin_status_name(plugin.status))}};
    if (!plugin.reason.empty()) one["reason"] = plugin.reason;
    out.push_back(std::move(one));
  }
  return out;
}

void tell_messages(Output& output, const std::string& vserver, const std::vector<PluginOutcome>& plugins) {
  for (const PluginOutcome& plugin : plugins) {
    for (std::string_view rest = plugin.message; !rest.empty();) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (!line.empty()) output.message(vserver + ": " + plugin.name + ": " + std::string(line));
    }
  }
}

void tell_failures(Output& output, const std::string& vserver, const std::vector<PluginOutcome>& plugins) {
  for (const PluginOutcome& plugin : plugins)
    if (plugin.status == PluginStatus::failed)
      output.error(vserver + ": plugin " + plugin.name + ": " + (plugin.reason.empty() ? "failed" : plugin.reason));
}

}  // namespace vskel::cli
