#include "engine/skel/rollback.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "engine/content/hash.h"
#include "engine/issue/executor.h"
#include "engine/skel/describe.h"
#include "engine/skel/kept_files.h"
#include "engine/skel/next_generation.h"
#include "engine/skel/skel_to_change.h"
#include "engine/tree/arena.h"
#include "engine/tree/metadata.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

/// A generation made of what is kept and what is there, for rollback.
class Restoration {
 public:
  Restoration(const Skel& skel, const Manifest& last, const Manifest& wanted, const KeptFiles& kept)
      : skel_(skel), last_(last), wanted_(wanted), kept_(kept) {}

  Result<StagedGeneration> stage(const DirFd& staging, SealKind seal, Executor& executor) {
    NextGeneration next = TRY(NextGeneration::begin(skel_, staging, last_, seal, executor));
    count();
    ManifestEntries entries;
    for (const ManifestEntry& entry : wanted_.entries) {
      if (entry.part == Part::static_part) continue;
      entries.push_back(entry);
      TRY(restore(entries.back(), next, executor));
    }
    TRY(restore_directories(next));
    for (ManifestEntry& entry : entries)
      if (const auto inode = inodes_.find(entry.path); inode != inodes_.end()) entry.nlink = names_.at(inode->second);
    for (const ManifestEntry* entry : displaced_) TRY(next.keep_old(*entry));
    TRY(add_static(entries));
    TRY(next.write([&entries](ManifestWriter& writer) -> Result<> {
      for (const ManifestEntry& entry : entries) TRY(writer.add(entry));
      return {};
    }));
    return StagedGeneration{std::move(report_), {}};
  }

  GenerationReport preview() {
    count();
    report_.generation = last_.generation + 1;
    return std::move(report_);
  }

 private:
  /// What stays is today's; what is kept takes the place of today's, which is displaced.
  void count() {
    report_.skel = skel_.name().text();
    report_.new_generation = true;
    std::set<std::string_view> today, staying, wanted;
    const auto is_counted = [](const ManifestEntry& entry) {
      return entry.type != sys::FileType::directory && entry.part != Part::static_part;
    };
    for (const ManifestEntry& entry : last_.entries)
      if (is_counted(entry)) today.insert(entry.path);
    for (const ManifestEntry& entry : wanted_.entries) {
      if (!is_counted(entry)) continue;
      wanted.insert(entry.path);
      PartChanges& changes = report_.changes(entry.part);
      if (!kept_.holder(entry.part, entry.path, wanted_.generation)) {
        staying.insert(entry.path);
        ++changes.unchanged;
      } else {
        ++(today.contains(entry.path) ? changes.changed : changes.added);
      }
    }
    for (const ManifestEntry& entry : last_.entries) {
      if (!is_counted(entry) || staying.contains(entry.path)) continue;
      displaced_.push_back(&entry);
      if (!wanted.contains(entry.path)) ++report_.changes(entry.part).removed;
    }
  }

  Result<> restore(ManifestEntry& entry, NextGeneration& next, Executor& executor) {
    const DirFd target = TRY(sys::open_dirs(next.tree(entry.part), parent_path(entry.path)));
    if (entry.type == sys::FileType::directory) {
      if (!entry.path.empty()) TRY(sys::make_dir(target, last_name(entry.path), 0700));
      return {};
    }
    const auto holder = kept_.holder(entry.part, entry.path, wanted_.generation);
    const DirFd& root = holder ? kept_.root(*holder, entry.part) : skel_.tree(entry.part);
    const DirFd source = TRY(sys::open_dirs(root, parent_path(entry.path)));
    const Name name = last_name(entry.path);
    const sys::Stat stat = TRY(sys::stat(source, name));
    // A kept local file keeps its own inode: what is private has as many names as its part gives it.
    const bool copy = holder && entry.part != Part::global_part && stat.type == sys::FileType::regular;
    if (!copy && TRY(next.link(source, name, target, name))) {
      ++names_[stat.inode];
      inodes_.emplace(entry.path, stat.inode);
      return {};
    }
    entry.nlink = 1;
    const Fd file = TRY(sys::open_trusted_file(source, name));
    const Metadata metadata = metadata_of(stat, TRY(sys::xattrs(file)));
    const Operation operation = CopyFile{name, &file, stat.size, stat.blocks, CopyBy::either, &metadata};
    Results results = executor.issue({&target, std::span(&operation, 1)}, OnFailure::stop);
    if (!results.failures.empty()) return std::unexpected(std::move(results.failures.front().error));
    return {};
  }

