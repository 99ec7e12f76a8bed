// Where the command stands on the command line, and its 2003 spelling: `--build-skel NAME` is `build-skel NAME`.
#pragma once

#include <CLI/App.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/sys/error.h"

namespace vskel::cli {

/// The command of that name; nullptr if there is none.
[[nodiscard]] CLI::App* find_command(CLI::App& app, const std::string& name);

struct Spelled {
  std::vector<std::string> arguments;  ///< as the parser takes them
  std::optional<std::string> command;  ///< nullopt: none was given
};

/// Finds the command behind the global options of `app` and gives it today's spelling (`--create-vs=SKEL`, which
/// Getopt::Long took, too). Refused: a word in its place that is no command, `--option=` without a value, for which the
/// parser would take the next argument, and arguments in brackets, which the parser would take apart as lists.
[[nodiscard]] Result<Spelled> respell(CLI::App& app, std::vector<std::string> arguments);

}  // namespace vskel::cli
