// diff: what changed between two generations, a path a line.

#include "engine/skel/diff.h"

#include <memory>

#include "cli/commands.h"

namespace vskel::cli {

namespace {

struct DiffOptions {
  std::string skel;
  unsigned from = 0, to = 0;  ///< 0: not given
};

void tell_paths(Output& output, const std::string& word, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) output.text(word + " " + safe_line(printable(path)) + "\n");
}

Result<ExitStatus> show_diff(Session& session, const DiffOptions& options) {
  const SkelName skel = TRY(SkelName::parse(options.skel));
  const Store store = TRY(session.store_to_read());
  const GenerationDiff diff = TRY(diff_generations(store, skel, options.from, options.to));
  session.output.document({{"skel", diff.skel},
                           {"from", diff.from},
                           {"to", diff.to},
                           {"added", diff.added},
                           {"removed", diff.removed},
                           {"changed", diff.changed},
                           {"metadata", diff.metadata}});
  tell_paths(session.output, "added", diff.added);
  tell_paths(session.output, "removed", diff.removed);
  tell_paths(session.output, "changed", diff.changed);
  tell_paths(session.output, "metadata", diff.metadata);
  session.output.note(diff.skel + ": generation " + std::to_string(diff.from) + " to " + std::to_string(diff.to));
  return ExitStatus::done;
}

}  // namespace

Action diff_command(CLI::App& command) {
  const auto options = std::make_shared<DiffOptions>();
  command.add_option("SKEL", options->skel, "The skel")->type_name("")->required();
  const auto number = CLI::Range(1U, 1'000'000'000U).description("");
  command.add_option("FROM", options->from, "The older generation [the one before the newest]")
      ->type_name("")
      ->check(number);
  command.add_option("TO", options->to, "The newer generation [the newest]")->type_name("")->check(number);
  return [options](Session& session) { return show_diff(session, *options); };
}

}  // namespace vskel::cli
