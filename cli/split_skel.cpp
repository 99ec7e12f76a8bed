// split-skel: the merged tree becomes the skel's next generation.

#include <memory>

#include "cli/commands.h"
#include "cli/generation_report.h"
#include "cli/quiesce_option.h"
#include "engine/skel/split.h"
#include "engine/vserver/tenants.h"

namespace vskel::cli {

namespace {

struct SplitOptions {
  std::string skel, quiesce;
  bool force = false;
};

Result<ExitStatus> split(Session& session, const SplitOptions& options) {
  const SkelName skel = TRY(SkelName::parse(options.skel));
  session.quiesce = quiesce_of(options.quiesce);
  const Store store = TRY(session.store_to_change(Needs::vservers, skel));
  const GenerationRequest request{skel, tenants_holder(store, session.engine()), session.engine(), seal_chooser(store),
                                  options.force ? Unfinished::taken : Unfinished::refused};
  const GenerationReport report = TRY([&] {
    const auto bar = session.show_progress();
    return split_skel(store, request);
  }());
  session.output.document(generation_json(report));
  tell_generation(session.output, report, session.engine().dry_run);
  if (session.dry_run()) session.output.note("nothing was changed (--dry-run)");
  return ExitStatus::done;
}

}  // namespace

Action split_skel_command(CLI::App& command) {
  const auto options = std::make_shared<SplitOptions>();
  command.add_option("SKEL", options->skel, "The merged skel")->type_name("")->required();
  command.add_flag("--force", options->force, "Take packages that are not finished, too: half-configured, unpacked");
  declare_quiesce(command, options->quiesce);
  return [options](Session& session) { return split(session, *options); };
}

}  // namespace vskel::cli
