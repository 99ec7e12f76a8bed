#include "engine/seal/quiesce.h"

namespace vskel {

namespace {

std::string name_of(const sys::RunningProcess& process) {
  return printable(process.name) + " (" + std::to_string(process.pid) + ")";
}

bool is_inside(const sys::RunningProcess& process, const Tenant& tenant) {
  return process.root_device == tenant.device && process.root_inode == tenant.inode;
}

}  // namespace

Result<Quiescence> Quiescence::hold(std::span<const Tenant> tenants, Quiesce quiesce) {
  if (quiesce == Quiesce::off || tenants.empty()) return Quiescence();
  for (const sys::RunningProcess& process : TRY(sys::running_processes()))
    for (const Tenant& tenant : tenants)
      if (is_inside(process, tenant))
        return fail("lift seals", tenant.name,
                    "process " + name_of(process) +
                        " runs in this vserver; stop it, or give --quiesce off if none that runs is hostile");
  return Quiescence();
}

Result<std::vector<std::string>> processes_inside(const Tenant& tenant) {
  constexpr std::size_t kNamed = 5;
  std::vector<std::string> out;
  for (const sys::RunningProcess& process : TRY(sys::running_processes()))
    if (is_inside(process, tenant) && out.size() < kNamed) out.push_back(name_of(process));
  return out;
}

}  // namespace vskel
