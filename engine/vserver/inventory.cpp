// list and show: what there is, counted by walks that open directories and nothing else.

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <unordered_set>

#include "engine/skel/skel.h"
#include "engine/tree/arena.h"
#include "engine/tree/walk.h"
#include "engine/vserver/inspect.h"
#include "engine/vserver/instances.h"

namespace vskel {

namespace {

/// Inodes of a skel's global files: names of these in a vserver are shared, and are told apart by d_ino, without a
/// stat.
struct SharedInodes {
  std::uint64_t device = 0;
  std::unordered_set<std::uint64_t> inodes;
};

Result<SharedInodes> shared_inodes(const Skel& skel) {
  SharedInodes out;
  const DirFd& global = skel.tree(Part::global_part);
  if (!global.open()) return out;
  out.device = TRY(sys::stat(global)).device;
  std::mutex mutex;
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void>) -> Result<> {
    std::vector<std::uint64_t> found;
    for (const WalkEntry& entry : directory->entries) {
      if (entry.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
      if (entry.type == sys::FileType::regular) found.push_back(entry.inode);
    }
    const std::scoped_lock lock(mutex);
    out.inodes.insert(found.begin(), found.end());
    return {};
  };
  (void)TRY(Walk::run({&global}, Mounts::stop, nullptr, visitor));
  return out;
}

Result<> count_files(const DirFd& root, const SharedInodes& shared, VserverSummary& summary) {
  std::atomic<std::uint64_t> files_shared{0}, files_own{0}, bytes_own{0};
  const bool same_device = TRY(sys::stat(root)).device == shared.device;
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void>) -> Result<> {
    std::uint64_t is_shared = 0, is_own = 0, bytes = 0;
    for (const WalkEntry& entry : directory->entries) {
      if (entry.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
      if (entry.type != sys::FileType::regular) continue;
      if (same_device && shared.inodes.contains(entry.inode)) {
        ++is_shared;
        continue;
      }
      const auto stat = TRY(sys::stat_if_there(directory->top(), entry.name));
      if (!stat) continue;  // a running tenant's file, gone meanwhile
      ++is_own;
      bytes += stat->blocks * 512;
    }
    files_shared += is_shared;
    files_own += is_own;
    bytes_own += bytes;
    return {};
  };
  (void)TRY(Walk::run({&root}, Mounts::stop_in_tenants_tree, nullptr, visitor));
  summary.files_shared = files_shared;
  summary.files_own = files_own;
  summary.bytes_own = bytes_own;
  return {};
}

VserverSummary summarize(const Store& store, const Record& record, const SharedInodes& shared) {
  VserverSummary summary;
  summary.record = record;
  summary.path = store.paths().vservers + "/" + record.name;
  const auto root = sys::open_dir(store.vservers(), *Name::check(record.name));
  if (!root) {
    summary.problem = root.error().code == ENOENT ? "root is missing" : root.error().line();
    return summary;
  }
  if (auto counted = count_files(*root, shared, summary); !counted) summary.problem = counted.error().line();
  if (std::ranges::any_of(record.plugins,
                          [](const PluginOutcome& plugin) { return plugin.status == PluginStatus::failed; }))
    summary.problem = "a plugin failed";
  return summary;
}

Result<SkelSummary> summarize_skel(const Skel& skel, std::size_t instances) {
  SkelSummary summary;
  summary.name = skel.name().text();
  summary.merged = skel.merged();
  summary.instances = instances;
  summary.generation = TRY(skel.newest_generation());
  TRY(skel.for_each_entry(summary.generation, [&summary](const ManifestEntry& entry) -> Result<> {
    if (entry.type != sys::FileType::regular) return {};
    std::uint64_t& count = entry.part == Part::global_part  ? summary.global_files
                           : entry.part == Part::local_part ? summary.local_files
                                                            : summary.static_files;
    ++count;
    return {};
  }));
  return summary;
}

/// Directories that could be vservers and have no record.
Result<> add_unrecorded(const Store& store, Inventory& inventory) {
  const DirFd vservers = TRY(sys::reopen(store.vservers()));
  const Listing listing = TRY(Listing::read(vservers));
  for (const Listed& listed : listing.entries()) {
    const std::string name(listed.name.view());
    if (listed.type != sys::FileType::directory || !VserverName::parse(name)) continue;
    const auto known = std::ranges::any_of(inventory.vservers,
                                           [&](const VserverSummary& summary) { return summary.record.name == name; });
    if (known) continue;
    VserverSummary summary;
    summary.record.name = name;
    summary.path = store.paths().vservers + "/" + name;
    summary.problem = "no record";
    inventory.vservers.push_back(std::move(summary));
  }
  return {};
}

Result<Inventory> inventory_in_arena(const Store& store) {
  Inventory inventory;
  for (const SkelName& name : TRY(Skel::all(store))) {
    const Skel skel = TRY(Skel::open(store, name));
    const auto records = TRY(read_records(skel));
    inventory.skels.push_back(TRY(summarize_skel(skel, records.size())));
    if (records.empty()) continue;
    const SharedInodes shared = TRY(shared_inodes(skel));
    for (const Record& record : records) inventory.vservers.push_back(summarize(store, record, shared));
  }
  TRY(add_unrecorded(store, inventory));
  std::ranges::sort(inventory.vservers, {}, [](const VserverSummary& summary) { return summary.record.name; });
  return inventory;
}

}  // namespace

Result<Inventory> take_inventory(const Store& store, const EngineOptions& engine) {
  Arena arena(workers(engine));
  return arena.execute([&] { return inventory_in_arena(store); });
}

Result<VserverSummary> show_vserver(const Store& store, const VserverName& name, const EngineOptions& engine) {
  const auto record = TRY(find_record(store, name));
  if (!record) return refuse("show vserver", name.text(), "no vserver of that name has a record");
  const Skel skel = TRY(Skel::open(store, TRY(SkelName::parse(record->skel))));
  Arena arena(workers(engine));
  return arena.execute([&]() -> Result<VserverSummary> { return summarize(store, *record, TRY(shared_inodes(skel))); });
}

}  // namespace vskel
