// create-vs: one vserver from arguments or answers, or a fleet from a file or a pattern; then what became of each.

#include <algorithm>
#include <array>
#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "cli/plugin_report.h"
#include "cli/prompt.h"
#include "cli/quiesce_option.h"
#include "cli/terminal.h"
#include "engine/sys/kernel.h"
#include "engine/vserver/contexts.h"
#include "engine/vserver/create.h"
#include "engine/vserver/fleet.h"

namespace vskel::cli {

namespace {

struct CreateOptions {
  std::string skel, name, fqdn, ip;
  std::string fleet_file, name_pattern, fqdn_pattern, first_ip;
  unsigned count = 0;         ///< 0: not given
  std::uint32_t context = 0;  ///< 0: not given
  std::string share = "hardlink", seal = "auto", quiesce;
  bool no_plugins = false, strict_plugins = false;
};

std::unexpected<Error> refuse_option(std::string option, std::string rule) {
  return refuse("create-vs", std::move(option), std::move(rule));
}

/// The three ways to say what shall be made exclude each other, and each wants all of its options.
Result<> check_together(const CreateOptions& options) {
  const bool by_file = !options.fleet_file.empty();
  const bool by_count = options.count > 0;
  const bool patterns = !options.name_pattern.empty() || !options.fqdn_pattern.empty() || !options.first_ip.empty();
  if (by_file && by_count) return refuse_option("--fleet", "not together with --count");
  if ((by_file || by_count) && !options.name.empty())
    return refuse_option(options.name, "no NAME together with --fleet or --count");
  if (!by_count && patterns) return refuse_option("--name, --fqdn, --ip-from", "only together with --count");
  if (by_count && (options.name_pattern.empty() || options.fqdn_pattern.empty() || options.first_ip.empty()))
    return refuse_option("--count", "wants --name, --fqdn and --ip-from");
  if (options.context != 0 && (by_file || by_count)) return refuse_option("--context", "for one vserver only");
  if (options.no_plugins && options.strict_plugins)
    return refuse_option("--no-plugins", "not together with --strict-plugins");
  return {};
}

constexpr std::size_t kMostFleetBytes = 64 << 20;

Result<std::string> read_standard_input() {
  std::string text;
  std::array<char, 65536> buffer{};
  while (std::cin.read(buffer.data(), buffer.size()) || std::cin.gcount() > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(std::cin.gcount()));
    if (text.size() > kMostFleetBytes) return refuse("read fleet", "-", "larger than 64 MiB");
  }
  return text;
}

/// A pipe will do as well as a file.
Result<std::string> read_fleet_text(const std::string& path) {
  if (path == "-") return read_standard_input();
  auto file = sys::open_input(path);
  if (!file) {
    file.error().operation = "read fleet";
    file.error().blame = Blame::request;
    return std::unexpected(file.error());
  }
  if (TRY(sys::stat(*file)).type == sys::FileType::directory) return refuse("read fleet", path, "a directory");
  std::string text;
  std::array<std::byte, 65536> buffer{};
  for (;;) {
    const std::size_t size = TRY(sys::read_some(*file, buffer));
    if (size == 0) return text;
    text.append(reinterpret_cast<const char*>(buffer.data()), size);
    if (text.size() > kMostFleetBytes) return refuse("read fleet", path, "larger than 64 MiB");
  }
}

/// A value from the command line, or else from the one who sits there.
template <class Value>
Result<Value> given_or_asked(Session& session, const std::string& given, const std::string& what,
                             Result<Value> (*parse)(const std::string&)) {
  if (!given.empty()) return parse(given);
  if (!can_ask()) return refuse_option(what, "missing, and there is no terminal to ask on");
  return ask(session.output, what, parse);
}

Result<Fleet> fleet_of_one(Session& session, const CreateOptions& options) {
  // What is given is checked before anything is asked.
  if (!options.fqdn.empty()) TRY(Fqdn::parse(options.fqdn));
  if (!options.ip.empty()) TRY(Address::parse(options.ip));
  VserverName name = TRY(given_or_asked(session, options.name, "NAME", VserverName::parse));
  Fqdn fqdn = TRY(given_or_asked(session, options.fqdn, "FQDN", Fqdn::parse));
  Address address = TRY(given_or_asked(session, options.ip, "IP", Address::parse));
  FleetMember member{std::move(name), std::move(fqdn), std::move(address), std::nullopt, {}};
  if (options.context != 0) member.context = options.context;
  return Fleet{std::move(member)};
}

Result<Fleet> wanted_fleet(Session& session, const CreateOptions& options) {
  if (options.count > 0)
    return count_fleet(options.count, options.name_pattern, options.fqdn_pattern,
                       TRY(Address::parse(options.first_ip)));
  if (!options.fleet_file.empty()) return parse_fleet(TRY(read_fleet_text(options.fleet_file)), options.fleet_file);
  return fleet_of_one(session, options);
}

Result<CreateRequest> request_of(Session& session, const CreateOptions& options) {
  TRY(check_together(options));
  SkelName skel = TRY(SkelName::parse(options.skel));
  Fleet fleet = TRY(wanted_fleet(session, options));
  const Share share = TRY(parse_share(options.share));
  const RunPlugins unless_none = options.strict_plugins ? RunPlugins::strict : RunPlugins::yes;
  CreateRequest request{.skel = std::move(skel),
                        .fleet = std::move(fleet),
                        .share = share,
                        .seal = std::nullopt,
                        .plugins = options.no_plugins ? RunPlugins::no : unless_none,
                        .settings = session.settings.create,
                        .plugin_settings = session.settings.plugins,
                        .engine = session.engine()};
  if (options.seal != "auto") request.seal = TRY(parse_seal(options.seal));
  if (request.fleet.empty()) return refuse_option(options.fleet_file, "no vserver in it");
  return request;
}

Json json_of(const CreatedVserver& vserver) {
  return {{"name", vserver.name},
          {"fqdn", vserver.fqdn},
          {"ip", vserver.ip},
          {"context", vserver.context},
          {"path", vserver.path},
          {"config", vserver.config},
          {"generation", vserver.generation},
          {"status", vserver.status == CreateStatus::created ? "created" : "failed"},
          {"linked", vserver.linked},
          {"cloned", vserver.cloned},
          {"copied", vserver.copied},
          {"bytes_copied", vserver.bytes_copied},
          {"plugins", plugins_json(vserver.plugins)},
          {"error", vserver.error}};
}

Json fields_of(const CreateReport& report) {
  Json vservers = Json::array();
  for (const CreatedVserver& vserver : report.vservers) vservers.push_back(json_of(vserver));
  return {{"skel", report.skel}, {"elapsed_s", report.elapsed_s}, {"vservers", std::move(vservers)}};
}

bool failed(const CreatedVserver& vserver) { return vserver.status == CreateStatus::failed; }
bool plugins_failed(const CreatedVserver& vserver) {
  return !failed(vserver) && (!all_ok(vserver.plugins) || !vserver.error.empty());
}

/// One line for what went wrong with one vserver.
void tell_trouble(Output& output, const CreatedVserver& vserver) {
  tell_messages(output, vserver.name, vserver.plugins);
  if (!failed(vserver)) tell_failures(output, vserver.name, vserver.plugins);
  if (vserver.error.empty() || (!failed(vserver) && !all_ok(vserver.plugins))) return;
  output.error_of(vserver.name, vserver.error);
}

std::string summary_of(const CreateReport& report) {
  const auto failures = static_cast<std::uint64_t>(std::ranges::count_if(report.vservers, failed));
  const auto troubled = static_cast<std::uint64_t>(std::ranges::count_if(report.vservers, plugins_failed));
  std::string text = report.skel + ": " + std::to_string(report.vservers.size() - failures) + " of " +
                     counted(report.vservers.size(), "vserver") + " created";
  if (troubled > 0) text += ", " + std::to_string(troubled) + " with failed plugins";
  if (failures > 0) text += ", " + std::to_string(failures) + " failed";
  return text + ", in " + human_seconds(report.elapsed_s) + "\n";
}

void tell_plan(Output& output, const CreateReport& report) {
  for (const CreatedVserver& vserver : report.vservers)
    output.text("would create " + vserver.name + ": " + vserver.fqdn + ", " + vserver.ip + ", context " +
                std::to_string(vserver.context) + ", " + vserver.path + ", " + vserver.config + "\n");
}

ExitStatus status_of(const CreateReport& report) {
  if (std::ranges::none_of(report.vservers, failed) && std::ranges::none_of(report.vservers, plugins_failed))
    return ExitStatus::done;
  return report.vservers.size() == 1 && failed(report.vservers[0]) ? ExitStatus::failed : ExitStatus::partly;
}

Result<ExitStatus> create(Session& session, const CreateOptions& options) {
  session.quiesce = quiesce_of(options.quiesce);
  const CreateRequest request = TRY(request_of(session, options));
  const Store store = TRY(session.store_to_change(Needs::vservers, request.skel));
  const CreateReport report = TRY([&] {
    const auto bar = session.show_progress();
    return create_vservers(store, request);
  }());
  session.output.document(fields_of(report));
  if (session.dry_run()) {
    tell_plan(session.output, report);
    return ExitStatus::done;
  }
  for (const CreatedVserver& vserver : report.vservers) tell_trouble(session.output, vserver);
  if (report.vservers.size() > 1) {
    session.output.text(summary_of(report));
  } else if (const CreatedVserver& only = report.vservers.at(0); !failed(only)) {
    session.output.text(only.name + ": created, context " + std::to_string(only.context) + ", " + only.path + "\n");
  }
  return status_of(report);
}

}  // namespace

