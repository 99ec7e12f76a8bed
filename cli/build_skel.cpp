// build-skel: a skel from the host, a directory or an archive, and the warning to look through it.

#include "engine/skel/build.h"

#include <array>
#include <memory>

#include "cli/commands.h"
#include "cli/left_out_report.h"

namespace vskel::cli {

namespace {

struct BuildOptions {
  std::string skel, source = "/";
  std::vector<std::string> exclude, global, local, static_paths, keep;
  bool empty_homes = false;
};

/// Step 11 of the 2003 page: "a nice big warning explaining how you need to double check everything".
void warn_big(Output& output, const std::string& skel_path, const std::vector<std::string>& look_at) {
  constexpr std::size_t kWidth = 78;
  const std::string border(kWidth, '#');
  const auto boxed = [&](const std::string& text) {
    const std::string line = "#  " + safe_line(text);
    const bool fits = line.size() < kWidth;  // a long path runs over the border rather than being cut
    output.message(fits ? line + std::string(kWidth - 1 - line.size(), ' ') + "#" : line);
  };
  static constexpr std::array kWords{"",
                                     "WARNING!  WARNING!  WARNING!",
                                     "",
                                     "Every vserver made from this skel gets all that is in it. Go through it",
                                     "with a fine tooth comb now, and make sure that it holds only what you",
                                     "want there: no accounts and passwords, keys, logs, or programs that only",
                                     "the host should have. You need to do this only once.",
                                     ""};
  output.message(border);
  for (const char* const words : kWords) boxed(words);
  boxed("  " + skel_path);
  boxed("");
  if (look_at.empty()) {
    boxed("Nothing was found that is known to be harmful, which proves little.");
  } else {
    boxed("Have a look at these first:");
    boxed("");
    for (const std::string& line : look_at) boxed("  " + line);
  }
  boxed("");
  output.message(border);
}

/// "/etc/shadow-: one machine's own"
std::vector<std::string> omitted_lines(const BuildReport& report) {
  std::vector<std::string> out;
  for (const Omitted& one : report.omitted) out.push_back("/" + one.path + ": " + one.reason());
  return out;
}

Json fields_of(const BuildReport& report) {
  return {{"skel", report.skel},
          {"generation", report.generation},
          {"files", report.files},
          {"dirs", report.dirs},
          {"symlinks", report.symlinks},
          {"bytes", report.bytes},
          {"global_files", report.global_files},
          {"local_files", report.local_files},
          {"static_files", report.static_files},
          {"omitted", omitted_lines(report)},
          {"left_out", left_out_json(report.left_out)},
          {"look_at", report.look_at},
          {"elapsed_s", report.elapsed_s}};
}

/// What the skel has not got, beside the summary.
void tell_what_stays_behind(Output& output, const BuildReport& report) {
  tell_left_out(output, report.left_out);
  for (const std::string& line : omitted_lines(report)) output.text("  left out " + safe_line(line) + "\n");
}

std::string summary_of(const BuildReport& report) {
  return counted(report.files, "file") + " (" + std::to_string(report.global_files) + " global, " +
         std::to_string(report.local_files) + " local, " + std::to_string(report.static_files) + " static), " +
         std::to_string(report.dirs) + " directories, " + counted(report.symlinks, "symlink") + ", " +
         human_bytes(report.bytes);
}

Result<ExitStatus> build(Session& session, const BuildOptions& options) {
  SkelName skel = TRY(SkelName::parse(options.skel));
  const BuildRequest request{.skel = std::move(skel),
                             .source = options.source,
                             .exclude = options.exclude,
                             .global = options.global,
                             .local = options.local,
                             .static_paths = options.static_paths,
                             .keep = options.keep,
                             .homes = options.empty_homes ? Homes::emptied : Homes::as_they_are,
                             .engine = session.engine()};
  const Store store = TRY(session.store_to_change(Needs::nothing));
  TRY(session.confine());
  const BuildReport report = TRY([&] {
    const auto bar = session.show_progress();
    return build_skel(store, request);
  }());
  for (const std::string& note : report.notes) session.output.note(note);
  for (const std::string& warning : report.warnings) session.output.warning(warning);
  session.output.document(fields_of(report));
  if (session.dry_run()) {
    session.output.text("would build " + report.skel + " from " + safe_line(options.source) + ": " +
                        summary_of(report) + "\n");
    tell_what_stays_behind(session.output, report);
    return ExitStatus::done;
  }
  session.output.text(report.skel + ": generation " + std::to_string(report.generation) + ", " + summary_of(report) +
                      ", in " + human_seconds(report.elapsed_s) + "\n");
  tell_what_stays_behind(session.output, report);
  if (session.output.verbosity() != Verbosity::quiet)
    warn_big(session.output, session.options.paths.vservers + "/.skel/" + report.skel, report.look_at);
  return ExitStatus::done;
}

}  // namespace

Action build_skel_command(CLI::App& command) {
  const auto options = std::make_shared<BuildOptions>();
  const auto add_list = [&](const std::string& name, std::vector<std::string>& values, const std::string& help) {
    return command.add_option(name, values, help)->take_all()->allow_extra_args(false);
  };
  command.add_option("SKEL", options->skel, "Name of the new skel")->type_name("")->required();
  command
      .add_option("--from", options->source,
                  "/ (the host), a directory, a tar archive, or - for one on standard input [/]")
      ->type_name("SOURCE");
  add_list("--exclude", options->exclude, "Leave out what matches; may be repeated")->type_name("GLOB");
  add_list("--global", options->global, "Make PATH and what is below it global; may be repeated")->type_name("PATH");
  add_list("--local", options->local, "Make PATH and what is below it local; may be repeated")->type_name("PATH");
  add_list("--static", options->static_paths, "Make PATH and what is below it static; may be repeated")
      ->type_name("PATH");
  add_list("--keep", options->keep,
           "Take what matches, though it is one machine's own, a cache or a log; may be repeated")
      ->type_name("GLOB");
  command.add_flag("--empty-homes", options->empty_homes, "Empty /home and /root, as is done from the host anyway");
  return [options](Session& session) { return build(session, *options); };
}

}  // namespace vskel::cli
