// run-plugins: the plugins of a vserver that exists, again.

#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "cli/plugin_report.h"
#include "engine/vserver/create.h"

namespace vskel::cli {

namespace {

void tell_outcomes(Session& session, const std::string& vserver, const std::vector<PluginOutcome>& outcomes) {
  for (const PluginOutcome& plugin : outcomes)
    session.output.text(vserver + ": " +
                        (session.dry_run() ? "would run " + plugin.name
                                           : plugin.name + ": " + std::string(plugin_status_name(plugin.status))) +
                        "\n");
  if (outcomes.empty()) session.output.text(vserver + ": its skel has no plugins\n");
}

Result<ExitStatus> run_again(Session& session, const std::string& given) {
  const VserverName name = TRY(VserverName::parse(given));
  const Store store = TRY(session.store_to_change(Needs::vservers));
  const std::vector<PluginOutcome> outcomes =
      TRY(run_plugins_again(store, name, session.settings.plugins, session.engine()));
  session.output.document({{"name", name.text()}, {"plugins", plugins_json(outcomes)}});
  tell_outcomes(session, name.text(), outcomes);
  if (session.dry_run()) return ExitStatus::done;
  tell_messages(session.output, name.text(), outcomes);
  tell_failures(session.output, name.text(), outcomes);
  if (all_ok(outcomes)) return ExitStatus::done;
  const bool some_ok =
      std::ranges::any_of(outcomes, [](const PluginOutcome& plugin) { return plugin.status == PluginStatus::ok; });
  return some_ok ? ExitStatus::partly : ExitStatus::failed;
}

}  // namespace

Action run_plugins_command(CLI::App& command) {
  const auto name = std::make_shared<std::string>();
  command.add_option("NAME", *name, "The vserver")->type_name("")->required();
  return [name](Session& session) { return run_again(session, *name); };
}

}  // namespace vskel::cli
