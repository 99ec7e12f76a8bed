// The global options of cli.md, accepted before and after the command.
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "cli/output.h"
#include "engine/model/options.h"
#include "engine/txn/store.h"

namespace vskel::cli {

enum class ShowProgress { automatic, always, never };

/// Values as the parser writes them; it has checked those that are words.
struct GlobalOptions {
  StorePaths paths;
  std::string config;  ///< "": the default file, if there is one
  unsigned jobs = 0;   ///< 0: the CPUs that this process may use
  std::string backend = "auto";
  std::string progress = "auto";
  bool dry_run = false, json = false, quiet = false, verbose = false, no_wait = false;

  [[nodiscard]] Format format() const { return json ? Format::json : Format::text; }
  [[nodiscard]] Verbosity verbosity() const {
    return verbose ? Verbosity::verbose : quiet ? Verbosity::quiet : Verbosity::normal;
  }
  [[nodiscard]] Backend chosen_backend() const;
  [[nodiscard]] ShowProgress chosen_progress() const;
};

/// Declares them on `app`, which writes into `options`.
void declare_global_options(CLI::App& app, GlobalOptions& options);

/// VSKEL_VSERVERS and VSKEL_ETC, where the command line said nothing. An empty variable counts as none.
void apply_environment(CLI::App& app);

/// `path` made absolute, without repeated, trailing and `.` parts: links and records that hold it must not depend on
/// the working directory.
/// `..` stays, because what it means depends on symbolic links.
[[nodiscard]] Result<std::string> absolute_path(const std::string& path);

}  // namespace vskel::cli
