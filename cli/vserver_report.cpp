// The keys are those of the record, so that who knows the one can read the other.

#include "cli/vserver_report.h"

#include "cli/plugin_report.h"
#include "engine/quiesce/left_held.h"

namespace vskel::cli {

Json vserver_json(const VserverSummary& vserver) {
  const Record& record = vserver.record;
  Json columns = Json::object();
  for (const auto& [name, value] : record.columns) columns[name] = value;
  Json ids{{"uid", Json::object()}, {"gid", Json::object()}};
  for (const auto& [from, to] : record.ids.uid) ids["uid"][std::to_string(from)] = to;
  for (const auto& [from, to] : record.ids.gid) ids["gid"][std::to_string(from)] = to;
  return {{"name", record.name},
          {"fqdn", record.fqdn},
          {"ip", record.ip},
          {"context", record.context},
          {"skel", record.skel},
          {"generation", record.generation},
          {"path", vserver.path},
          {"config", record.config},
          {"share", std::string(share_name(record.share))},
          {"seal", std::string(seal_name(record.seal))},
          {"created", record.created},
          {"files_shared", vserver.files_shared},
          {"files_own", vserver.files_own},
          {"bytes_own", vserver.bytes_own},
          {"columns", std::move(columns)},
          {"ids", std::move(ids)},
          {"plugins", plugins_json(record.plugins)},
          {"problem", vserver.problem}};
}

Result<Json> tell_left_held(const Store& store, Output& output) {
  Json lines = Json::array();
  for (const std::string& line : TRY(find_left_held(store))) {
    output.warning(line);
    lines.push_back(line);
  }
  return lines;
}

}  // namespace vskel::cli