  /// Static as it lies there, its directories as the restored trees have them.
  Result<> add_static(ManifestEntries& entries) {
    std::map<std::string_view, const ManifestEntry*> directories;
    for (const ManifestEntry& entry : wanted_.entries)
      if (entry.type == sys::FileType::directory && entry.part != Part::static_part)
        directories.emplace(entry.path, &entry);
    for (ManifestEntry& entry : TRY(describe_tree(skel_.tree(Part::static_part), Part::static_part))) {
      const auto found = directories.find(entry.path);
      if (entry.type == sys::FileType::directory && found != directories.end()) {
        entry = *found->second;
        entry.part = Part::static_part;
      }
      entries.push_back(std::move(entry));
    }
    std::ranges::sort(entries, by_path_and_part);
    return {};
  }

  /// Directories get what their manifest says, and the attributes of today's if those are still the same.
  Result<> restore_directories(NextGeneration& next) {
    for (auto at = wanted_.entries.rbegin(); at != wanted_.entries.rend(); ++at) {
      if (at->type != sys::FileType::directory || at->part == Part::static_part) continue;
      Metadata metadata{at->mode, at->uid, at->gid, at->mtime, at->mtime, {}};
      if (at->xattrs()) {
        const DirFd today = TRY(open_dirs_if_there(skel_.tree(at->part), at->path));
        if (today.open()) metadata.xattrs = TRY(sys::xattrs(today));
        if (hash_xattrs(metadata.xattrs) != at->xattrs()) {
          metadata.xattrs.clear();
          report_.notes.push_back("/" + at->path + ": extended attributes of a directory are not kept, and are lost");
        }
      }
      TRY(apply_metadata(TRY(sys::open_dirs(next.tree(at->part), at->path)), metadata, Fresh::no));
    }
    return {};
  }

  const Skel& skel_;
  const Manifest& last_;
  const Manifest& wanted_;
  const KeptFiles& kept_;
  std::vector<const ManifestEntry*> displaced_;
  std::map<std::string, std::uint64_t> inodes_;
  std::map<std::uint64_t, std::uint32_t> names_;
  GenerationReport report_;
};

}  // namespace

Result<GenerationReport> roll_back(const Store& store, const GenerationRequest& request, unsigned generation) {
  const auto start = std::chrono::steady_clock::now();
  const SkelToChange opened = TRY(open_skel_to_change(store, request.skel, request.engine));
  const Skel& skel = opened.skel;
  const std::string asked = request.skel.text() + " " + std::to_string(generation);
  if (skel.merged()) return refuse("roll back", asked, "the skel is merged; split-skel first, or merge-skel --abort");
  const unsigned newest = TRY(skel.newest_generation());
  const auto generations = TRY(skel.all_generations());
  if (std::ranges::find(generations, generation) == generations.end())
    return refuse("roll back", asked, "no such generation");
  if (generation == newest) return refuse("roll back", asked, "it is the newest");
  Manifest last = TRY(skel.manifest(newest))
  , wanted = TRY(skel.manifest(generation));
  last.generation = newest;
  wanted.generation = generation;
  Arena arena(workers(request.engine));
  auto report = arena.execute([&]() -> Result<GenerationReport> {
    const KeptFiles kept = TRY(KeptFiles::load(skel));
    Restoration restoration(skel, last, wanted, kept);
    if (request.engine.dry_run == DryRun::yes) return restoration.preview();
    const auto executor = TRY(make_executor(request.engine, store.vservers()));
    return change_generation(store, request, skel, "rollback", newest, [&](const DirFd& staging, SealKind seal) {
      return restoration.stage(staging, seal, *executor);
    });
  });
  if (report) report->elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace vskel
