// What is a plugin, what it is told, and what its end means. Running it is the kernel room's (sys/process.h).

#include "engine/vserver/plugins.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "engine/sys/mount_clone.h"
#include "engine/sys/process.h"
#include "engine/tree/listing.h"

namespace vskel {

namespace {

constexpr const char* kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr const char* kLanguage = "LANG=C.UTF-8";

/// run-parts would also skip names with a dot, and with them the passwd.pl of 2003.
bool is_plugin_name(std::string_view name) {
  const auto alphanumeric = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  const auto inner = [&](char c) { return alphanumeric(c) || c == '.' || c == '_' || c == '-'; };
  if (name.empty() || !alphanumeric(name.front()) || !std::ranges::all_of(name, inner)) return false;
  constexpr std::array<std::string_view, 10> kLeftovers{".bak",     ".swp",     ".orig", ".rej", ".rpmnew",
                                                        ".rpmsave", ".rpmorig", ".tmp",  ".old", ".disabled"};
  return name.find(".dpkg-") == name.npos &&
         std::ranges::none_of(kLeftovers, [&](std::string_view suffix) { return name.ends_with(suffix); });
}

/// A later value of a name takes the place of an earlier one: of two, programs disagree on which they see.
void set_variable(std::vector<std::string>& environment, std::string variable) {
  const std::string name = variable.substr(0, variable.find('=') + 1);
  std::erase_if(environment, [&](const std::string& other) { return other.starts_with(name); });
  environment.push_back(std::move(variable));
}

std::vector<std::string> environment_of(const PluginContext& context, const PluginSettings& settings) {
  std::vector<std::string> out{kPath, kLanguage};
  for (const auto& [name, value] : context.environment) set_variable(out, name + "=" + value);
  for (const std::string& setting : settings.environment) {
    if (setting.find('=') != setting.npos) {
      set_variable(out, setting);
    } else if (const char* value = ::secure_getenv(setting.c_str())) {
      set_variable(out, setting + "=" + value);
    }
  }
  return out;
}

/// Why a plugin that ran has failed; "" if it has not.
std::string trouble_of(const sys::ChildOutcome& ran, const PluginSettings& settings) {
  if (ran.timed_out) return "timed out after " + std::to_string(settings.timeout.count()) + " s";
  if (ran.signal != 0) return "killed by signal " + std::to_string(ran.signal);
  if (ran.exit_status != 0) return "exit status " + std::to_string(ran.exit_status);
  return {};
}

/// Appends what the plugin wrote, under a line with its name.
Result<> write_log(const Fd& log, const std::string& plugin, const std::string& output) {
  std::string text = "== " + plugin + "\n" + output;
  if (!text.ends_with('\n')) text.push_back('\n');
  const sys::Stat end = TRY(sys::stat(log));
  return sys::write_at(log, std::as_bytes(std::span(text)), end.size);
}

PluginOutcome failed(const std::string& plugin, std::string reason) {
  return {plugin, PluginStatus::failed, std::move(reason), {}};
}

}  // namespace

Result<std::vector<std::string>> plugin_names(const DirFd& scripts) {
  const DirFd dir = TRY(sys::reopen(scripts));
  const Listing listing = TRY(Listing::read(dir));
  std::vector<std::string> out;
  for (const Listed& listed : listing.entries()) {
    const bool file = listed.type == sys::FileType::regular || listed.type == sys::FileType::symlink;
    if (file && is_plugin_name(listed.name.view())) out.emplace_back(listed.name.view());
  }
  std::ranges::sort(out);
  return out;
}

PluginOutcome run_plugin(const DirFd& scripts, const std::string& plugin, const DirFd& vserver, Tenancy tenancy,
                         const PluginContext& context, const PluginSettings& settings, const Fd& log) {
  const auto name = Name::check(plugin);
  if (!name || !is_plugin_name(plugin)) return failed(plugin, "refused: not a plugin's name");
  const auto program = sys::open_trusted_program(scripts, *name);
  if (!program) return failed(plugin, "refused: " + program.error().line());
  sys::ChildSpec spec;
  spec.program = &*program;
  spec.arguments = {plugin, context.name, context.fqdn, context.ip};
  spec.environment = environment_of(context, settings);
  spec.working_directory = &vserver;
  spec.timeout = settings.timeout;
  Fd shown;
  if (tenancy == Tenancy::had) {
    auto mount = sys::mount_without_links(vserver);
    if (!mount) return failed(plugin, mount.error().line());
    shown = std::move(*mount);
    spec.shown = &shown;
  }
  auto ran = sys::run_child(spec);
  if (!ran) return failed(plugin, ran.error().line());
  const auto logged = write_log(log, plugin, ran->output);
  PluginOutcome outcome{plugin, PluginStatus::ok, trouble_of(*ran, settings), std::move(ran->message)};
  if (outcome.reason.empty() && !logged) outcome.reason = logged.error().line();
  if (!outcome.reason.empty()) outcome.status = PluginStatus::failed;
  return outcome;
}

}  // namespace vskel
