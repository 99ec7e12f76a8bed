// merge-skel: a skel as one tree for a package manager, and back without a trace.

#include "engine/skel/merge.h"

#include <memory>

#include "cli/commands.h"

namespace vskel::cli {

namespace {

struct MergeOptions {
  std::string skel;
  bool with_static = false, without_static = false, abort = false;
};

MergeStatic laid_in(const MergeOptions& options) {
  if (options.with_static) return MergeStatic::all;
  return options.without_static ? MergeStatic::nothing : MergeStatic::accounts;
}

Result<ExitStatus> merge(Session& session, const MergeOptions& options) {
  const SkelName skel = TRY(SkelName::parse(options.skel));
  for (const auto& [given, option] :
       {std::pair(options.with_static, "--with-static"), std::pair(options.without_static, "--without-static")})
    if (options.abort && given) return refuse("merge-skel", "--abort", std::string("not together with ") + option);
  if (options.with_static && options.without_static)
    return refuse("merge-skel", "--with-static", "not together with --without-static");
  const Store store = TRY(session.store_to_change(Needs::vservers, skel));
  const MergeReport report = TRY([&] {
    const auto bar = session.show_progress();
    if (options.abort) return abort_merge(store, skel, session.engine());
    return merge_skel(store, skel, laid_in(options), session.engine());
  }());
  session.output.document({{"skel", report.skel}, {"path", report.path}, {"elapsed_s", report.elapsed_s}});
  if (session.dry_run()) {
    session.output.text((options.abort ? "would take back the merge in " : "would merge into ") + report.path + "\n");
    return ExitStatus::done;
  }
  if (options.abort) {
    session.output.text(report.skel + ": as before the merge\n");
    return ExitStatus::done;
  }
  session.output.text(report.skel + ": merged in " + report.path + ", in " + human_seconds(report.elapsed_s) + "\n");
  session.output.note("change packages there, then: vskel split-skel " + report.skel + " (or merge-skel --abort " +
                      report.skel + ")");
  return ExitStatus::done;
}

}  // namespace

Action merge_skel_command(CLI::App& command) {
  const auto options = std::make_shared<MergeOptions>();
  command.add_option("SKEL", options->skel, "The skel")->type_name("")->required();
  command.add_flag("--with-static", options->with_static, "Lay all static files in, with their tokens as they are");
  command.add_flag("--without-static", options->without_static, "Lay no static file in, users and groups neither");
  command.add_flag("--abort", options->abort, "Throw the merged tree away; the skel is as it was");
  return [options](Session& session) { return merge(session, *options); };
}

}  // namespace vskel::cli
