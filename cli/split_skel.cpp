// split-skel: the merged tree becomes the skel's next generation.

#include <memory>

#include "cli/commands.h"
#include "cli/quiesce_option.h"
#include "cli/split_report.h"
#include "engine/vserver/tenants.h"

namespace vskel::cli {

namespace {

struct SplitOptions {
  std::string skel, quiesce;
};

Result<ExitStatus> split(Session& session, const SplitOptions& options) {
  const SkelName skel = TRY(SkelName::parse(options.skel));
  const Store store = TRY(session.store_to_change(Needs::vservers, skel));
  const SplitRequest request{skel, tenants_by_skel(store), quiesce_of(options.quiesce), session.engine()};
  const SplitReport report = TRY([&] {
    const auto bar = session.show_progress();
    return split_skel(store, request);
  }());
  session.output.document(split_json(report));
  if (session.dry_run()) {
    session.output.text("would split " + report.skel + ", now at generation " + std::to_string(report.generation) +
                        "\n");
  } else {
    tell_split(session.output, report);
  }
  return ExitStatus::done;
}

}  // namespace

Action split_skel_command(CLI::App& command) {
  const auto options = std::make_shared<SplitOptions>();
  command.add_option("SKEL", options->skel, "The merged skel")->type_name("")->required();
  declare_quiesce(command, options->quiesce);
  return [options](Session& session) { return split(session, *options); };
}

}  // namespace vskel::cli
