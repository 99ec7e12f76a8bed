// What a path was at generation G stands in the first K.files with K >= G: so K.files is needed as long as a record
// names a generation up to K, whatever became of K's own manifest. Renames into the trash make it one step for each,
// and a crash in between leaves nothing but less to do.

#include "engine/vserver/prune.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <set>

#include "engine/seal/seal.h"
#include "engine/skel/skel.h"
#include "engine/skel/skel_to_change.h"
#include "engine/tree/arena.h"
#include "engine/tree/remove.h"
#include "engine/tree/walk.h"
#include "engine/txn/journal.h"
#include "engine/txn/lock.h"
#include "engine/vserver/instances.h"
#include "engine/vserver/tenants.h"

namespace vskel {

namespace {

struct Needed {
  std::set<unsigned> generations;
  unsigned oldest = 0;  ///< the oldest that is named
};

Needed needed_by(const std::vector<Record>& records, unsigned newest) {
  Needed needed;
  needed.generations.insert(newest);
  for (const Record& record : records) {
    if (record.generation != 0) needed.generations.insert(record.generation);
    for (const auto& [path, generation] : record.bases)
      if (generation != 0) needed.generations.insert(generation);
  }
  needed.oldest = *needed.generations.begin();
  return needed;
}

/// "0003.files" and 3; nothing for names that are not of this shape.
struct GenerationFile {
  unsigned generation = 0;
  std::string_view suffix;
};

std::optional<GenerationFile> taken_apart(std::string_view name) {
  GenerationFile out;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), out.generation);
  if (error != std::errc{}) return std::nullopt;
  out.suffix = name.substr(static_cast<std::size_t>(end - name.data()));
  return out;
}

bool is_needed(const GenerationFile& part, const Needed& needed, unsigned newest) {
  // Users and groups are the base of the vservers that name the generation, as its manifest is.
  if (part.suffix == ".mtree" || part.suffix == ".accounts") return needed.generations.contains(part.generation);
  if (part.suffix == ".files" || part.suffix == ".leaders") return part.generation >= needed.oldest;
  if (part.suffix.starts_with(".set-aside")) return part.generation + 1 >= newest;
  return true;  // not ours
}

Result<std::uint64_t> bytes_only_here(const DirFd& generations, Name name) {
  std::atomic<std::uint64_t> bytes{0};
  const DirFd root = TRY(sys::open_dir(generations, name));
  TRY(for_each_file(root, [&](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
    if (entry.type != sys::FileType::regular) return {};
    const sys::Stat stat = TRY(sys::stat(directory.top(), entry.name));
    if (stat.nlink == 1) bytes += stat.blocks * 512;
    return {};
  }));
  return bytes.load();
}

Result<PruneReport> prune_locked(const Store& store, const Skel& skel, const EngineOptions& engine) {
  const auto records = TRY(read_records(skel));
  const unsigned newest = TRY(skel.newest_generation());
  const Needed needed = needed_by(records, newest);
  PruneReport report;
  report.skel = skel.name().text();
  const DirFd generations = TRY(sys::reopen(skel.generations()));
  const Listing listing = TRY(Listing::read(generations));
  std::vector<Name> going;
  for (const Listed& listed : listing.entries()) {
    const auto part = taken_apart(listed.name.view());
    if (!part || is_needed(*part, needed, newest)) continue;
    going.push_back(listed.name);
    if (part->suffix == ".mtree") report.forgotten.push_back(part->generation);
    if (listed.type == sys::FileType::directory) report.bytes_freed += TRY(bytes_only_here(generations, listed.name));
  }
  std::ranges::sort(report.forgotten);
  if (engine.dry_run == DryRun::yes || going.empty()) return report;
  const Lock lock = TRY(Lock::take(store, "trash", engine.wait));
  // Kept files are sealed inodes that running vservers may have.
  Quiescence quiescence = TRY(hold_tenants(store, skel, records, engine));
  Intent intent = TRY(Intent::begin(store, {{"version", 1}, {"operation", "prune"}, {"skel", skel.name().text()}}));
  for (const Name name : going) {
    const std::string trash = intent.id() + "." + std::string(name.view());
    TRY(sys::rename_new(generations, name, store.trash(), *Name::check(trash)));
  }
  TRY(sys::sync_file(generations));
  TRY(sys::sync_file(store.trash()));
  // From here on all that is left is garbage, which the trash holds without the intent too.
  Result<> emptied;
  for (const Name name : going) {
    const std::string trash = intent.id() + "." + std::string(name.view());
    emptied = remove_tree(store.trash(), *Name::check(trash), quiescence.in_turn());
    if (!emptied) break;
  }
  auto released = quiescence.release();
  TRY(intent.close());
  TRY(std::move(emptied));
  TRY(std::move(released));
  return report;
}

}  // namespace

Result<PruneReport> prune_skel(const Store& store, const SkelName& name, const EngineOptions& engine) {
  const SkelToChange opened = TRY(open_skel_to_change(store, name, engine));
  const Skel& skel = opened.skel;
  if (skel.merged()) return refuse("prune skel", name.text(), "the skel is merged; split-skel first");
  Arena arena(workers(engine));
  return arena.execute([&] { return prune_locked(store, skel, engine); });
}

}  // namespace vskel
