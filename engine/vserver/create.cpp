// create-vs as a transaction. Everything is checked, then staged (trees, configuration and records below staging/ID),
// then made durable by one syncfs, then announced in the journal, then published by renames. Before the announcement a
// crash undoes all of it, after it all of it is finished: by the same function, finish_creation(), that the command
// itself ends with. Plugins run after that, on vservers that are there.

#include "engine/vserver/create.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <deque>
#include <set>
#include <span>

#include "engine/quiesce/inhabitants.h"
#include "engine/seal/guard/guard.h"
#include "engine/seal/reflink.h"
#include "engine/seal/seal.h"
#include "engine/skel/populate.h"
#include "engine/skel/reseal.h"
#include "engine/skel/skel.h"
#include "engine/skel/skel_to_change.h"
#include "engine/sys/mount_clone.h"
#include "engine/sys/stopping.h"
#include "engine/tree/arena.h"
#include "engine/tree/remove.h"
#include "engine/tree/task_group.h"
#include "engine/txn/journal.h"
#include "engine/txn/lock.h"
#include "engine/txn/staging.h"
#include "engine/txn/write_behind.h"
#include "engine/vserver/clock.h"
#include "engine/vserver/configuration.h"
#include "engine/vserver/confinement.h"
#include "engine/vserver/contexts.h"
#include "engine/vserver/create_intent.h"
#include "engine/vserver/inspect.h"
#include "engine/vserver/instances.h"
#include "engine/vserver/record_tokens.h"
#include "engine/vserver/remove.h"
#include "engine/vserver/tenants.h"

