#include "engine/skel/rollback.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <vector>

#include "engine/content/hash.h"
#include "engine/issue/executor.h"
#include "engine/skel/account_files.h"
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
  /// The entries of `wanted` become those of the new manifest.
  Restoration(const Skel& skel, unsigned newest, Manifest wanted, const KeptFiles& kept)
      : skel_(skel), newest_(newest), wanted_(wanted.generation), entries_(std::move(wanted.entries)), kept_(kept) {}

  Result<StagedGeneration> stage(const DirFd& staging, SealKind seal, Executor& executor, Quiescence& quiescence) {
    NextGeneration next = TRY(NextGeneration::begin(skel_, staging, newest_, seal, executor, quiescence));
    TRY(look_at_static());
    TRY(look_at_accounts());
    TRY(stage_changed_accounts(skel_, accounts_.changed, staging, static_entries_));
    TRY(count());
    add_staying();
    std::vector<std::uint64_t> inodes;  // by place in entries_; 0: a copy, or a directory
    inodes.reserve(entries_.size());
    for (ManifestEntry& entry : entries_) inodes.push_back(TRY(restore(entry, next)));
    TRY(restore_directories(next));
    count_names(inodes);
    for (const ManifestEntry& entry : displaced_) TRY(next.keep_old(entry));
    add_static();
    TRY(next.keep_accounts(accounts_.texts));
    TRY(next.write([this](ManifestWriter& writer) -> Result<> {
      for (const ManifestEntry& entry : entries_) TRY(writer.add(entry));
      return {};
    }));
    return StagedGeneration{std::move(report_), {}};
  }

  Result<GenerationReport> preview() {
    TRY(look_at_static());
    TRY(look_at_accounts());
    TRY(count());
    report_.generation = newest_ + 1;
    return std::move(report_);
  }

 private:
  static bool is_counted(const ManifestEntry& entry) {
    return entry.type != sys::FileType::directory && entry.part != Part::static_part;
  }
  [[nodiscard]] std::optional<unsigned> holder_of(const ManifestEntry& entry) const {
    if (find_path(staying_, entry.path) != staying_.end()) return std::nullopt;
    return kept_.holder(entry.part, entry.path, wanted_);
  }

  /// Static is of no generation: what it has now stays, and no other part of the new one has it as well.
  Result<> look_at_static() {
    static_entries_ = TRY(describe_tree(skel_.tree(Part::static_part), Part::static_part));
    std::erase_if(static_entries_, [](const ManifestEntry& entry) { return is_account_leftover(entry.path); });
    std::ranges::copy_if(entries_, std::back_inserter(wanted_static_),
                         [](const ManifestEntry& entry) { return entry.part == Part::static_part; });
    std::erase_if(entries_, [this](const ManifestEntry& entry) {
      if (entry.part == Part::static_part) return true;
      if (!stands_in_static(entry)) return false;
      if (entry.type != sys::FileType::directory) tell_static_stays(entry);
      return true;
    });
    return {};
  }

  /// Static has something at the path, or on the way to it, that both can't be.
  [[nodiscard]] bool stands_in_static(const ManifestEntry& entry) const {
    bool is_directory = entry.type == sys::FileType::directory;
    for (std::string_view path = entry.path; !path.empty(); path = parent_path(path)) {
      const auto found = find_path(static_entries_, path);
      if (found != static_entries_.end() && (!is_directory || found->type != sys::FileType::directory)) return true;
      is_directory = true;
    }
    return false;
  }

  void tell_static_stays(const ManifestEntry& entry) {
    std::string line = "/" + entry.path + ": static has it and stays as it is";
    if (const auto holder = holder_of(entry))
      line += "; generation " + std::to_string(wanted_) + "'s is in " + skel_.path() + "/generations/" +
              kept_files_name(*holder) + "/" + std::string(part_name(entry.part)) + "/" + entry.path;
    report_.set_aside.push_back(std::move(line));
  }

  /// The generation's files are those of its users and groups, by their numbers.
  Result<> look_at_accounts() {
    accounts_ = TRY(restore_static_accounts(skel_, wanted_, newest_));
    report_.accounts = accounts_.told;
    for (const ManifestEntry& entry : static_entries_) {
      if (account_file_at(entry.path)) continue;
      const auto then = find_path(wanted_static_, entry.path);
      const bool had = then != wanted_static_.end();
      const bool lost_user = accounts_.renumbered.uid.contains(entry.uid) && !(had && then->uid == entry.uid);
      const bool lost_group = accounts_.renumbered.gid.contains(entry.gid) && !(had && then->gid == entry.gid);
      if (!lost_user && !lost_group) continue;
      return refuse("roll back", skel_.name().text() + " " + std::to_string(wanted_),
                    std::string("static/") + entry.path + " belongs to " + (lost_user ? "user " : "group ") +
                        std::to_string(lost_user ? entry.uid : entry.gid) +
                        ", a number that was another's in generation " + std::to_string(wanted_) +
                        "; give that user or group another one in static first, with its files");
    }
    return {};
  }

  /// Nothing is kept of what static had: what has left it for another part since then stays there.
  [[nodiscard]] bool has_left_static(const ManifestEntry& today) const {
    const auto then = find_path(wanted_static_, today.path);
    return then != wanted_static_.end() && then->type != sys::FileType::directory && !stands_in_static(today);
  }

  /// With the directories on the way to them, which static had.
  void add_staying() {
    for (const ManifestEntry& entry : staying_) {
      for (std::string_view path = parent_path(entry.path);; path = parent_path(path)) {
        const auto is_it = [&](const ManifestEntry& other) { return other.path == path && other.part == entry.part; };
        const auto then = find_path(wanted_static_, path);
        if (std::ranges::any_of(entries_, is_it) || then == wanted_static_.end()) break;
        entries_.push_back(*then);
        entries_.back().part = entry.part;
      }
      entries_.push_back(entry);
    }
    std::ranges::sort(entries_, by_path_and_part);
  }

  /// What stays is today's; what is kept takes the place of today's, which is displaced. The newest manifest is read
  /// along with the wanted one.
  Result<> count() {
    report_.skel = skel_.name().text();
    report_.new_generation = true;
    auto wanted = entries_.begin();
    const auto skip = [&] {
      while (wanted != entries_.end() && !is_counted(*wanted)) ++wanted;
    };
    const auto count_absent = [&] {
      PartChanges& changes = report_.changes(wanted->part);
      ++(holder_of(*wanted) ? changes.added : changes.unchanged);
      ++wanted;
      skip();
    };
    skip();
    TRY(skel_.for_each_entry(newest_, [&](ManifestEntry today) -> Result<> {
      if (!is_counted(today)) return {};
      while (wanted != entries_.end() && wanted->path < today.path) count_absent();
      const bool both = wanted != entries_.end() && wanted->path == today.path;
      const bool stays = both && !holder_of(*wanted);
      if (both) ++(stays ? report_.changes(wanted->part).unchanged : report_.changes(wanted->part).changed);
      if (!both && has_left_static(today)) {
        ++report_.changes(today.part).unchanged;
        report_.notes.push_back("/" + today.path + ": static in generation " + std::to_string(wanted_) +
                                ", stays as it is in " + std::string(part_name(today.part)));
        staying_.push_back(std::move(today));
        return {};
      }
      if (!both) ++report_.changes(today.part).removed;
      if (!stays) displaced_.push_back(std::move(today));
      if (both) ++wanted;
      skip();
      return {};
    }));
    while (wanted != entries_.end()) count_absent();
    return {};
  }

  /// Numbers of links, by the names that each inode got.
  void count_names(const std::vector<std::uint64_t>& inodes) {
    std::vector<std::uint64_t> sorted = inodes;
    std::ranges::sort(sorted);
    for (std::size_t at = 0; at < inodes.size(); ++at)
      if (inodes[at] != 0)
        entries_[at].nlink = static_cast<std::uint32_t>(std::ranges::equal_range(sorted, inodes[at]).size());
  }

  /// Gives the inode if it is one that has, or may get, further names.
  Result<std::uint64_t> restore(ManifestEntry& entry, NextGeneration& next) {
    const DirFd target = TRY(sys::open_dirs(next.tree(entry.part), parent_path(entry.path)));
    if (entry.type == sys::FileType::directory) {
      if (!entry.path.empty()) TRY(sys::make_dir(target, last_name(entry.path), 0700));
      return 0;
    }
    const auto holder = holder_of(entry);
    const DirFd& root = holder ? kept_.root(*holder, entry.part) : skel_.tree(entry.part);
    const DirFd source = TRY(sys::open_dirs(root, parent_path(entry.path)));
    const Name name = last_name(entry.path);
    const sys::Stat stat = TRY(sys::stat(source, name));
    // A kept local file keeps its own inode: what is private has as many names as its part gives it.
    const bool copy = holder && entry.part != Part::global_part && stat.type == sys::FileType::regular;
    if (stat.type == sys::FileType::symlink && stat.mtime != entry.mtime) {
      TRY(remake_link(entry, source, target));
      return 0;
    }
    if (!copy && TRY(next.link(source, name, target, name))) return stat.inode;
    entry.nlink = 1;
    TRY(next.copy(source, name, next.tree(entry.part), entry.path));
    return TRY(sys::stat(target, name)).inode;
  }

  /// The same link as today's with the time of its generation: today's inode has the time of today's.
  static Result<> remake_link(ManifestEntry& entry, const DirFd& source, const DirFd& target) {
    const Name name = last_name(entry.path);
    TRY(sys::make_symlink(target, name, TRY(sys::read_link(source, name))));
    entry.nlink = 1;
    const Metadata metadata{entry.mode, entry.uid, entry.gid, entry.mtime, entry.mtime, TRY(sys::xattrs(source, name))};
    return apply_metadata(target, name, entry.type, metadata, Fresh::yes);
  }

  /// Static as it lies there, its directories as the restored trees have them.
  void add_static() {
    std::map<std::string_view, const ManifestEntry*> directories;
    for (const ManifestEntry& entry : entries_)
      if (entry.type == sys::FileType::directory) directories.emplace(entry.path, &entry);
    ManifestEntries added = static_entries_;
    for (ManifestEntry& entry : added) {
      const auto found = directories.find(entry.path);
      if (entry.type == sys::FileType::directory && found != directories.end()) {
        entry = *found->second;
        entry.part = Part::static_part;
      }
    }
    std::ranges::move(added, std::back_inserter(entries_));
    std::ranges::sort(entries_, by_path_and_part);
  }

  /// Directories get what their manifest says, and the attributes of today's if those are still the same.
  Result<> restore_directories(NextGeneration& next) {
    for (auto at = entries_.rbegin(); at != entries_.rend(); ++at) {
      if (at->type != sys::FileType::directory) continue;
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
  const unsigned newest_, wanted_;
  ManifestEntries entries_;
  const KeptFiles& kept_;
  ManifestEntries static_entries_, wanted_static_;  // today's, and those of the generation
  ManifestEntries staying_;                         // today's that the generation had in static
  RestoredAccounts accounts_;
  std::vector<ManifestEntry> displaced_;
  GenerationReport report_;
};

}  // namespace

