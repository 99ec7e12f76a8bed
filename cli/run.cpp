// From argv to the exit status. The parser is CLI11's; what it does not do as the contract wants is done around it: the
// 2003 spelling (spelling.h), and the priority of command line, environment and configuration file (options.h,
// settings.h).

#include "cli/run.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "cli/spelling.h"
#include "engine/sys/confinement.h"
#include "engine/sys/kernel.h"
#include "engine/sys/processes.h"
#include "engine/sys/stopping.h"

namespace vskel::cli {

namespace {

struct CommandEntry {
  const char* name;
  const char* summary;
  Action (*declare)(CLI::App& command);
};

constexpr std::array kCommands{
    CommandEntry{"build-skel", "Make a skel from the host, a directory or an archive", build_skel_command},
    CommandEntry{"create-vs", "Make vservers from a skel: one, or a fleet", create_vs_command},
    CommandEntry{"merge-skel", "Make one tree of a skel, for a package manager to change", merge_skel_command},
    CommandEntry{"split-skel", "Turn the merged tree back into the skel, as its next generation", split_skel_command},
    CommandEntry{"relink", "Bring vservers to their skel's newest generation", relink_command},
    CommandEntry{"adopt", "Make a record for a vserver that vskel did not create", adopt_command},
    CommandEntry{"diff", "Show what changed between two generations of a skel", diff_command},
    CommandEntry{"rollback", "Make an old generation of a skel the newest again", rollback_command},
    CommandEntry{"prune", "Forget generations that no vserver needs", prune_command},
    CommandEntry{"list", "List skels and vservers", list_command},
    CommandEntry{"show", "Show one vserver", show_command},
    CommandEntry{"verify", "Compare skels and vservers with what is on record", verify_command},
    CommandEntry{"run-plugins", "Run the plugins of a vserver again", run_plugins_command},
    CommandEntry{"remove-vs", "Remove vservers", remove_vs_command},
    CommandEntry{"remove-skel", "Remove a skel that no vserver uses", remove_skel_command},
    CommandEntry{"recover", "Finish or undo what a crash interrupted", recover_command},
    CommandEntry{"guard", "Seal by programs in the kernel: start, stop or status", guard_command},
    CommandEntry{"bench", "Measure this host's file system and say which settings to use", bench_command},
};

constexpr const char* kUsage =
    "usage: vskel [GLOBAL OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]\n"
    "       vskel build-skel SKEL [--from SOURCE]\n"
    "       vskel create-vs SKEL [NAME [FQDN [IP]]]\n"
    "       vskel list\n"
    "vskel --help lists all commands, vskel COMMAND --help says more of one; see also vskel(8).\n";

constexpr const char* kFooter =
    "\nGlobal options may also stand after the command.\n"
    "Exit status: 0 done; 1 failed; 2 wrong request, nothing touched; 3 a batch done in part;\n"
    "128 and the number of the signal (HUP, INT, QUIT, TERM) by which it was stopped.";

/// The parser with every command declared.
class Program {
 public:
  Program() : app_("Skels and vservers: a parallel copy and link engine", "vskel") {
    // The last of several values counts, so that an alias or a script can be overruled.
    app_.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    app_.fallthrough();
    app_.require_subcommand(1);
    app_.set_version_flag("--version", "vskel " VSKEL_VERSION);
    app_.footer(kFooter);
    app_.get_formatter()->label("SUBCOMMAND", "COMMAND");
    app_.get_formatter()->label("Subcommands", "Commands");
    app_.get_formatter()->label("REQUIRED", "");
    declare_global_options(app_, options_);
    for (const CommandEntry& entry : kCommands) {
      CLI::App& command = *app_.add_subcommand(entry.name, entry.summary);
      command.footer("\nGlobal options (vskel --help) may stand here, too.");
      actions_.emplace(entry.name, entry.declare(command));
    }
  }

