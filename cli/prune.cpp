// prune: forgets generations that no vserver needs.

#include "engine/vserver/prune.h"

#include <memory>

#include "cli/commands.h"
#include "cli/quiesce_option.h"

namespace vskel::cli {

namespace {

struct PruneOptions {
  std::string skel, quiesce;
};

Result<ExitStatus> prune(Session& session, const PruneOptions& options) {
  const SkelName skel = TRY(SkelName::parse(options.skel));
  session.quiesce = quiesce_of(options.quiesce);
  const Store store = TRY(session.store_to_change(Needs::vservers, skel));
  const PruneReport report = TRY(prune_skel(store, skel, session.engine()));
  session.output.document(
      {{"skel", report.skel}, {"forgotten", report.forgotten}, {"bytes_freed", report.bytes_freed}});
  std::string numbers;
  for (const unsigned generation : report.forgotten)
    numbers += (numbers.empty() ? "" : ", ") + std::to_string(generation);
  if (numbers.empty()) {
    session.output.text(report.skel + ": no generation to forget\n");
    return ExitStatus::done;
  }
  session.output.text(report.skel + (session.dry_run() ? ": would forget generations " : ": forgot generations ") +
                      numbers + ", " + human_bytes(report.bytes_freed) + "\n");
  return ExitStatus::done;
}

}  // namespace

Action prune_command(CLI::App& command) {
  const auto options = std::make_shared<PruneOptions>();
  command.add_option("SKEL", options->skel, "The skel")->type_name("")->required();
  declare_quiesce(command, options->quiesce);
  return [options](Session& session) { return prune(session, *options); };
}

}  // namespace vskel::cli
