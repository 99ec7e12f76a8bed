// The merged tree is populated in staging as a vserver would be, with private copies (clones where the file system has
// them). Then three renames publish it: both trees aside, the merged one in. A directory of sealed files can be
// renamed, so nothing is lifted. Aborting is the same renames backwards.

#include "engine/skel/merge.h"

#include <cerrno>
#include <chrono>

#include "engine/quiesce/inhabitants.h"
#include "engine/skel/account_files.h"
#include "engine/skel/merge_intent.h"
#include "engine/skel/populate.h"
#include "engine/skel/skel.h"
#include "engine/skel/skel_to_change.h"
#include "engine/skel/token_files.h"
#include "engine/sys/stopping.h"
#include "engine/tree/arena.h"
#include "engine/tree/remove.h"
#include "engine/tree/walk.h"
#include "engine/txn/lock.h"
#include "engine/txn/move_once.h"

namespace vskel {

namespace {

Result<> stage_merged(const Skel& skel, const DirFd& staging, MergeStatic with_static, const EngineOptions& engine,
                      unsigned jobs) {
  Destination merged;
  merged.root = TRY(sys::ensure_dir(staging, "root", 0700));
  const auto executor = TRY(make_executor(engine, staging));
  PopulateRequest population;
  population.skel = &skel;
  population.share = std::nullopt;
  population.static_files = with_static == MergeStatic::all ? StaticFiles::as_they_are : StaticFiles::left_out;
  population.executor = executor.get();
  population.progress = engine.progress;
  if (engine.progress != nullptr) engine.progress->total = TRY(skel.count_paths());
  Destination* const only = &merged;
  (void)TRY(populate(population, std::span(&only, 1), jobs));
  if (merged.error) return std::unexpected(std::move(*merged.error));
  const DirFd memory = TRY(sys::ensure_dir(staging, kMergedAccounts, 0700));
  if (with_static != MergeStatic::nothing) {
    TRY(lay_in_accounts(skel, merged.root, memory));
    TRY(lay_in_token_files(skel, merged.root, memory));
  }
  // split-skel leaves them out again.
  TRY(make_mount_points(merged.root));
  TRY(sys::may_go_on());
  return sys::sync_file_system(staging);
}

std::string trash_name_of(const Intent& intent, const std::string& merged) { return intent.id() + "." + merged; }

Result<> empty_own_trash(const Store& store, const Intent& intent, const std::string& merged) {
  const Lock lock = TRY(Lock::take(store, "trash", sys::Wait::yes));
  for (const std::string& name : {merged, std::string(kMergedAccounts.view())}) {
    const std::string trash = trash_name_of(intent, name);
    TRY(remove_tree(store.trash(), *Name::check(trash)));
  }
  return {};
}

/// What is remembered of a merge goes with it.
Result<> forget_merged_accounts(const Store& store, const Intent& intent, const Skel& skel) {
  const std::string trash = trash_name_of(intent, std::string(kMergedAccounts.view()));
  return move_once(skel.dir(), kMergedAccounts, store.trash(), *Name::check(trash));
}

/// Version 0.1 ends a merge and leaves its memory behind, which is no base for the next.
Result<> publish_memory(const Store& store, const Intent& intent, const Skel& skel, const DirFd& staging) {
  if (!TRY(sys::stat_if_there(staging, kMergedAccounts))) return {};
  TRY(forget_merged_accounts(store, intent, skel));
  return move_once(staging, kMergedAccounts, skel.dir(), kMergedAccounts);
}

Result<std::string> finish_abort(const Store& store, Intent& intent, const Skel& skel) {
  const std::string merged = merged_name(skel.name()), trash = trash_name_of(intent, merged);
  TRY(move_once(store.vservers(), *Name::check(merged), store.trash(), *Name::check(trash)));
  TRY(move_once(skel.dir(), "global.bak", skel.dir(), "global"));
  TRY(move_once(skel.dir(), "local.bak", skel.dir(), "local"));
  TRY(forget_merged_accounts(store, intent, skel));
  TRY(sys::sync_file_system(store.vservers()));
  TRY(empty_own_trash(store, intent, merged));
  TRY(intent.close());
  return "skel " + skel.name().text() + ": its merge was taken back";
}

Result<std::string> finish_merging(const Store& store, Intent& intent, const Skel& skel) {
  const Name id = *Name::check(intent.id());
  const bool publish = intent.records().back().value("phase", "") == "publish";
  auto staging = sys::open_dir(store.staging(), id);
  if (!staging && staging.error().code != ENOENT) return std::unexpected(std::move(staging).error());
  if (publish && staging) {
    const std::string merged = merged_name(skel.name());
    TRY(move_once(skel.dir(), "global", skel.dir(), "global.bak"));
    TRY(move_once(skel.dir(), "local", skel.dir(), "local.bak"));
    TRY(publish_memory(store, intent, skel, *staging));
    TRY(move_once(*staging, "root", store.vservers(), *Name::check(merged)));
    TRY(sys::sync_file_system(store.vservers()));
    TRY(empty_own_trash(store, intent, merged));
  }
  TRY(remove_tree(store.staging(), id));
  TRY(intent.close());
  return "skel " + skel.name().text() + (publish ? ": merging it was finished" : ": merging it was undone");
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

MergeReport report_for(const Store& store, const SkelName& skel) {
  return {skel.text(), store.paths().vservers + "/" + merged_name(skel), 0};
}

}  // namespace

std::string merged_name(const SkelName& skel) { return "tmp_skel_" + skel.text(); }

Result<> require_idle_merge(const Store& store, const SkelName& skel) {
  const std::string name = merged_name(skel), path = store.paths().vservers + "/" + name;
  const DirFd root = TRY(sys::open_dir(store.vservers(), *Name::check(name)));
  const sys::Stat stat = TRY(sys::stat(root));
  const Tenant tree{name, stat.device, stat.inode};
  const auto inside = TRY(find_inhabitants(store.vservers(), std::span(&tree, 1)));
  if (!inside.empty()) return fail("use merged skel", path, "a process runs in it: " + inside.front().process);
  const Visitor visitor = [](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                             std::shared_ptr<void>) -> Result<> {
    for (const WalkEntry& entry : directory->entries)
      if (entry.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
    return {};
  };
  const auto mount_points = TRY(Walk::run({&root}, Mounts::stop, nullptr, visitor));
  if (!mount_points.empty())
    return fail("use merged skel", path + "/" + mount_points.front(),
                std::string("another file system: unmount it, or a subvolume of btrfs, remove it first"));
  return {};
}

Result<std::string> finish_merge(const Store& store, Intent& intent) {
  const Skel skel = TRY(Skel::open(store, TRY(SkelName::parse(intent.records().front().value("skel", "")))));
  return intent.records().front().value("operation", "") == "abort-merge" ? finish_abort(store, intent, skel)
                                                                          : finish_merging(store, intent, skel);
}

Result<MergeReport> merge_skel(const Store& store, const SkelName& name, MergeStatic with_static,
                               const EngineOptions& engine) {
  const auto start = std::chrono::steady_clock::now();
  const SkelToChange opened = TRY(open_skel_to_change(store, name, engine));
  const Skel& skel = opened.skel;
  MergeReport report = report_for(store, name);
  if (skel.merged()) return refuse("merge skel", name.text(), "it is merged already, in " + report.path);
  const std::string merged = merged_name(name);
  if (TRY(sys::stat_if_there(store.vservers(), *Name::check(merged))))
    return refuse("merge skel", name.text(), report.path + " is in the way");
  if (engine.dry_run == DryRun::yes) return report;
  Intent intent = TRY(Intent::begin(store, {{"version", 1}, {"operation", "merge-skel"}, {"skel", name.text()}}));
  const DirFd staging = TRY(sys::ensure_dir(store.staging(), *Name::check(intent.id()), 0700));
  Arena arena(workers(engine));
  auto staged = arena.execute(
      [&] { return stage_merged(skel, staging, with_static, engine, static_cast<unsigned>(workers(engine))); });
  if (staged) staged = intent.record({{"phase", "publish"}});
  auto finished = arena.execute([&] { return finish_merging(store, intent, skel); });
  if (!staged) return std::unexpected(std::move(staged).error().rebased(sys::path_of(staging) + "/root", report.path));
  TRY(finished);
  report.elapsed_s = seconds_since(start);
  return report;
}

Result<MergeReport> abort_merge(const Store& store, const SkelName& name, const EngineOptions& engine) {
  const auto start = std::chrono::steady_clock::now();
  const SkelToChange opened = TRY(open_skel_to_change(store, name, engine));
  const Skel& skel = opened.skel;
  MergeReport report = report_for(store, name);
  if (!skel.merged()) return refuse("abort merge", name.text(), "the skel is not merged");
  const std::string merged = merged_name(name);
  Arena arena(workers(engine));
  // The administrator may have removed the tree by hand.
  if (TRY(sys::stat_if_there(store.vservers(), *Name::check(merged))))
    TRY(arena.execute([&] { return require_idle_merge(store, name); }));
  if (engine.dry_run == DryRun::yes) return report;
  Intent intent = TRY(Intent::begin(store, {{"version", 1}, {"operation", "abort-merge"}, {"skel", name.text()}}));
  TRY(arena.execute([&] { return finish_abort(store, intent, skel); }));
  report.elapsed_s = seconds_since(start);
  return report;
}

}  // namespace vskel