namespace vskel {

namespace {

constexpr std::size_t kMostTemplate = 1 << 20;

std::string vserver_path(const Store& store, const std::string& name) { return store.paths().vservers + "/" + name; }

/// One member of the fleet with everything decided: what goes into its record and configuration.
struct Planned {
  Record record;
  TokenValues tokens;
  std::string configuration;  ///< filled in
};

Result<std::string> read_template(const Skel& skel, const CreateSettings& settings) {
  const Fd file = settings.template_path.empty() ? TRY(sys::open_file(skel.dir(), "configfile"))
                                                 : TRY(sys::open_input(settings.template_path));
  return sys::read_whole(file, kMostTemplate);
}

Result<std::string> config_path(const Store& store, const CreateSettings& settings, const TokenValues& tokens) {
  if (settings.config_path.empty()) return store.paths().etc + "/" + tokens.at("VS_NAME") + ".conf";
  return fill_configuration_path(settings.config_path, tokens);
}

/// With the line of the fleet file that has the value.
template <class T>
Result<T> said_by(const FleetMember& member, Result<T> filled) {
  if (!filled && !member.where.empty()) filled.error().operation = member.where + ": " + filled.error().operation;
  return filled;
}

/// The directory and the name of an administrator's absolute path.
Result<std::pair<DirFd, std::string>> open_parent(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == path.npos || path.front() != '/') return refuse("open", path, "an absolute path is wanted");
  std::string name = path.substr(slash + 1);
  if (!Name::check(name)) return refuse("open", path, "not a file's name");
  return std::pair{TRY(sys::open_root(slash == 0 ? "/" : path.substr(0, slash))), std::move(name)};
}

/// Names that are taken: nothing is touched if one is.
Result<> refuse_taken(const Store& store, const Fleet& fleet) {
  std::set<std::string> recorded;
  for (const SkelName& name : TRY(Skel::all(store))) {
    const Skel skel = TRY(Skel::open(store, name));
    if (!skel.instances().open()) continue;
    for (const FleetMember& member : fleet) {
      const std::string file = member.name.text() + ".json";
      if (TRY(sys::stat_if_there(skel.instances(), *Name::check(file)))) recorded.insert(member.name.text());
    }
  }
  std::set<std::string> seen;
  for (const FleetMember& member : fleet) {
    const std::string& name = member.name.text();
    if (!seen.insert(name).second) return refuse("create vserver", name, "named twice");
    if (recorded.contains(name)) return refuse("create vserver", name, "a vserver of that name has a record");
    if (TRY(sys::stat_if_there(store.vservers(), member.name.name())))
      return refuse("create vserver", name, vserver_path(store, name) + " exists");
  }
  return {};
}

Result<> refuse_taken_configurations(const std::vector<Planned>& plans) {
  std::set<std::string> seen;
  for (const Planned& plan : plans) {
    const std::string& path = plan.record.config;
    if (!seen.insert(path).second)
      return refuse("create vserver", path, "two vservers would have this configuration file");
    const auto [dir, name] = TRY(open_parent(path));
    if (TRY(sys::stat_if_there(dir, *Name::check(name))))
      return refuse("create vserver", path, "this configuration file exists");
  }
  return {};
}

/// The seal for this run. One skel's inodes are either sealed or not: vservers with and without cannot share them.
Result<SealKind> agree_on_seal(const Store& store, const CreateRequest& request, const std::vector<Record>& records) {
  if (request.share == Share::reflink && request.engine.dry_run == DryRun::no) TRY(require_reflinks(store.staging()));
  if (request.share != Share::hardlink) return SealKind::none;
  const DirFd& scratch = store.staging().open() ? store.staging() : store.vservers();
  const auto recorded = recorded_seal(records);
  if (recorded == SealKind::guard && request.seal && request.seal != SealKind::guard && request.seal != SealKind::none)
    return refuse("choose seal", std::string(seal_name(*request.seal)),
                  "vservers of this skel share the same files under the guard");
  std::optional<SealKind> seal = request.seal ? request.seal : recorded;
  if (request.seal != SealKind::none && request.engine.dry_run == DryRun::no)
    seal = TRY(request.seal ? choose_seal(scratch, request.seal) : seal_to_go_on_with(scratch, records));
  if (!seal && request.engine.dry_run == DryRun::no)
    return fail(
        "seal", store.paths().vservers,
        "no seal is to be had on this file system and kernel; use --share copy, --share reflink or --seal none");
  const SealKind chosen = seal.value_or(SealKind::immutable);
  for (const Record& record : records) {
    if (record.share != Share::hardlink || record.seal == chosen) continue;
    if (record.seal != SealKind::none && chosen != SealKind::none) continue;
    return refuse("choose seal", std::string(seal_name(chosen)),
                  "vserver " + record.name + " shares the same files with seal " + std::string(seal_name(record.seal)) +
                      "; use --share copy or reflink for one of them");
  }
  return chosen;
}

Result<std::vector<Planned>> plan_fleet(const Store& store, const CreateRequest& request, const Skel& skel,
                                        unsigned generation, SealKind seal,
                                        const std::vector<std::uint32_t>& contexts) {
  const std::string text = TRY(read_template(skel, request.settings));
  const std::vector<std::string> plugins = request.plugins == RunPlugins::no || !skel.plugins().open()
                                               ? std::vector<std::string>{}
                                               : TRY(plugin_names(skel.plugins()));
  std::set<std::string> unknown;
  std::vector<Planned> plans;
  for (std::size_t at = 0; at < request.fleet.size(); ++at) {
    const FleetMember& member = request.fleet[at];
    Planned plan;
    Record& record = plan.record;
    record.name = member.name.text();
    record.fqdn = member.fqdn.text();
    record.ip = member.address.text();
    record.skel = request.skel.text();
    record.context = contexts[at];
    record.columns = member.columns;
    plan.tokens = tokens_of(record, store.paths().vservers);
    Filled filled = TRY(said_by(member, fill_configuration(text, plan.tokens)));
    plan.configuration = std::move(filled.text);
    unknown.insert(filled.unknown.begin(), filled.unknown.end());
    record.config = TRY(said_by(member, config_path(store, request.settings, plan.tokens)));
    record.generation = generation;
    record.share = request.share;
    record.seal = seal;
    record.created = utc_now();
    for (const std::string& plugin : plugins) record.plugins.push_back({plugin, PluginStatus::pending, {}, {}});
    plans.push_back(std::move(plan));
  }
  if (request.engine.warn)
    for (const std::string& token : unknown)
      request.engine.warn("configuration: unknown token %%" + token + "%% left as it is");
  return plans;
}

/// A fleet has one template: what is weak in it is told once, of the first configuration that has it.
void warn_of_weaknesses(const EngineOptions& engine, const std::vector<Planned>& plans) {
  std::set<std::pair<unsigned, std::string>> told;
  for (const Planned& plan : plans) {
    if (!engine.warn || !has_sealed_files(plan.record)) continue;
    for (const Weakness& weakness : find_weaknesses(plan.configuration))
      if (told.emplace(weakness.line, weakness.setting).second) engine.warn(weakness.told_of(plan.record.config));
  }
}

nlohmann::json first_record(const CreateRequest& request, const std::vector<Planned>& plans, SealKind seal) {
  nlohmann::json members = nlohmann::json::array();
  for (const Planned& plan : plans)
    members.push_back({{"name", plan.record.name}, {"context", plan.record.context}, {"config", plan.record.config}});
  return {{"version", 1},
          {"operation", "create-vs"},
          {"skel", request.skel.text()},
          {"seal", seal_name(seal)},
          {"vservers", std::move(members)}};
}

Result<> write_staged_file(const DirFd& dir, Name name, std::string_view content) {
  const Fd file = TRY(sys::create_file(dir, name, 0600));
  return sys::write_all(file, content);
}

/// The staged form of one vserver: staging/ID/NAME with root/, config and record.
Result<> prepare(const DirFd& staging, const Planned& plan, Destination& destination) {
  const DirFd dir = TRY(sys::ensure_dir(staging, *Name::check(plan.record.name), 0700));
  TRY(write_staged_file(dir, "config", plan.configuration));
  TRY(write_staged_file(dir, "record", write_record(plan.record)));
  destination.root = TRY(sys::ensure_dir(dir, "root", 0700));
  destination.tokens = plan.tokens;
  return {};
}

CreatedVserver outcome_of(const Store& store, const Planned& plan, Destination& made, const std::string& staged_root) {
  const Record& record = plan.record;
  CreatedVserver out;
  out.name = record.name;
  out.fqdn = record.fqdn;
  out.ip = record.ip;
  out.context = record.context;
  out.path = vserver_path(store, record.name);
  out.config = record.config;
  out.generation = record.generation;
  out.linked = made.linked;
  out.cloned = made.cloned;
  out.copied = made.copied;
  out.bytes_copied = made.bytes_copied;
  if (made.error) out.error = std::move(*made.error).rebased(staged_root, out.path).line();
  out.status = made.error ? CreateStatus::failed : CreateStatus::created;
  return out;
}

/// How many members are staged together: a descriptor for each, beside those of the walk that serves them.
constexpr std::size_t kStagedAtOnce = 32;

/// Stages all members; those that fail are told in the report and left out of the publication.
Result<std::vector<CreatedVserver>> stage(const Store& store, const CreateRequest& request, const Skel& skel,
                                          SealKind seal, Quiescence& quiescence, const std::vector<Planned>& plans,
                                          const DirFd& staging, unsigned jobs) {
  const auto executor = TRY(make_executor(request.engine, store.vservers()));
  PopulateRequest population;
  population.skel = &skel;
  population.share = request.share;
  population.seal = seal;
  population.quiescence = &quiescence;
  population.executor = executor.get();
  population.progress = request.engine.progress;
  if (population.progress != nullptr) {
    const std::uint64_t paths = TRY(skel.count_paths());
    population.progress->total = paths * plans.size();
  }
  const WriteBehind write_behind(staging);
  std::set<std::string> unknown;
  std::vector<CreatedVserver> out;
  const std::string staging_path = sys::path_of(staging);
  for (std::size_t first = 0; first < plans.size(); first += kStagedAtOnce) {
    const auto together = std::span(plans).subspan(first, std::min(kStagedAtOnce, plans.size() - first));
    std::deque<Destination> destinations(together.size());
    std::vector<Destination*> ready;
    for (std::size_t at = 0; at < together.size(); ++at) {
      auto prepared = prepare(staging, together[at], destinations[at]);
      if (prepared) ready.push_back(&destinations[at]);
      if (!prepared) destinations[at].fail_with(std::move(prepared).error());
    }
    unknown.merge(TRY(populate(population, ready, jobs)));
    for (std::size_t at = 0; at < together.size(); ++at) {
      Destination& destination = destinations[at];
      if (!destination.failed)
        if (auto made = make_mount_points(destination.root); !made) destination.fail_with(std::move(made).error());
      out.push_back(
          outcome_of(store, together[at], destination, staging_path + "/" + together[at].record.name + "/root"));
    }
  }
  if (request.engine.warn)
    for (const std::string& where : unknown) request.engine.warn(where + ": unknown token left as it is");
  return out;
}

nlohmann::json publish_record(const std::vector<CreatedVserver>& outcomes) {
  nlohmann::json names = nlohmann::json::array();
  for (const CreatedVserver& outcome : outcomes)
    if (outcome.status == CreateStatus::created) names.push_back(outcome.name);
  return {{"phase", "publish"}, {"vservers", std::move(names)}};
}

Result<std::string> read_staged(const DirFd& dir, Name name) {
  const Fd file = TRY(sys::open_file(dir, name));
  return sys::read_whole(file, kMostTemplate);
}

/// Configuration and record of one staged vserver, written beside their final names.
Result<> prepare_to_publish(const Skel& skel, const DirFd& staged, const Record& record) {
  const auto [config_dir, config_name] = TRY(open_parent(record.config));
  TRY(prepare_file(config_dir, *Name::check(config_name), TRY(read_staged(staged, "config")), 0644));
  return prepare_record(skel, record);
}

/// One prepared vserver under its final names. Repeatable: what was done before is done again with the same result.
Result<> publish_one(const Store& store, const Skel& skel, const DirFd& staged, const Record& record) {
  const auto [config_dir, config_name] = TRY(open_parent(record.config));
  TRY(put_in_place(config_dir, *Name::check(config_name)));
  TRY(link_context(store, record.context, record.name));
  TRY(put_record_in_place(skel, record.name));
  if (TRY(sys::stat_if_there(staged, "root")))
    TRY(sys::rename_new(staged, "root", store.vservers(), *Name::check(record.name)));
  return {};
}

/// Takes back what was done of one before its publication failed.
Result<> withdraw(const Store& store, const Skel& skel, const Record& record) {
  const auto [config_dir, config_name] = TRY(open_parent(record.config));
  TRY(discard_prepared(config_dir, *Name::check(config_name)));
  TRY(sys::unlink_if_there(config_dir, *Name::check(config_name)));
  const std::string context = std::to_string(record.context), record_name = record.name + ".json";
  TRY(sys::unlink_if_there(store.contexts(), *Name::check(context)));
  TRY(discard_prepared_record(skel, record.name));
  return sys::unlink_if_there(skel.instances(), *Name::check(record_name));
}

struct PublishOutcome {
  std::vector<std::string> lines;
  std::map<std::string, Error> failed;
};

/// Every file system that vservers, contexts and configurations lie on, once.
Result<> sync_all(const Store& store, const std::set<std::string>& config_directories) {
  std::set<std::uint64_t> synced;
  const auto sync_once = [&synced](const DirFd& dir) -> Result<> {
    if (!synced.insert(TRY(sys::stat(dir)).device).second) return {};
    return sys::sync_file_system(dir);
  };
  TRY(sync_once(store.vservers()));
  TRY(sync_once(store.contexts()));
  for (const std::string& directory : config_directories) TRY(sync_once(TRY(sys::open_root(directory))));
  return {};
}

Result<PublishOutcome> publish_all(const Store& store, const Skel& skel, const DirFd& staging,
                                   const nlohmann::json& names) {
  struct Prepared {
    Record record;
    Result<> prepared;
  };
  std::vector<Prepared> members;
  std::set<std::string> config_directories;
  for (const auto& entry : names) {
    const auto name = TRY(VserverName::parse(entry.get<std::string>()));
    auto staged = sys::open_dir(staging, name.name());
    if (!staged && staged.error().code == ENOENT) continue;
    const DirFd dir = TRY(std::move(staged));
    Record record = TRY(read_record(TRY(read_staged(dir, "record")), sys::path_of(dir) + "/record"));
    config_directories.insert(record.config.substr(0, record.config.rfind('/') + 1));
    auto prepared = prepare_to_publish(skel, dir, record);
    members.push_back({std::move(record), std::move(prepared)});
  }
  TRY(sync_all(store, config_directories));

  PublishOutcome out;
  for (const auto& [record, prepared] : members) {
    const DirFd dir = TRY(sys::open_dir(staging, *Name::check(record.name)));
    auto published = prepared ? publish_one(store, skel, dir, record) : prepared;
    if (published) {
      out.lines.push_back("vserver " + record.name + ": creation was finished");
      continue;
    }
    // After a crash its root may be public already, and only the repetition failed: then it is not taken back, but
    // finished by the next recover.
    if (!TRY(sys::stat_if_there(dir, "root"))) return std::unexpected(std::move(published).error());
    TRY(withdraw(store, skel, record));
    out.lines.push_back("vserver " + record.name + ": creation was undone: " + published.error().line());
    out.failed.emplace(record.name, std::move(published).error());
  }
  // The renames, configurations and records are durable before the intent that could repeat them goes.
  TRY(sync_all(store, config_directories));
  return out;
}

/// One skel's inodes have one seal. Those of a skel whose first vserver with this one is about to be made may have
/// another: of the build, or of the vservers that are there.
Result<> change_seal_of_skel(const Skel& skel, SealKind seal, const std::vector<Record>& records) {
  const auto recorded = recorded_seal(records);
  const bool others = recorded && recorded != SealKind::none;
  if (seal == SealKind::none || (seal == SealKind::guard ? !others || recorded == SealKind::guard : others)) return {};
  if (seal != SealKind::guard && TRY(Guard::loaded()) == nullptr) return {};
  return seal_skel_again(skel, seal);
}

/// After a creation that was to bring the guard and came to nothing: nobody would fill it again for this skel.
Result<> back_to_recorded_seal(const Store& store, const Skel& skel, SealKind seal) {
  if (seal != SealKind::guard) return {};
  const auto recorded = recorded_seal(TRY(read_records(skel)));
  if (!recorded || recorded == SealKind::none || recorded == SealKind::guard) return {};
  if (const auto flags = TRY(choose_seal(store.staging(), recorded))) TRY(seal_skel_again(skel, *flags));
  return {};
}

/// `quiescence`: of the tenants that share inodes with the staging; null: what is in it goes when they are still.
Result<PublishOutcome> finish(const Store& store, Intent& intent, Quiescence* quiescence) {
  const sys::Undoing to_the_end;
  const nlohmann::json first = intent.records().front(), last = intent.records().back();
  const std::string phase = last.value("phase", "");
  const bool publish = phase == "publish";
  PublishOutcome out;
  const auto skel = TRY(Skel::open(store, TRY(SkelName::parse(first.value("skel", "")))));
  const Name id = *Name::check(intent.id());
  auto staging = sys::open_dir(store.staging(), id);
  if (!staging && staging.error().code != ENOENT) return std::unexpected(std::move(staging).error());
  if (publish && staging) {
    out = TRY(publish_all(store, skel, *staging, last.at("vservers")));
    if (TRY(parse_seal(first.value("seal", "none"))) == SealKind::guard) TRY(move_records_to_guard(store, skel));
    // From here on the staging is garbage: a crash that leaves half of it must not have it published again.
    TRY(intent.record({{"phase", "done"}}));
  }
  if (!publish) {
    const SealKind seal = TRY(parse_seal(first.value("seal", "none")));
    // Unsealed files are shared files in the open: sealed again before anything else is taken apart. Published but not
    // cleared away, the staging may have members that failed, with files half removed.
    if (must_lift(seal)) TRY(seal_skel_again(skel, seal));
    TRY(back_to_recorded_seal(store, skel, seal));
  }
  if (phase.empty())
    for (const auto& member : first.at("vservers"))
      out.lines.push_back("vserver " + member.value("name", "") + ": creation was undone");
  Result<> gone;
  if (quiescence != nullptr) gone = remove_tree(store.staging(), id, quiescence->in_turn());
  // Of somebody who could be a tenant no errno is told. A later command empties the trash then.
  if (quiescence == nullptr || (!gone && gone.error().code == 0)) gone = staging_to_trash(store, intent);
  TRY(std::move(gone));
  TRY(intent.close());
  return out;
}

std::vector<std::pair<std::string, std::string>> plugin_environment(const Store& store, const Record& record) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [column, value] : record.columns) out.emplace_back("VS_" + column, value);
  out.emplace_back("VS_NAME", record.name);
  out.emplace_back("VS_FQDN", record.fqdn);
  out.emplace_back("VS_IP", record.ip.substr(0, record.ip.find('/')));
  out.emplace_back("VS_CONTEXT", std::to_string(record.context));
  out.emplace_back("VS_DIR", vserver_path(store, record.name));
  out.emplace_back("VS_SKEL", record.skel);
  return out;
}

