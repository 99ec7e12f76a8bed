// remove-vs: vservers with their configuration, context link and record, after a question.

#include "engine/vserver/remove.h"

#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "cli/prompt.h"
#include "cli/quiesce_option.h"
#include "cli/terminal.h"

namespace vskel::cli {

namespace {

struct RemoveOptions {
  std::vector<std::string> names;
  std::string quiesce;
  bool yes = false;
};

/// Each name once, in the order given.
Result<std::vector<VserverName>> parse_names(const std::vector<std::string>& given) {
  std::vector<VserverName> names;
  for (const std::string& text : given) {
    VserverName name = TRY(VserverName::parse(text));
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  return names;
}

std::string question_about(const std::vector<VserverName>& names) {
  std::string text = names.size() == 1 ? "Remove the vserver" : "Remove " + std::to_string(names.size()) + " vservers";
  for (const VserverName& name : names) text += " " + name.text();
  return text + ", with all files and the configuration?";
}

Result<> make_sure(const RemoveOptions& options, const std::vector<VserverName>& names) {
  if (options.yes) return {};
  if (!can_ask()) return refuse("remove-vs", "", "no terminal to ask on; --yes says that it is meant");
  if (!confirm(question_about(names))) return fail("remove-vs", "", std::string("not confirmed, nothing removed"));
  return {};
}

Json fields_of(const std::vector<RemovedVserver>& report) {
  Json removed = Json::array();
  Json failed = Json::array();
  Json notes = Json::array();
  for (const RemovedVserver& vserver : report) {
    if (vserver.error.empty()) removed.push_back(vserver.name);
    if (!vserver.error.empty()) failed.push_back({{"name", vserver.name}, {"error", vserver.error}});
    if (!vserver.note.empty()) notes.push_back({{"name", vserver.name}, {"note", vserver.note}});
  }
  return {{"removed", std::move(removed)}, {"failed", std::move(failed)}, {"notes", std::move(notes)}};
}

ExitStatus tell_removed(Output& output, const std::vector<RemovedVserver>& report) {
  std::size_t failures = 0;
  for (const RemovedVserver& vserver : report) {
    if (!vserver.note.empty()) output.note(vserver.name + ": " + vserver.note);
    if (vserver.error.empty()) {
      output.text(vserver.name + ": removed\n");
      continue;
    }
    ++failures;
    output.error_of(vserver.name, vserver.error);
  }
  if (failures == 0) return ExitStatus::done;
  return report.size() == 1 ? ExitStatus::failed : ExitStatus::partly;
}

Result<ExitStatus> remove(Session& session, const RemoveOptions& options) {
  const std::vector<VserverName> names = TRY(parse_names(options.names));
  session.quiesce = quiesce_of(options.quiesce);
  if (!session.dry_run()) TRY(make_sure(options, names));
  const Store store = TRY(session.store_to_change(Needs::vservers));
  const std::vector<RemovedVserver> report = TRY([&] {
    const auto bar = session.show_progress();
    return remove_vservers(store, names, session.engine());
  }());
  if (!session.dry_run()) {
    session.output.document(fields_of(report));
    return tell_removed(session.output, report);
  }
  Json planned = Json::array();
  for (const VserverName& name : names) {
    planned.push_back(name.text());
    session.output.text("would remove " + name.text() + "\n");
  }
  session.output.document({{"removed", Json::array()}, {"would_remove", std::move(planned)}});
  return ExitStatus::done;
}

}  // namespace

Action remove_vs_command(CLI::App& command) {
  const auto options = std::make_shared<RemoveOptions>();
  command.add_option("NAME", options->names, "The vservers")->type_name("")->required()->take_all();
  command.add_flag("-y,--yes", options->yes, "Do not ask");
  declare_quiesce(command, options->quiesce);
  return [options](Session& session) { return remove(session, *options); };
}

}  // namespace vskel::cli
