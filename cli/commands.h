// What a command is: its options, declared on its own part of the parser, and what it does.
#pragma once

#include <CLI/App.hpp>
#include <functional>

#include "cli/session.h"
#include "engine/sys/error.h"

namespace vskel::cli {

/// Exit status (cli.md).
enum class ExitStatus {
  done = 0,     ///< all that was asked is done
  failed = 1,   ///< failed; nothing half-made is left
  refused = 2,  ///< the request itself is wrong; nothing was touched
  partly = 3,   ///< of a batch, some parts are done and some not
};

/// What a command does, once its options have their values. An Error ends the program by its blame.
using Action = std::function<Result<ExitStatus>(Session&)>;

// Each declares the command's options on `command` and gives its action.
[[nodiscard]] Action build_skel_command(CLI::App& command);
[[nodiscard]] Action create_vs_command(CLI::App& command);
[[nodiscard]] Action merge_skel_command(CLI::App& command);
[[nodiscard]] Action split_skel_command(CLI::App& command);
[[nodiscard]] Action relink_command(CLI::App& command);
[[nodiscard]] Action adopt_command(CLI::App& command);
[[nodiscard]] Action diff_command(CLI::App& command);
[[nodiscard]] Action rollback_command(CLI::App& command);
[[nodiscard]] Action prune_command(CLI::App& command);
[[nodiscard]] Action list_command(CLI::App& command);
[[nodiscard]] Action show_command(CLI::App& command);
[[nodiscard]] Action verify_command(CLI::App& command);
[[nodiscard]] Action remove_vs_command(CLI::App& command);
[[nodiscard]] Action remove_skel_command(CLI::App& command);
[[nodiscard]] Action run_plugins_command(CLI::App& command);
[[nodiscard]] Action recover_command(CLI::App& command);
[[nodiscard]] Action guard_command(CLI::App& command);
[[nodiscard]] Action bench_command(CLI::App& command);

}  // namespace vskel::cli
