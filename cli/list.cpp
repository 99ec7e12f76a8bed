// list: all skels, then all vservers.

#include <algorithm>

#include "cli/commands.h"
#include "cli/vserver_report.h"
#include "engine/vserver/inspect.h"

namespace vskel::cli {

namespace {

Json json_of(const SkelSummary& skel) {
  return {{"name", skel.name},
          {"generation", skel.generation},
          {"instances", skel.instances},
          {"global_files", skel.global_files},
          {"local_files", skel.local_files},
          {"static_files", skel.static_files},
          {"merged", skel.merged}};
}

Json fields_of(const Inventory& inventory) {
  Json skels = Json::array();
  for (const SkelSummary& skel : inventory.skels) skels.push_back(json_of(skel));
  Json vservers = Json::array();
  for (const VserverSummary& vserver : inventory.vservers) vservers.push_back(vserver_json(vserver));
  return {{"skels", std::move(skels)}, {"vservers", std::move(vservers)}};
}

std::string skel_table(const std::vector<SkelSummary>& skels) {
  if (skels.empty()) return "no skels\n";
  using enum Table::Align;
  Table table({{"SKEL"},
               {"GENERATION", right},
               {"VSERVERS", right},
               {"GLOBAL", right},
               {"LOCAL", right},
               {"STATIC", right},
               {""}});
  for (const SkelSummary& skel : skels)
    table.add({skel.name, std::to_string(skel.generation), std::to_string(skel.instances),
               std::to_string(skel.global_files), std::to_string(skel.local_files), std::to_string(skel.static_files),
               skel.merged ? "merged" : ""});
  return table.text();
}

std::string vserver_table(const std::vector<VserverSummary>& vservers) {
  if (vservers.empty()) return "no vservers\n";
  using enum Table::Align;
  Table table({{"VSERVER"},
               {"SKEL"},
               {"GENERATION", right},
               {"CONTEXT", right},
               {"IP"},
               {"FQDN"},
               {"SHARED", right},
               {"OWN", right},
               {"OWN BYTES", right},
               {""}});
  for (const VserverSummary& vserver : vservers) {
    const Record& record = vserver.record;
    const bool on_record = !record.skel.empty();
    const auto number = [&](std::uint64_t value) { return on_record ? std::to_string(value) : "-"; };
    const auto word = [&](const std::string& value) { return value.empty() ? "-" : safe_line(value); };
    table.add({safe_line(record.name), word(record.skel), number(record.generation), number(record.context),
               word(record.ip), word(record.fqdn), number(vserver.files_shared), number(vserver.files_own),
               on_record ? human_bytes(vserver.bytes_own) : "-", safe_line(vserver.problem)});
  }
  return table.text();
}

Result<ExitStatus> list(Session& session) {
  const Store store = TRY(session.store_to_read());
  const Inventory inventory = TRY(take_inventory(store, session.engine()));
  Json fields = fields_of(inventory);
  session.output.text(skel_table(inventory.skels) + "\n" + vserver_table(inventory.vservers));
  fields["held"] = TRY(tell_left_held(store, session.output));
  session.output.document(std::move(fields));
  return ExitStatus::done;
}

}  // namespace

Action list_command(CLI::App&) {
  return [](Session& session) { return list(session); };
}

}  // namespace vskel::cli
