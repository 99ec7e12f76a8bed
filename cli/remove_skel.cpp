// remove-skel: a skel that no vserver uses, after a question.

#include <memory>

#include "cli/commands.h"
#include "cli/prompt.h"
#include "cli/terminal.h"
#include "engine/vserver/remove.h"

namespace vskel::cli {

namespace {

struct RemoveSkelOptions {
  std::string skel;
  bool yes = false;
};

Result<> make_sure(const RemoveSkelOptions& options) {
  if (options.yes) return {};
  if (!can_ask()) return refuse("remove-skel", options.skel, "no terminal to ask on; --yes says that it is meant");
  if (!confirm("Remove the skel " + options.skel + " with all its generations?"))
    return fail("remove-skel", options.skel, std::string("not confirmed, nothing removed"));
  return {};
}

Result<ExitStatus> remove(Session& session, const RemoveSkelOptions& options) {
  const SkelName name = TRY(SkelName::parse(options.skel));
  if (!session.dry_run()) TRY(make_sure(options));
  const Store store = TRY(session.store_to_change(Needs::vservers, name));
  TRY([&] {
    const auto bar = session.show_progress();
    return remove_skel(store, name, session.engine());
  }());
  if (session.dry_run()) {
    session.output.document({{"removed", Json::array()}, {"would_remove", {name.text()}}});
    session.output.text("would remove " + name.text() + "\n");
    return ExitStatus::done;
  }
  session.output.document({{"removed", {name.text()}}, {"failed", Json::array()}});
  session.output.text(name.text() + ": removed\n");
  return ExitStatus::done;
}

}  // namespace

Action remove_skel_command(CLI::App& command) {
  const auto options = std::make_shared<RemoveSkelOptions>();
  command.add_option("SKEL", options->skel, "The skel")->type_name("")->required();
  command.add_flag("-y,--yes", options->yes, "Do not ask");
  return [options](Session& session) { return remove(session, *options); };
}

}  // namespace vskel::cli