/// Runs a vserver's plugins and keeps their outcomes in its record.
Result<> run_plugins(const Store& store, const Skel& skel, Record& record, Tenancy tenancy,
                     const PluginSettings& settings) {
  const DirFd root = TRY(sys::open_dir(store.vservers(), *Name::check(record.name)));
  const std::string log_name = record.name + ".log";
  const Fd log = TRY(sys::open_or_create(store.log(), *Name::check(log_name), 0600));
  const PluginContext context{record.name, record.fqdn, record.ip.substr(0, record.ip.find('/')),
                              plugin_environment(store, record)};
  for (PluginOutcome& plugin : record.plugins)
    plugin = run_plugin(skel.plugins(), plugin.name, root, tenancy, context, settings, log);
  TRY(sys::sync_file_system(root));
  return save_record(skel, record);
}

bool all_ran(const std::vector<PluginOutcome>& plugins) {
  return std::ranges::all_of(plugins, [](const PluginOutcome& plugin) { return plugin.status == PluginStatus::ok; });
}

std::string plugin_error(const std::vector<PluginOutcome>& plugins) {
  for (const PluginOutcome& plugin : plugins)
    if (plugin.status == PluginStatus::failed) return "run plugin " + plugin.name + ": " + printable(plugin.reason);
  return {};
}

