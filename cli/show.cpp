// show: all that is known of one vserver.

#include <memory>

#include "cli/commands.h"
#include "cli/vserver_report.h"
#include "engine/vserver/inspect.h"

namespace vskel::cli {

namespace {

/// "104 is 998, 105 is 999"
std::string numbers_text(const std::map<std::uint32_t, std::uint32_t>& numbers) {
  std::string out;
  for (const auto& [skels, own] : numbers)
    out += (out.empty() ? "" : ", ") + std::to_string(skels) + " is " + std::to_string(own);
  return out;
}

std::string text_of(const VserverSummary& vserver) {
  const Record& record = vserver.record;
  std::string out;
  const auto add = [&](const std::string& key, const std::string& value) {
    constexpr std::size_t kKeyWidth = 12;
    if (!value.empty())
      out +=
          key + ":" + std::string(key.size() < kKeyWidth ? kKeyWidth - key.size() : 1, ' ') + safe_line(value) + "\n";
  };
  add("name", record.name);
  add("fqdn", record.fqdn);
  add("ip", record.ip);
  add("context", std::to_string(record.context));
  add("skel", record.skel);
  add("generation", std::to_string(record.generation));
  add("path", vserver.path);
  add("config", record.config);
  add("share", std::string(share_name(record.share)));
  add("seal", std::string(seal_name(record.seal)));
  add("created", record.created);
  add("files", std::to_string(vserver.files_shared) + " shared, " + std::to_string(vserver.files_own) + " own");
  add("bytes own", human_bytes(vserver.bytes_own));
  add("users", numbers_text(record.ids.uid));
  add("groups", numbers_text(record.ids.gid));
  for (const auto& [name, value] : record.columns) add(name, value);
  for (const PluginOutcome& plugin : record.plugins)
    add("plugin", plugin.name + ": " + std::string(plugin_status_name(plugin.status)) +
                      (plugin.reason.empty() ? "" : ", " + plugin.reason));
  add("problem", vserver.problem);
  return out;
}

Result<ExitStatus> show(Session& session, const std::string& given) {
  const VserverName name = TRY(VserverName::parse(given));
  const Store store = TRY(session.store_to_read());
  const VserverSummary vserver = TRY(show_vserver(store, name, session.engine()));
  Json fields = vserver_json(vserver);
  session.output.text(text_of(vserver));
  fields["held"] = TRY(tell_left_held(store, session.output));
  session.output.document(std::move(fields));
  return ExitStatus::done;
}

}  // namespace

Action show_command(CLI::App& command) {
  const auto name = std::make_shared<std::string>();
  command.add_option("NAME", *name, "The vserver")->type_name("")->required();
  return [name](Session& session) { return show(session, *name); };
}

}  // namespace vskel::cli
