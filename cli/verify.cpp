// verify: every difference between what is on disk and what is on record, a line each.

#include <algorithm>
#include <iterator>
#include <memory>

#include "cli/commands.h"
#include "engine/quiesce/left_held.h"
#include "engine/relink/verify_files.h"
#include "engine/vserver/inspect.h"

namespace vskel::cli {

namespace {

Result<ExitStatus> compare(Session& session, const std::vector<std::string>& given) {
  std::vector<VserverName> names;
  for (const std::string& text : given) names.push_back(TRY(VserverName::parse(text)));
  const Store store = TRY(session.store_to_read());
  std::vector<std::string> differences = TRY(find_left_held(store));
  std::ranges::move(TRY([&] {
                      const auto bar = session.show_progress();
                      return verify_with_files(store, names, session.engine());
                    }()),
                    std::back_inserter(differences));
  const std::vector<std::string> warnings = TRY(weak_configurations(store, names));
  session.output.document({{"differences", differences}, {"warnings", warnings}});
  for (const std::string& difference : differences) session.output.text(safe_line(difference) + "\n");
  for (const std::string& warning : warnings) session.output.warning(warning);
  if (differences.empty()) session.output.note("verify: no differences");
  return differences.empty() ? ExitStatus::done : ExitStatus::failed;
}

}  // namespace

Action verify_command(CLI::App& command) {
  const auto names = std::make_shared<std::vector<std::string>>();
  command
      .add_option("NAME", *names,
                  "Skels and vservers to verify, of a vserver its shared files too [all skels and vservers]")
      ->type_name("")
      ->take_all();
  return [names](Session& session) { return compare(session, *names); };
}

}  // namespace vskel::cli
