#include "engine/quiesce/left_held.h"

#include <algorithm>
#include <optional>
#include <set>

#include "engine/sys/cgroups.h"
#include "engine/sys/processes.h"
#include "engine/txn/journal.h"

namespace vskel {

namespace {

constexpr const char* kDied = " since a vskel died; vskel recover lets it go on";

std::string words_for(const sys::ProcessId& id, const std::vector<sys::RunningProcess>& running) {
  const auto found = std::ranges::find(running, id, &sys::RunningProcess::id);
  return "process " + (found == running.end() ? "(" + std::to_string(id.pid) + ")" : sys::words_for(*found));
}

/// Those whom one record names. `why` is after "frozen" and "stopped".
Result<> add_held(const nlohmann::json& record, const std::vector<sys::RunningProcess>& running, const std::string& why,
                  std::vector<std::string>& lines) {
  const auto cgroups = TRY(sys::Cgroups::find());
  if (cgroups)
    for (const auto& group : record.value("groups", nlohmann::json::array()))
      if (const auto name = group.get<std::string>(); TRY(cgroups->is_frozen(name)))
        lines.push_back("control group " + printable(name) + ": frozen" + why);
  for (const auto& process : record.value("processes", nlohmann::json::array())) {
    const sys::ProcessId id{process.value("pid", 0), process.value("start", std::uint64_t{0})};
    if (sys::state_of(id) == sys::RunState::stopped) lines.push_back(words_for(id, running) + ": stopped" + why);
  }
  return {};
}

/// Why whoever is held stays so: nullopt where a vskel that runs will let him go.
std::optional<std::string> why_for_long(const CrashedOperation& operation, bool died,
                                        const std::vector<sys::RunningProcess>& running) {
  if (died) return kDied;
  const int pid = operation.records.front().value("pid", 0);
  const auto holder = std::ranges::find(running, pid, [](const sys::RunningProcess& one) { return one.id.pid; });
  if (holder == running.end() || sys::state_of(holder->id) != sys::RunState::stopped) return std::nullopt;
  return " by " + sys::words_for(*holder) + ", which is stopped itself; kill -CONT " + std::to_string(pid) +
         " lets both go on";
}

}  // namespace

Result<std::vector<std::string>> find_left_held(const Store& store) {
  std::vector<std::string> lines;
  // Those that died are found first: one that dies meanwhile is told of next time.
  std::set<std::string> died;
  for (const CrashedOperation& crashed : TRY(find_crashed_operations(store))) died.insert(crashed.id);
  for (const CrashedOperation& operation : TRY(find_all_operations(store))) {
    const nlohmann::json& first = operation.records.front();
    // After a boot nobody of them is there, and numbers mean others.
    if (first.value("operation", "") != "quiesce" || first.value("boot", "") != TRY(sys::boot_id())) continue;
    const auto running = TRY(sys::running_processes());
    const auto why = why_for_long(operation, died.contains(operation.id), running);
    if (!why) continue;
    for (const nlohmann::json& record : operation.records) TRY(add_held(record, running, *why, lines));
  }
  return lines;
}

}  // namespace vskel