  /// Runs `arguments` (without the program's name).
  Result<ExitStatus> run(std::vector<std::string> arguments, Output& output) {
    Spelled spelled = TRY(respell(app_, std::move(arguments)));
    if (spelled.command) output.set_command(*spelled.command);
    std::ranges::reverse(spelled.arguments);  // as CLI11 takes them
    try {
      app_.parse(spelled.arguments);
      if (!spelled.command) return refuse("run", "", "no command given; vskel --help lists them");
      apply_environment(app_);
    } catch (const CLI::CallForHelp&) {
      output.plain(app_.help());
      return ExitStatus::done;
    } catch (const CLI::CallForVersion&) {
      output.plain("vskel " VSKEL_VERSION "\n");
      return ExitStatus::done;
    } catch (const CLI::RequiredError& error) {
      if (!spelled.command) return refuse("run", "", "no command given; vskel --help lists them");
      return refuse(*spelled.command, "", in_our_words(error));
    } catch (const CLI::ParseError& error) {
      return refuse(spelled.command.value_or("vskel"), "", in_our_words(error));
    }
    return run_command(*spelled.command, output);
  }

 private:
  /// CLI11's sentences begin in upper case; after "vskel: COMMAND: " they go on in lower case.
  static std::string in_our_words(const CLI::Error& error) {
    std::string text = error.what();
    if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0)
      text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    std::ranges::replace(text, '\n', ' ');
    return text;
  }

  Result<ExitStatus> run_command(const std::string& name, Output& output) {
    TRY(sys::require_proc());
    const bool explicit_file = !options_.config.empty();
    const std::string file = explicit_file ? options_.config : options_.paths.etc + "/vskel/vskel.toml";
    Settings settings = TRY(apply_config_file(file, explicit_file ? Presence::required : Presence::optional, app_,
                                              *app_.get_subcommand(name)));
    options_.paths.vservers = TRY(absolute_path(options_.paths.vservers));
    options_.paths.etc = TRY(absolute_path(options_.paths.etc));
    output.set_format(options_.format());
    output.set_verbosity(options_.verbosity());
    Session session(options_, std::move(settings), output);
    return actions_.at(name)(session);
  }

  CLI::App app_;
  GlobalOptions options_;
  std::map<std::string, Action> actions_;
};

/// Tells an error on standard error, and with --json in a document where none was given yet.
ExitStatus tell(Output& output, const Error& error) {
  output.error(error.line());
  output.document({{"error", error.line()}});
  return error.blame == Blame::request ? ExitStatus::refused : ExitStatus::failed;
}

/// --json counts from the start, for errors in the rest of the command line.
Format format_of(const std::vector<std::string>& arguments) {
  const auto end = std::ranges::find(arguments, "--");
  return std::find(arguments.begin(), end, "--json") != end ? Format::json : Format::text;
}

ExitStatus run_guarded(std::vector<std::string> arguments, Output& output) {
  try {
    output.set_format(format_of(arguments));
    Program program;
    if (sys::has_borrowed_rights())
      return tell(output, refuse("run", "vskel", "set-user-id or with file capabilities it must not run").error());
    Result<ExitStatus> status = ExitStatus::done;
    if (auto dropped = sys::drop_capabilities(); !dropped) status = std::unexpected(std::move(dropped).error());
    if (status) status = program.run(std::move(arguments), output);
    return status ? *status : tell(output, status.error());
  } catch (const std::exception& exception) {  // memory ran out, or a bug of ours
    return tell(output, {"run", output.command(), 0, exception.what()});
  }
}

}  // namespace

int run(int argc, char** argv) {
  sys::engine_start();
  if (argc < 2) {
    std::fputs(kUsage, stderr);
    return static_cast<int>(ExitStatus::refused);
  }
  Output output;
  ExitStatus status = run_guarded({argv + 1, argv + argc}, output);
  if (const Result<> finished = output.finish(); !finished) {
    output.error(finished.error().line());
    if (status == ExitStatus::done) status = ExitStatus::failed;
  }
  // So that a shell sees by what it ended, and says 128 and its number. What is done in spite of it is done.
  if (const int signal = sys::noted_signal(); signal != 0 && status != ExitStatus::done) sys::end_by(signal);
  return static_cast<int>(status);
}

}  // namespace vskel::cli
