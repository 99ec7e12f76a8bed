// create-vs: one vserver or a fleet of them from a skel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/options.h"
#include "engine/txn/store.h"
#include "engine/vserver/fleet.h"
#include "engine/vserver/plugins.h"
#include "engine/vserver/record.h"

namespace vskel {

enum class RunPlugins { no, yes, strict };  ///< strict: a failing plugin undoes its vserver

/// [create] of vskel.toml.
struct CreateSettings {
  std::string config_path;           ///< `config`: where the configuration goes, with tokens; "" means ETC/NAME.conf
  std::string template_path;         ///< `template`: what it is made from; "" means the skel's configfile
  std::uint32_t first_context = 50;  ///< `first_context`
};

struct CreateRequest {
  SkelName skel;
  Fleet fleet;
  Share share = Share::hardlink;
  std::optional<SealKind> seal;  ///< nullopt: auto
  RunPlugins plugins = RunPlugins::yes;
  CreateSettings settings;
  PluginSettings plugin_settings;
  EngineOptions engine;
};

enum class CreateStatus { created, failed };

struct CreatedVserver {
  std::string name, fqdn, ip;
  std::uint32_t context = 0;
  std::string path, config;
  unsigned generation = 0;
  CreateStatus status = CreateStatus::failed;
  std::uint64_t linked = 0, cloned = 0, copied = 0, bytes_copied = 0;
  std::vector<PluginOutcome> plugins;
  std::string error;  ///< one line; empty if created and no plugin failed
};

struct CreateReport {
  std::string skel;
  double elapsed_s = 0;
  std::vector<CreatedVserver> vservers;  ///< in the order of the fleet
};

/// Makes the fleet. An Error means that nothing was made (exit 1 or 2 by its blame); members that failed by themselves
/// are in the report (exit 3, or 1 if it was the only one).
[[nodiscard]] Result<CreateReport> create_vservers(const Store& store, const CreateRequest& request);

/// run-plugins: runs the plugins of an existing vserver again and updates its record. Outcomes in the order of the
/// plugins' names. Plugins see the vserver in a mount that follows no link (Tenancy::had). A refusal while anybody runs
/// inside, an error where there is no such mount; nothing has run then.
[[nodiscard]] Result<std::vector<PluginOutcome>> run_plugins_again(const Store& store, const VserverName& name,
                                                                   const PluginSettings& settings,
                                                                   const EngineOptions& engine);

}  // namespace vskel
