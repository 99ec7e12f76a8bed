// rollback: an old generation becomes the newest again.

#include <memory>

#include "cli/commands.h"
#include "cli/generation_report.h"
#include "cli/quiesce_option.h"
#include "engine/skel/rollback.h"
#include "engine/vserver/tenants.h"

namespace vskel::cli {

namespace {

struct RollbackOptions {
  std::string skel, quiesce;
  unsigned generation = 0;
};

Result<ExitStatus> rollback(Session& session, const RollbackOptions& options) {
  const SkelName skel = TRY(SkelName::parse(options.skel));
  session.quiesce = quiesce_of(options.quiesce);
  const Store store = TRY(session.store_to_change(Needs::vservers, skel));
  const GenerationRequest request{skel, tenants_holder(store, session.engine()), session.engine(), seal_chooser(store)};
  const GenerationReport report = TRY(roll_back(store, request, options.generation));
  session.output.document(generation_json(report));
  tell_generation(session.output, report, session.engine().dry_run);
  session.output.note(session.dry_run() ? "nothing was changed (--dry-run)"
                                        : "vservers follow with: vskel relink " + report.skel);
  return ExitStatus::done;
}

}  // namespace

Action rollback_command(CLI::App& command) {
  const auto options = std::make_shared<RollbackOptions>();
  command.add_option("SKEL", options->skel, "The skel")->type_name("")->required();
  command.add_option("GEN", options->generation, "The generation to go back to")
      ->type_name("")
      ->required()
      ->check(CLI::Range(1U, 1'000'000'000U).description(""));
  declare_quiesce(command, options->quiesce);
  return [options](Session& session) { return rollback(session, *options); };
}

}  // namespace vskel::cli
