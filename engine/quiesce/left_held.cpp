#include "engine/quiesce/left_held.h"

#include <algorithm>

#include "engine/sys/cgroups.h"
#include "engine/sys/processes.h"
#include "engine/txn/journal.h"

namespace vskel {

namespace {

constexpr const char* kSince = " since a vskel died; vskel recover lets it go on";

std::string words_for(const sys::ProcessId& id, const std::vector<sys::RunningProcess>& running) {
  const auto found = std::ranges::find(running, id, &sys::RunningProcess::id);
  return "process " + (found == running.end() ? "(" + std::to_string(id.pid) + ")" : sys::words_for(*found));
}

Result<> add_held(const nlohmann::json& record, const std::vector<sys::RunningProcess>& running,
                  std::vector<std::string>& lines) {
  const auto cgroups = TRY(sys::Cgroups::find());
  if (cgroups)
    for (const auto& group : record.value("groups", nlohmann::json::array()))
      if (const auto name = group.get<std::string>(); TRY(cgroups->is_frozen(name)))
        lines.push_back("control group " + printable(name) + ": frozen" + kSince);
  for (const auto& process : record.value("processes", nlohmann::json::array())) {
    const sys::ProcessId id{process.value("pid", 0), process.value("start", std::uint64_t{0})};
    if (sys::state_of(id) == sys::RunState::stopped) lines.push_back(words_for(id, running) + ": stopped" + kSince);
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> find_left_held(const Store& store) {
  std::vector<std::string> lines;
  for (const CrashedOperation& crashed : TRY(find_crashed_operations(store))) {
    const nlohmann::json& first = crashed.records.front();
    // After a boot nobody of them is there, and numbers mean others.
    if (first.value("operation", "") != "quiesce" || first.value("boot", "") != TRY(sys::boot_id())) continue;
    const auto running = TRY(sys::running_processes());
    for (const nlohmann::json& record : crashed.records) TRY(add_held(record, running, lines));
  }
  return lines;
}

}  // namespace vskel
