// guard: loads, unloads and shows the programs in the kernel that seal inodes without flags.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <memory>

#include "cli/commands.h"
#include "cli/prompt.h"
#include "cli/terminal.h"
#include "engine/vserver/guarding.h"

namespace vskel::cli {

namespace {

struct GuardOptions {
  std::string action;
  bool yes = false;
  bool all = false;
};

/// Whatever is there: a machine may have no vservers yet.
Result<Store> store_of(Session& session) { return Store::open_whatever_is_there(session.options.paths); }

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : " ") + name;
  return text;
}

/// Vservers that rely on another seal; and how they could rely on the guard.
std::string line_of(const GuardedSkel& other) {
  const std::string advice =
      other.seal == SealKind::immutable ? "; vskel guard start --all moves them to the guard" : "";
  return "skel " + other.skel + ": sealed by " + std::string(seal_name(*other.seal)) + ": " + joined(other.vservers) +
         advice + "\n";
}

Json json_of(const std::vector<GuardedSkel>& others) {
  Json json = Json::array();
  for (const GuardedSkel& other : others)
    json.push_back({{"skel", other.skel}, {"seal", seal_name(*other.seal)}, {"vservers", other.vservers}});
  return json;
}

Result<ExitStatus> start(Session& session, const GuardOptions& options) {
  auto existing = Store::open_existing(session.options.paths);
  // A guard of nothing would be taken for one that guards: at boot VSERVERS may not be mounted yet.
  if (!existing && existing.error().code == ENOENT)
    return refuse("guard start", session.options.paths.vservers,
                  "no such directory; mount it first, or have build-skel make it");
  const Store store = TRY(std::move(existing));
  const GuardStarted started =
      TRY(start_guard(store, options.all ? OlderSeals::go_over : OlderSeals::stay, session.engine()));
  session.output.document({{"was_loaded", started.was_loaded},
                           {"skels", started.skels},
                           {"files", started.files},
                           {"others", json_of(started.others)},
                           {"writers", started.troubles}});
  if (session.dry_run()) {
    session.output.text("would load the guard for " + counted(started.skels.size(), "skel") + "\n");
    return ExitStatus::done;
  }
  session.output.text("the guard is " + std::string(started.was_loaded ? "loaded anew" : "loaded") + ": " +
                      counted(started.files, "file") + " of " + counted(started.skels.size(), "skel") + "\n");
  for (const GuardedSkel& other : started.others) session.output.text(line_of(other));
  for (const std::string& trouble : started.troubles) session.output.error(trouble);
  return started.troubles.empty() ? ExitStatus::done : ExitStatus::failed;
}

/// Those that are open to changes without the guard.
std::vector<std::string> who_relies_on_it(const std::vector<GuardedSkel>& skels) {
  std::vector<std::string> names;
  for (const GuardedSkel& skel : skels)
    if (skel.seal == SealKind::guard) names.insert(names.end(), skel.vservers.begin(), skel.vservers.end());
  std::ranges::sort(names);
  return names;
}

Result<ExitStatus> stop(Session& session, const GuardOptions& options) {
  const GuardState state = TRY(guard_state());
  const std::vector<std::string> vservers =
      who_relies_on_it(TRY(guarded_skels(TRY(store_of(session)), session.engine())));
  if (!state.loaded) {
    session.output.document({{"was_loaded", false}, {"unprotected", Json::array()}});
    session.output.text("the guard is not loaded\n");
    return ExitStatus::done;
  }
  const std::string whom =
      vservers.empty() ? "no vserver relies on it"
                       : counted(vservers.size(), "vserver") + " can change what others share: " + joined(vservers);
  if (session.dry_run()) {
    session.output.document({{"was_loaded", true}, {"would_be_unprotected", vservers}});
    session.output.text("would unload the guard; then " + whom + "\n");
    return ExitStatus::done;
  }
  if (!options.yes) {
    if (!can_ask()) return refuse("guard stop", "", "no terminal to ask on; --yes says that it is meant; " + whom);
    if (!confirm("Unload the guard? Then " + whom + "."))
      return fail("guard stop", "", std::string("not confirmed, it stays loaded"));
  }
  TRY(unload_guard());
  session.output.document({{"was_loaded", true}, {"unprotected", vservers}});
  session.output.text("the guard is unloaded; " + whom + "\n");
  return ExitStatus::done;
}

Json fields_of(const GuardState& state, const std::vector<GuardedSkel>& skels) {
  Json hooks = Json::array(), shown = Json::array();
  for (const GuardHook& hook : state.hooks)
    hooks.push_back({{"hook", hook.name}, {"on", hook.on}, {"refused", hook.refused}});
  for (const GuardedSkel& skel : skels)
    shown.push_back({{"skel", skel.skel},
                     {"seal", skel.seal ? Json(seal_name(*skel.seal)) : Json()},
                     {"files", skel.files},
                     {"held", skel.held},
                     {"vservers", skel.vservers}});
  return {{"loaded", state.loaded},    {"supported", state.loaded || state.why_not.empty()},
          {"why_not", state.why_not},  {"inodes", state.inodes},
          {"hooks", std::move(hooks)}, {"skels", std::move(shown)}};
}

/// Not loaded is status 1, so that scripts can ask.
Result<ExitStatus> status(Session& session) {
  const GuardState state = TRY(guard_state());
  const std::vector<GuardedSkel> skels = TRY(guarded_skels(TRY(store_of(session)), session.engine()));
  session.output.document(fields_of(state, skels));
  if (!state.loaded) {
    session.output.text(state.why_not.empty() ? "the guard is not loaded; this kernel can: vskel guard start\n"
                                              : "the guard is not loaded, and can't be: " + state.why_not + "\n");
    if (const auto names = who_relies_on_it(skels); !names.empty())
      session.output.text("unprotected: " + joined(names) + "\n");
    return ExitStatus::failed;
  }
  session.output.text("the guard is loaded and holds " + counted(state.inodes, "inode") + "\n\n");
  Table hooks({{"HOOK"}, {"ON"}, {"REFUSED", Table::Align::right}});
  for (const GuardHook& hook : state.hooks)
    hooks.add({std::string(hook.name), hook.on ? "yes" : std::string(hook.why_off), std::to_string(hook.refused)});
  session.output.text(hooks.text());
  if (skels.empty()) return ExitStatus::done;
  Table table({{"SKEL"}, {"SEAL"}, {"FILES", Table::Align::right}, {"HELD", Table::Align::right}, {"VSERVERS"}});
  for (const GuardedSkel& skel : skels)
    table.add({skel.skel, skel.seal ? std::string(seal_name(*skel.seal)) : "-", std::to_string(skel.files),
               std::to_string(skel.held), skel.vservers.empty() ? "-" : joined(skel.vservers)});
  session.output.text("\n" + table.text());
  return ExitStatus::done;
}

}  // namespace

Action guard_command(CLI::App& command) {
  const auto options = std::make_shared<GuardOptions>();
  command.add_option("ACTION", options->action, "start, stop or status")
      ->type_name("")
      ->required()
      ->check(CLI::IsMember({"start", "stop", "status"}).description(""));
  command.add_flag("-y,--yes", options->yes, "stop: do not ask");
  command.add_flag("--all", options->all, "start: the guard takes the place of the immutable flag everywhere");
  return [options](Session& session) -> Result<ExitStatus> {
    if (options->action == "start") return start(session, *options);
    return options->action == "stop" ? stop(session, *options) : status(session);
  };
}

}  // namespace vskel::cli
