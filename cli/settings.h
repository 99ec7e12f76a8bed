// The configuration file: any long option, and settings that are no options.
#pragma once

#include <CLI/App.hpp>
#include <map>
#include <string>
#include <vector>

#include "engine/relink/relink.h"
#include "engine/sys/error.h"
#include "engine/vserver/create.h"
#include "engine/vserver/plugins.h"

namespace vskel::cli {

/// What only the file says.
struct Settings {
  CreateSettings create;                    ///< [create]
  PluginSettings plugins;                   ///< [plugins]
  RelinkSettings relink;                    ///< [relink] freeze, pkgdb; its other keys are options of relink
  std::vector<std::string> trusted;         ///< [quiesce]: control groups
  std::map<std::string, Backend> backends;  ///< [backend]: what `auto` means on a type of file system
};

enum class Presence { required, optional };

/// Reads `path` and gives its values to those options of `app` and `command` (the chosen one) that neither the command
/// line nor the environment gave one. A file that is not root's or that others may write, an unknown section or key and
/// a bad value are refused, naming the file and the key. A missing file is empty settings if it may be missing.
[[nodiscard]] Result<Settings> apply_config_file(const std::string& path, Presence presence, CLI::App& app,
                                                 CLI::App& command);

}  // namespace vskel::cli