void run_plugins_of_fleet(const Store& store, const CreateRequest& request, const Skel& skel,
                          std::vector<Planned>& plans, std::vector<CreatedVserver>& outcomes) {
  TaskGroup tasks;
  const auto run_those_of = [&](std::size_t at) {
    CreatedVserver& outcome = outcomes[at];
    Record& record = plans[at].record;
    if (outcome.status != CreateStatus::created || record.plugins.empty()) return;
    auto ran = sys::may_go_on();
    if (ran) ran = run_plugins(store, skel, record, Tenancy::none_yet, request.plugin_settings);
    outcome.plugins = record.plugins;
    outcome.error = ran ? plugin_error(record.plugins) : ran.error().line();
  };
  tasks.run_and_wait([&] {
    for (std::size_t at = 0; at < plans.size(); ++at) tasks.run([&run_those_of, at] { run_those_of(at); });
  });
}

/// --strict-plugins: the vservers whose plugins failed go again.
Result<> undo_failed_plugins(const Store& store, const CreateRequest& request, std::vector<CreatedVserver>& outcomes) {
  std::vector<VserverName> names;
  for (CreatedVserver& outcome : outcomes) {
    if (outcome.status != CreateStatus::created || all_ran(outcome.plugins)) continue;
    names.push_back(TRY(VserverName::parse(outcome.name)));
    outcome.status = CreateStatus::failed;
  }
  if (names.empty()) return {};
  for (const RemovedVserver& removed : TRY(remove_vservers(store, names, request.engine)))
    if (!removed.error.empty() && request.engine.warn) request.engine.warn(removed.name + ": " + removed.error);
  return {};
}

