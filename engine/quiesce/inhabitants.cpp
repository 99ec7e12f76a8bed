#include "engine/quiesce/inhabitants.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <set>

namespace vskel {

namespace {

using Found = std::optional<std::size_t>;  // index of the tenant

class Search {
 public:
  Search(std::span<const Tenant> tenants, const std::optional<sys::MountedTree>& vservers) {
    for (std::size_t at = 0; at < tenants.size(); ++at) {
      by_root_.emplace(sys::FileId{tenants[at].device, tenants[at].inode}, at);
      if (!vservers) continue;
      places_.push_back(*vservers);
      places_.back().root += (vservers->root == "/" ? "" : "/") + tenants[at].name;
    }
  }

  /// Index of the tenant that each process is inside.
  Result<std::vector<Found>> among(const std::vector<sys::RunningProcess>& processes) {
    std::vector<Found> found(processes.size());
    const auto own =
        std::ranges::find(processes, sys::own_pid(), [](const sys::RunningProcess& process) { return process.id.pid; });
    if (own == processes.end() || own->views.empty()) return fail("find", "/proc/self", "this process is not in /proc");
    TRY(refuse_hidden(processes, *own));
    for (std::size_t at = 0; at < processes.size(); ++at) found[at] = TRY(by_itself(processes[at], *own));
    add_by_pid_namespace(processes, *own, found);
    add_descendants(processes, found);
    return found;
  }

 private:
  /// Who may not be looked at might be a tenant: but not those whose child this process is, or it would be inside, too.
  static Result<> refuse_hidden(const std::vector<sys::RunningProcess>& processes, const sys::RunningProcess& own) {
    std::map<int, int> parents;
    for (const sys::RunningProcess& process : processes) parents.emplace(process.id.pid, process.parent);
    std::set<int> ancestors;
    for (int pid = own.parent; pid != 0 && ancestors.insert(pid).second;) {
      const auto above = parents.find(pid);
      pid = above == parents.end() ? 0 : above->second;
    }
    for (const sys::RunningProcess& process : processes)
      if (process.hidden && !ancestors.contains(process.id.pid))
        return fail("look for tenants", "process " + std::to_string(process.id.pid), EACCES);
    return {};
  }

  Result<Found> by_itself(const sys::RunningProcess& process, const sys::RunningProcess& own) {
    const auto is_root_of_ours = [&own](const sys::FileId& root) {
      return std::ranges::find(own.views, root, &sys::ThreadView::root) != own.views.end();
    };
    for (const sys::ThreadView& view : process.views)
      if (!is_root_of_ours(view.root))
        if (const Found found = TRY(by_root(process.id.pid, view.root))) return found;
    if (places_.empty()) return std::nullopt;
    for (const sys::ThreadView& view : process.views)
      if (view.mount_namespace != own.views.front().mount_namespace)
        if (const Found found = TRY(by_mounts(view))) return found;
    return std::nullopt;
  }

  Result<Found> by_root(int pid, sys::FileId root) {
    if (const auto tenant = by_root_.find(root); tenant != by_root_.end()) return tenant->second;
    if (const auto known = answers_.find(root); known != answers_.end()) return known->second;
    Found found;
    const auto directories = TRY(sys::directories_up_from(pid, root));
    for (const sys::FileId& directory : directories)
      if (const auto tenant = by_root_.find(directory); !found && tenant != by_root_.end()) found = tenant->second;
    // Of a process that has just ended nothing was learnt for others with that root.
    if (!directories.empty()) answers_.emplace(root, found);
    return found;
  }

  Result<Found> by_mounts(const sys::ThreadView& view) {
    if (const auto known = namespaces_.find(view.mount_namespace); known != namespaces_.end()) return known->second;
    Found found;
    const auto trees = TRY(sys::mounted_trees(view.thread));
    if (trees.empty()) return found;  // it has ended: nothing was learnt of the namespace
    for (const sys::MountedTree& tree : trees) {
      const auto place = std::ranges::find_if(places_, [&](const auto& one) { return tree.is_within(one); });
      if (place == places_.end()) continue;
      found = static_cast<std::size_t>(place - places_.begin());
      break;
    }
    namespaces_.emplace(view.mount_namespace, found);
    return found;
  }

  static void add_by_pid_namespace(const std::vector<sys::RunningProcess>& processes, const sys::RunningProcess& own,
                                   std::vector<Found>& found) {
    std::map<std::uint64_t, std::size_t> inside;
    for (std::size_t at = 0; at < processes.size(); ++at)
      if (found[at] && processes[at].pid_namespace != own.pid_namespace)
        inside.emplace(processes[at].pid_namespace, *found[at]);
    for (std::size_t at = 0; at < processes.size(); ++at)
      if (const auto space = inside.find(processes[at].pid_namespace); !found[at] && space != inside.end())
        found[at] = space->second;
  }

  static void add_descendants(const std::vector<sys::RunningProcess>& processes, std::vector<Found>& found) {
    std::multimap<int, std::size_t> children;
    for (std::size_t at = 0; at < processes.size(); ++at) children.emplace(processes[at].parent, at);
    std::vector<std::size_t> open;
    for (std::size_t at = 0; at < processes.size(); ++at)
      if (found[at]) open.push_back(at);
    while (!open.empty()) {
      const std::size_t parent = open.back();
      open.pop_back();
      const auto [first, last] = children.equal_range(processes[parent].id.pid);
      for (auto child = first; child != last; ++child) {
        if (found[child->second]) continue;
        found[child->second] = found[parent];
        open.push_back(child->second);
      }
    }
  }

  std::map<sys::FileId, std::size_t> by_root_;
  std::vector<sys::MountedTree> places_;  // of the tenants, by index; empty if unknown
  std::map<sys::FileId, Found> answers_;
  std::map<std::uint64_t, Found> namespaces_;
};

}  // namespace

Result<std::vector<Inhabitant>> find_inhabitants(const DirFd& vservers, std::span<const Tenant> tenants) {
  std::vector<Inhabitant> out;
  if (tenants.empty()) return out;
  Search search(tenants, TRY(sys::place_in_file_system(vservers)));
  const auto processes = TRY(sys::running_processes());
  const auto found = TRY(search.among(processes));
  for (std::size_t at = 0; at < processes.size(); ++at) {
    if (!found[at]) continue;
    const sys::RunningProcess& process = processes[at];
    const std::string& tenant = tenants[*found[at]].name;
    if (process.id.pid == sys::own_pid()) return fail("hold still", tenant, "this process itself runs inside of it");
    out.push_back({process.id, sys::words_for(process), tenant});
  }
  return out;
}

}  // namespace vskel
