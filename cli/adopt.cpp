// adopt: a record for a vserver that is there already.

#include "engine/vserver/adopt.h"

#include <memory>

#include "cli/commands.h"
#include "cli/vserver_report.h"

namespace vskel::cli {

namespace {

struct AdoptOptions {
  std::string skel, name, fqdn, ip, share = "hardlink";
};

Result<ExitStatus> adopt(Session& session, const AdoptOptions& options) {
  AdoptRequest request{.skel = TRY(SkelName::parse(options.skel)),
                       .name = TRY(VserverName::parse(options.name)),
                       .fqdn = std::nullopt,
                       .address = std::nullopt,
                       .share = TRY(parse_share(options.share)),
                       .engine = session.engine()};
  if (!options.fqdn.empty()) request.fqdn = TRY(Fqdn::parse(options.fqdn));
  if (!options.ip.empty()) request.address = TRY(Address::parse(options.ip));
  const Store store = TRY(session.store_to_change(Needs::vservers, request.skel));
  const Record record = TRY(adopt_vserver(store, request));
  session.output.document({{"skel", record.skel},
                           {"name", record.name},
                           {"fqdn", record.fqdn},
                           {"ip", record.ip},
                           {"context", record.context},
                           {"config", record.config},
                           {"share", share_name(record.share)},
                           {"path", store.paths().vservers + "/" + record.name}});
  session.output.text(record.name + (session.dry_run() ? ": would be adopted by " : ": adopted by ") + record.skel +
                      "\n");
  if (!session.dry_run())
    session.output.note("share what is equal with: vskel relink --share-only " + record.skel + " " + record.name);
  return ExitStatus::done;
}

}  // namespace

Action adopt_command(CLI::App& command) {
  const auto options = std::make_shared<AdoptOptions>();
  command.add_option("SKEL", options->skel, "The skel that it is to follow")->type_name("")->required();
  command.add_option("NAME", options->name, "The vserver, a directory in VSERVERS")->type_name("")->required();
  command.add_option("FQDN", options->fqdn, "Its full host name")->type_name("");
  command.add_option("IP", options->ip, "Its address")->type_name("");
  command
      .add_option("--share", options->share, "How it is to have the global files: hardlink, reflink or copy [hardlink]")
      ->type_name("HOW")
      ->check(CLI::IsMember({"hardlink", "reflink", "copy"}).description(""));
  return [options](Session& session) { return adopt(session, *options); };
}

}  // namespace vskel::cli