Result<GenerationReport> roll_back(const Store& store, const GenerationRequest& request, unsigned generation) {
  const auto start = std::chrono::steady_clock::now();
  const SkelToChange opened = TRY(open_skel_to_change(store, request.skel, request.engine));
  const Skel& skel = opened.skel;
  const std::string asked = request.skel.text() + " " + std::to_string(generation);
  if (skel.merged()) return refuse("roll back", asked, "the skel is merged; split-skel first, or merge-skel --abort");
  const auto generations = TRY(skel.all_generations());
  const unsigned newest = generations.back();
  if (std::ranges::find(generations, generation) == generations.end())
    return refuse("roll back", asked, "no such generation");
  if (generation == newest) return refuse("roll back", asked, "it is the newest");
  Manifest wanted = TRY(skel.manifest(generation));
  Arena arena(workers(request.engine));
  auto report = arena.execute([&]() -> Result<GenerationReport> {
    const KeptFiles kept = TRY(KeptFiles::load(skel));
    Restoration restoration(skel, newest, std::move(wanted), kept);
    if (request.engine.dry_run == DryRun::yes) return restoration.preview();
    const auto executor = TRY(make_executor(request.engine, store.vservers()));
    return change_generation(store, request, skel, "rollback", newest,
                             [&](const DirFd& staging, SealKind seal, Quiescence& quiescence) {
                               return restoration.stage(staging, seal, *executor, quiescence);
                             });
  });
  if (report) report->elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace vskel
