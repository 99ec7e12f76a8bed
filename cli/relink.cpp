// relink: vservers follow their skel; what became of each, a line each, and of each path with -v.

#include "engine/relink/relink.h"

#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "cli/quiesce_option.h"

namespace vskel::cli {

namespace {

struct RelinkOptions {
  std::string skel, databases = "skip", to, export_new, quiesce;
  std::vector<std::string> names;
  bool share_only = false, global_only = false, anywhere = false, acknowledge = false, new_beside = false,
       ignore_mtime = false;
};

Result<RelinkRequest> request_of(Session& session, const RelinkOptions& options) {
  RelinkRequest request{.skel = TRY(SkelName::parse(options.skel)),
                        .vservers = {},
                        .databases = options.databases == "force" ? PackageDatabases::force : PackageDatabases::skip,
                        .to = std::nullopt,
                        .export_new = {},
                        .settings = session.settings.relink,
                        .engine = session.engine()};
  for (const std::string& name : options.names) request.vservers.push_back(TRY(VserverName::parse(name)));
  request.share_only = options.share_only;
  request.global_only = options.global_only;
  request.anywhere = options.anywhere;
  request.acknowledge = options.acknowledge;
  request.new_beside = options.new_beside;
  request.ignore_mtime = options.ignore_mtime;
  request.list_paths = session.output.verbosity() == Verbosity::verbose;
  if (!options.to.empty()) request.to = TRY(parse_share(options.to));
  if (!options.export_new.empty()) {
    request.export_new = TRY(absolute_path(options.export_new));
    auto target = sys::open_root(request.export_new);
    if (!target) return refuse("export to", request.export_new, "no such directory");
  }
  return request;
}

std::string_view word_for(RelinkStatus status) {
  return status == RelinkStatus::done ? "done" : status == RelinkStatus::skipped ? "skipped" : "failed";
}

Json json_of(const RelinkedVserver& vserver) {
  Json states = Json::array();
  for (const TenantsState& state : vserver.states)
    states.push_back({{"path", state.path}, {"package", state.package}, {"from", state.from}, {"to", state.to}});
  Json kept = Json::array();
  for (const KeptPath& path : vserver.kept) kept.push_back({{"path", path.path}, {"why", path.why}});
  return {{"name", vserver.name},
          {"from_generation", vserver.from_generation},
          {"status", word_for(vserver.status)},
          {"shared_before", vserver.shared_before},
          {"shared_now", vserver.shared_now},
          {"updated", vserver.updated},
          {"added", vserver.added},
          {"removed", vserver.removed},
          {"kept", std::move(kept)},
          {"accounts", vserver.accounts},
          {"states", std::move(states)},
          {"bytes_saved", vserver.bytes_saved},
          {"bytes_read", vserver.bytes_read},
          {"error", vserver.error},
          {"beside", vserver.beside},
          {"set_id", vserver.old_set_id},
          {"restart", vserver.restart}};
}

Json fields_of(const RelinkReport& report) {
  Json vservers = Json::array();
  for (const RelinkedVserver& vserver : report.vservers) vservers.push_back(json_of(vserver));
  return {{"skel", report.skel},
          {"generation", report.generation},
          {"elapsed_s", report.elapsed_s},
          {"vservers", std::move(vservers)}};
}

/// "web1: generation 1 to 2, 12 updated, 3 added, 6301 shared (6289 before), 2 kept, 1.2 MiB saved"
std::string line_for(const RelinkedVserver& vserver, unsigned generation) {
  std::string line = vserver.name + ": ";
  if (vserver.status == RelinkStatus::failed) return line + "failed\n";  // the error says why, and nobody what was done
  if (vserver.status == RelinkStatus::skipped) line += "skipped, ";
  if (vserver.from_generation != generation && vserver.status == RelinkStatus::done)
    line += "generation " + std::to_string(vserver.from_generation) + " to " + std::to_string(generation) + ", ";
  const auto add = [&](std::uint64_t count, const char* what) {
    if (count > 0) line += std::to_string(count) + " " + what + ", ";
  };
  add(vserver.updated, "updated");
  add(vserver.added, "added");
  add(vserver.removed, "removed");
  line += std::to_string(vserver.shared_now) + " shared";
  if (vserver.shared_now != vserver.shared_before) line += " (" + std::to_string(vserver.shared_before) + " before)";
  if (!vserver.kept.empty()) line += ", " + std::to_string(vserver.kept.size()) + " kept";
  if (vserver.bytes_saved > 0) line += ", " + human_bytes(vserver.bytes_saved) + " saved";
  return line + "\n";
}

void tell(Session& session, const RelinkedVserver& vserver, unsigned generation) {
  Output& output = session.output;
  output.text(line_for(vserver, generation));
  if (output.verbosity() == Verbosity::verbose)
    for (const RelinkedPath& path : vserver.paths)
      output.text("  " + std::string(path.code) + " " + safe_line(printable(path.path)) + "\n");
  for (const std::string& account : vserver.accounts) output.text("  accounts: " + safe_line(account) + "\n");
  for (const KeptPath& kept : vserver.kept)
    output.text("  kept " + safe_line(printable(kept.path)) + ": " + kept.why + "\n");
  for (const TenantsState& state : vserver.states)
    output.text("  " + safe_line(state.package + " " + state.from + " -> " + state.to + ": " + printable(state.path)) +
                " is the tenant's\n");
  for (const std::string& path : vserver.beside) output.text("  the skel's is in " + safe_line(printable(path)) + "\n");
  for (const std::string& path : vserver.old_set_id)
    output.warning(vserver.name + ": SET-ID FILE " + printable(path) +
                   " is not the skel's: it may be the hole that an update closed");
  for (const std::string& process : vserver.restart)
    output.warning(vserver.name + ": process " + process + " still uses a replaced file; restart it");
  if (vserver.error.empty()) return;
  output.error_of(vserver.name, vserver.error);
}

ExitStatus status_of(const RelinkReport& report) {
  const auto is_done = [](const RelinkedVserver& vserver) { return vserver.status == RelinkStatus::done; };
  return std::ranges::all_of(report.vservers, is_done) ? ExitStatus::done : ExitStatus::partly;
}

Result<ExitStatus> relink(Session& session, const RelinkOptions& options) {
  session.quiesce = quiesce_of(options.quiesce);
  const RelinkRequest request = TRY(request_of(session, options));
  const Store store = TRY(session.store_to_change(Needs::vservers, request.skel));
  const RelinkReport report = TRY([&] {
    const auto bar = session.show_progress();
    return relink_vservers(store, request);
  }());
  session.output.document(fields_of(report));
  for (const RelinkedVserver& vserver : report.vservers) tell(session, vserver, report.generation);
  if (report.vservers.empty()) session.output.text(report.skel + ": no vservers\n");
  if (session.dry_run()) session.output.note("nothing was changed (--dry-run)");
  return status_of(report);
}

}  // namespace

Action relink_command(CLI::App& command) {
  const auto options = std::make_shared<RelinkOptions>();
  command.add_option("SKEL", options->skel, "The skel")->type_name("")->required();
  command.add_option("NAME", options->names, "Its vservers to relink [all]")->type_name("")->take_all();
  command.add_flag("--share-only", options->share_only, "Only share what is equal; update, add and remove nothing");
  command.add_flag("--global-only", options->global_only, "Leave the local part alone");
  command
      .add_option("--pkgdb", options->databases,
                  "A vserver whose tenant changed its package database: skip it, or force the skel's files [skip]")
      ->type_name("WHAT")
      ->check(CLI::IsMember({"skip", "force"}).description(""));
  command.add_flag("--anywhere", options->anywhere, "Share with any equal file of the skel, wherever the two stand");
  command.add_option("--to", options->to, "From now on share by hardlink, reflink or copy")
      ->type_name("HOW")
      ->check(CLI::IsMember({"hardlink", "reflink", "copy"}).description(""));
  command
      .add_option("--export-new", options->export_new,
                  "Write the skel's side of every conflict below DIR/NAME; DIR exists")
      ->type_name("DIR");
  command.add_flag("--ack", options->acknowledge, "What is kept has been seen: later runs are silent about it");
  command.add_flag(
      "--new-beside", options->new_beside,
      "Lay the skel's version of each file that is kept below /etc beside it, as NAME.dpkg-dist or NAME.rpmnew");
  command.add_flag("--ignore-mtime", options->ignore_mtime, "Share files that differ in nothing but their time, too");
  declare_quiesce(command, options->quiesce);
  return [options](Session& session) { return relink(session, *options); };
}

}  // namespace vskel::cli