/// What plugins do by path in a vserver that its tenant has had, they do where nobody runs, and no link leads out.
Result<> refuse_unsafe_plugins(const Store& store, const VserverName& name) {
  const DirFd root = TRY(sys::open_dir(store.vservers(), name.name()));
  const sys::Stat stat = TRY(sys::stat(root));
  const Tenant tenant{name.text(), stat.device, stat.inode};
  const auto inside = TRY(find_inhabitants(store.vservers(), std::span(&tenant, 1)));
  if (!inside.empty())
    return refuse("run plugins", name.text(),
                  inside.front().process + " runs inside; stop the vserver, then run its plugins");
  const auto mount = sys::mount_without_links(root);
  if (mount) return {};
  if (!sys::MountClone::is_refusal(mount.error())) return std::unexpected(mount.error());
  return fail("run plugins", name.text(),
              "a tenant's links would be followed: there is no mount with nosymfollow here (" + mount.error().line() +
                  "); it takes Linux 5.14 and CAP_SYS_ADMIN");
}

struct Made {
  std::vector<Planned> plans;
  std::vector<CreatedVserver> outcomes;
};

Result<Made> create_in_transaction(const Store& store, const CreateRequest& request, const Skel& skel, unsigned jobs) {
  const std::vector<Record> records = TRY(read_records(skel));
  TRY(refuse_taken(store, request.fleet));
  const SealKind seal = TRY(agree_on_seal(store, request, records));
  const unsigned generation = TRY(skel.newest_generation());
  std::vector<std::optional<std::uint32_t>> asked;
  for (const FleetMember& member : request.fleet) asked.push_back(member.context);

  // Planned once with placeholders, so that a bad template or a taken file costs no context id.
  Made made;
  made.plans = TRY(
      plan_fleet(store, request, skel, generation, seal, std::vector<std::uint32_t>(asked.size(), kHighestContext)));
  if (request.settings.config_path.find("VS_CONTEXT") == std::string::npos)
    TRY(refuse_taken_configurations(made.plans));
  const auto contexts = TRY(reserve_contexts(store, asked, request.settings.first_context, request.engine));
  CreateRequest silent = request;
  silent.engine.warn = nullptr;
  made.plans = TRY(plan_fleet(store, silent, skel, generation, seal, contexts));
  warn_of_weaknesses(request.engine, made.plans);
  TRY(refuse_taken_configurations(made.plans));

  if (request.engine.dry_run == DryRun::yes) {
    for (const Planned& plan : made.plans) {
      Destination nothing;
      made.outcomes.push_back(outcome_of(store, plan, nothing, ""));
      made.outcomes.back().plugins = plan.record.plugins;
    }
    return made;
  }
  const bool took_it = !request.seal && request.share == Share::hardlink && !recorded_seal(records);
  if (took_it && seal == SealKind::immutable) warn_of_immutable(store.staging(), request.engine);
  Quiescence quiescence;
  if (must_lift(seal)) quiescence = TRY(hold_tenants(store, skel, records, request.engine));
  Intent intent = TRY(Intent::begin(store, first_record(request, made.plans, seal)));
  const DirFd staging = TRY(sys::ensure_dir(store.staging(), *Name::check(intent.id()), 0700));
  auto staged = [&]() -> Result<std::vector<CreatedVserver>> {
    TRY(change_seal_of_skel(skel, seal, records));
    return stage(store, request, skel, seal, quiescence, made.plans, staging, jobs);
  }();
  if (auto proven = quiescence.prove(); !proven && staged) staged = std::unexpected(std::move(proven).error());
  // What failed is taken apart, sealed names among it: until then the tenants stay held.
  const bool all_staged = staged && std::ranges::none_of(*staged, [](const CreatedVserver& outcome) {
                            return outcome.status == CreateStatus::failed;
                          });
  if (all_staged) TRY(quiescence.release());
  if (staged) {
    auto durable = sys::may_go_on();
    if (durable) durable = sys::sync_file_system(staging);
    if (durable) durable = intent.record(publish_record(*staged));
    if (!durable) staged = std::unexpected(std::move(durable).error());
  }
  auto finished = finish(store, intent, &quiescence);
  if (auto released = quiescence.release(); !released && finished) finished = std::unexpected(released.error());
  if (!staged) return std::unexpected(std::move(staged).error());
  PublishOutcome published = TRY(std::move(finished));
  for (CreatedVserver& outcome : *staged) {
    const auto failed = published.failed.find(outcome.name);
    if (failed == published.failed.end()) continue;
    outcome.status = CreateStatus::failed;
    outcome.error = failed->second.line();
  }
  made.outcomes = std::move(*staged);
  return made;
}

}  // namespace

