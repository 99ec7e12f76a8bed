// Running post-create-vs plugins: checked, with a clean environment, closed descriptors, an own process group, a time
// limit (cli.md, safety.md, threats.md R19).
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/sys/error.h"
#include "engine/sys/fd.h"
#include "engine/vserver/record.h"

namespace vskel {

struct PluginSettings {
  std::chrono::seconds timeout{60};      ///< [plugins] timeout
  std::vector<std::string> environment;  ///< [plugins] env: "NAME=VALUE" sets, "NAME" passes vskel's own value; the
                                         ///< administrator's word, nothing by default
};

/// What a plugin is told.
struct PluginContext {
  std::string name, fqdn, ip;                                    ///< the arguments; VS_NAME, VS_FQDN, VS_IP
  std::vector<std::pair<std::string, std::string>> environment;  ///< all VS_* variables, those three included
};

/// Whose hands a vserver was in. had: its tenant may have planted links and devices, so that a plugin sees it, by any
/// path, in a mount that follows no link, opens no device and runs no program (sys::mount_without_links()).
enum class Tenancy : std::uint8_t { none_yet, had };

/// Plugins of a skel in the order of their names: regular files or symlinks whose name matches
/// [A-Za-z0-9][A-Za-z0-9._-]* and is no editor's or package manager's leftover (~, .bak, .dpkg-*, .rpmnew, .rpmsave,
/// .swp).
[[nodiscard]] Result<std::vector<std::string>> plugin_names(const DirFd& scripts);

/// Runs one plugin (an entry of `scripts`) with `vserver` as its working directory, seen as `tenancy` says; stdout and
/// stderr go to `log` (a file open for appending; at most 1 MiB), descriptor 3 is read as the message to the
/// administrator (at most 64 KiB). Refused (PluginStatus::failed with the reason) if the file, its link target or a
/// directory above it is writable by others than root. Never throws; a plugin's failure is an outcome, not an Error.
[[nodiscard]] PluginOutcome run_plugin(const DirFd& scripts, const std::string& plugin, const DirFd& vserver,
                                       Tenancy tenancy, const PluginContext& context, const PluginSettings& settings,
                                       const Fd& log);

}  // namespace vskel
