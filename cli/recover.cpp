// recover: what every changing command does first, alone, and told on standard output.

#include "engine/recover/recover.h"

#include <memory>

#include "cli/commands.h"
#include "cli/quiesce_option.h"

namespace vskel::cli {

namespace {

Result<ExitStatus> run_recover(Session& session) {
  const Store existing = TRY(Store::open_whatever_is_there(session.options.paths));
  // Where vskel never changed anything there is nothing to recover, and no directory to be made for it.
  const bool untouched = !existing.journal().open();
  std::vector<std::string> lines;
  if (!untouched) {
    auto opened =
        session.dry_run() ? session.store_to_read() : session.told(Store::open_or_create(session.options.paths));
    const Store store = TRY(std::move(opened));
    lines = TRY(recover(store, session.engine()));
  }
  session.output.document({{"done", lines}});
  for (const std::string& line : lines) session.output.text(safe_line(line) + "\n");
  if (lines.empty()) session.output.text("nothing to recover\n");
  return ExitStatus::done;
}

}  // namespace

Action recover_command(CLI::App& command) {
  const auto quiesce = std::make_shared<std::string>();
  declare_quiesce(command, *quiesce);
  return [quiesce](Session& session) {
    session.quiesce = quiesce_of(*quiesce);
    return run_recover(session);
  };
}

}  // namespace vskel::cli