Result<std::vector<std::string>> finish_creation(const Store& store, Intent& intent) {
  return TRY(finish(store, intent, nullptr)).lines;
}

Result<CreateReport> create_vservers(const Store& store, const CreateRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  const bool dry_run = request.engine.dry_run == DryRun::yes;
  SkelToChange opened = TRY(open_skel_to_change(store, request.skel, request.engine));
  const Skel& skel = opened.skel;
  if (skel.merged()) return refuse("create vserver", request.skel.text(), "the skel is merged; split-skel first");
  const int jobs = workers(request.engine);
  Arena arena(jobs);
  Made made =
      TRY(arena.execute([&] { return create_in_transaction(store, request, skel, static_cast<unsigned>(jobs)); }));
  if (!dry_run) {
    arena.execute([&] { run_plugins_of_fleet(store, request, skel, made.plans, made.outcomes); });
    opened.lock.reset();
    if (request.plugins == RunPlugins::strict) TRY(undo_failed_plugins(store, request, made.outcomes));
  }
  CreateReport report{request.skel.text(), 0, std::move(made.outcomes)};
  report.elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

Result<std::vector<PluginOutcome>> run_plugins_again(const Store& store, const VserverName& name,
                                                     const PluginSettings& settings, const EngineOptions& engine) {
  auto record = TRY(find_record(store, name));
  if (!record) return refuse("run plugins", name.text(), "no vserver of that name has a record");
  const Lock lock = TRY(Lock::take(store, "vserver." + name.text(), engine.wait));
  const Skel skel = TRY(Skel::open(store, TRY(SkelName::parse(record->skel))));
  record->plugins.clear();
  if (skel.plugins().open())
    for (const std::string& plugin : TRY(plugin_names(skel.plugins())))
      record->plugins.push_back({plugin, PluginStatus::pending, {}, {}});
  TRY(refuse_unsafe_plugins(store, name));
  if (engine.dry_run == DryRun::yes) return record->plugins;
  TRY(run_plugins(store, skel, *record, Tenancy::had, settings));
  return record->plugins;
}

}  // namespace vskel