Action create_vs_command(CLI::App& command) {
  const auto options = std::make_shared<CreateOptions>();
  const auto one_of = [](const std::vector<std::string>& words) { return CLI::IsMember(words).description(""); };
  command.add_option("SKEL", options->skel, "The skel to make it from")->type_name("")->required();
  command.add_option("NAME", options->name, "Name of the vserver; what is missing is asked for on a terminal")
      ->type_name("");
  command.add_option("FQDN", options->fqdn, "Its full host name")->type_name("");
  command.add_option("IP", options->ip, "Its address, IPv4 or IPv6, with or without /prefix")->type_name("");
  command
      .add_option("--fleet", options->fleet_file,
                  "Many at once: CSV with the header name,fqdn,ip[,context][,MORE...]; - is standard input")
      ->type_name("FILE");
  command.add_option("--count", options->count, "Many at once: as many as this, numbered from 1")
      ->type_name("N")
      ->check(CLI::Range(1U, kHighestContext).description(""));
  command.add_option("--name", options->name_pattern, "With --count: the names, 'web%03d'")->type_name("PATTERN");
  command.add_option("--fqdn", options->fqdn_pattern, "With --count: the host names, '%s.example.com'")
      ->type_name("PATTERN");
  command.add_option("--ip-from", options->first_ip, "With --count: the first address")->type_name("IP");
  command.add_option("--context", options->context, "Context id, for one vserver [the next free one]")
      ->type_name("ID")
      ->check(CLI::Range(2U, kHighestContext).description(""));
  command.add_option("--share", options->share, "How it has the global files: hardlink, reflink or copy [hardlink]")
      ->type_name("HOW")
      ->check(one_of({"hardlink", "reflink", "copy"}));
  command
      .add_option("--seal", options->seal, "What protects shared files: auto, iunlink, guard, immutable or none [auto]")
      ->type_name("SEAL")
      ->check(one_of({"auto", "iunlink", "guard", "immutable", "none"}));
  declare_quiesce(command, options->quiesce);
  command.add_flag("--no-plugins", options->no_plugins, "Run no plugins");
  command.add_flag("--strict-plugins", options->strict_plugins, "A plugin that fails undoes its vserver");
  return [options](Session& session) { return create(session, *options); };
}

}  // namespace vskel::cli
