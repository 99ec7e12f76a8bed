// The merged tree is distributed over the parts as a source of build-skel is, with one more question for every file:
// has the skel this one already? Then the old inode is linked, not the new one. What the package manager wrote anew
// without a change is found so, and so is what it moved.

#include "engine/skel/split.h"

#include <tbb/task_arena.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <set>

#include "engine/content/compare.h"
#include "engine/content/hash.h"
#include "engine/seal/quiesce.h"
#include "engine/seal/seal.h"
#include "engine/skel/describe.h"
#include "engine/skel/distribute.h"
#include "engine/skel/kept_files.h"
#include "engine/skel/merge.h"
#include "engine/skel/next_generation.h"
#include "engine/skel/suspects.h"
#include "engine/tree/remove.h"
#include "engine/txn/lock.h"

namespace vskel {

namespace {

std::string_view directory_of_path(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == path.npos ? std::string_view() : path.substr(0, slash);
}

Name name_of_path(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return *Name::check(path.c_str() + (slash == std::string::npos ? 0 : slash + 1));
}

/// Equal but for times and links; contents by their hashes, which the caller has proved or does not need to.
bool same_but_for_times(const ManifestEntry& a, const ManifestEntry& b) {
  return a.type == b.type && (a.type == sys::FileType::symlink || a.mode == b.mode) && a.uid == b.uid &&
         a.gid == b.gid && a.size == b.size && a.rdev == b.rdev && a.link_target == b.link_target &&
         a.content == b.content && a.xattrs == b.xattrs;
}

bool by_path_and_part(const ManifestEntry& a, const ManifestEntry& b) {
  return a.path != b.path ? a.path < b.path : a.part < b.part;
}

/// The old inodes of a skel, asked for every file of the merged tree.
class OldFiles {
 public:
  OldFiles(const Skel& skel, NextGeneration& next, const Manifest& last) : skel_(skel), next_(next) {
    for (const ManifestEntry& entry : last.entries)
      if (entry.part == Part::global_part && entry.type == sys::FileType::regular && entry.size > 0)
        by_shape_[{entry.size, entry.mode, entry.uid, entry.gid}].push_back(&entry);
  }

  Result<std::optional<ManifestEntry>> put(const Candidate& candidate, const DirFd& target, Name name) {
    const ManifestEntry* const same_path = next_.last_entry(candidate.path);
    if (same_path != nullptr && same_path->part == candidate.part && TRY(is_same(*same_path, candidate)))
      return link(*same_path, candidate, target, name);
    if (candidate.part != Part::global_part || !is_linkable(candidate.stat, candidate.metadata.xattrs))
      return std::nullopt;
    return put_moved(candidate, target, name);
  }

  /// Paths of the new generation that have an old inode, each with the path that it was found by.
  [[nodiscard]] const std::map<std::string, const ManifestEntry*>& reused() const { return reused_; }
  /// How many names of the new generation an old inode has in a part.
  [[nodiscard]] std::uint32_t names_of(const std::string& path) const {
    const auto inode = inodes_.find(path);
    return inode == inodes_.end() ? 1 : names_.at(inode->second);
  }

 private:
  using Shape = std::array<std::uint64_t, 4>;

  /// Sizes and metadata first; what they leave open the bytes decide, and no hash (relink.md).
  Result<bool> is_same(const ManifestEntry& entry, const Candidate& candidate) const {
    const sys::Stat& stat = candidate.stat;
    if (entry.type != sys::FileType::regular || entry.size != stat.size || entry.mode != stat.mode ||
        entry.uid != stat.uid || entry.gid != stat.gid || entry.xattrs != hash_xattrs(candidate.metadata.xattrs))
      return false;
    const DirFd dir = TRY(sys::open_dirs(skel_.tree(entry.part), directory_of_path(entry.path)));
    const Fd old = TRY(sys::open_trusted_file(dir, name_of_path(entry.path)));
    if (!candidate.metadata.xattrs.empty() && TRY(sys::xattrs(old)) != candidate.metadata.xattrs) return false;
    return TRY(compare_content(old, candidate.file))
    .same;
  }

  Result<std::optional<ManifestEntry>> put_moved(const Candidate& candidate, const DirFd& target, Name name) {
    const sys::Stat& stat = candidate.stat;
    const auto found = by_shape_.find({stat.size, stat.mode, stat.uid, stat.gid});
    if (found == by_shape_.end()) return std::nullopt;
    const ContentHash hash = TRY(hash_file(candidate.file, WithSha256::no));
    for (const ManifestEntry* entry : found->second)
      if (entry->content == hash.xxh128 && TRY(is_same(*entry, candidate)))
        return link(*entry, candidate, target, name);
    return std::nullopt;
  }

  Result<std::optional<ManifestEntry>> link(const ManifestEntry& old, const Candidate& candidate, const DirFd& target,
                                            Name name) {
    const DirFd dir = TRY(sys::open_dirs(skel_.tree(old.part), directory_of_path(old.path)));
    const Name old_name = name_of_path(old.path);
    const std::uint64_t inode = TRY(sys::stat(dir, old_name))
    .inode;
    // It has all the names that its file system allows: the merged tree's inode leads from now on.
    if (!TRY(next_.link(dir, old_name, target, name))) return std::nullopt;
    ManifestEntry entry = old;
    entry.path = candidate.path;
    entry.mtime = TRY(sys::stat(target, name))
    .mtime;
    const std::scoped_lock lock(mutex_);
    reused_.emplace(candidate.path, &old);
    inodes_.emplace(candidate.path, inode);
    ++names_[inode];
    return entry;
  }

  const Skel& skel_;
  NextGeneration& next_;
  std::map<Shape, std::vector<const ManifestEntry*>> by_shape_;
  std::mutex mutex_;  // guards what follows
  std::map<std::string, const ManifestEntry*> reused_;
  std::map<std::string, std::uint64_t> inodes_;
  std::map<std::uint64_t, std::uint32_t> names_;
};

/// One split under way.
class Split {
 public:
  Split(const Store& store, const SplitRequest& request, const Skel& skel, const Manifest& last)
      : store_(store), request_(request), skel_(skel), last_(last) {}

  /// Everything up to the publication; the report says whether there is anything to publish.
  Result<SplitReport> stage(const DirFd& staging, SealKind seal) {
    const auto executor = TRY(make_executor(request_.engine.backend));
    NextGeneration next = TRY(NextGeneration::begin(skel_, staging, last_, seal, *executor));
    const std::string merged = merged_name(skel_.name());
    const DirFd source = TRY(sys::open_dir(store_.vservers(), *Name::check(merged)));
    static_entries_ = TRY(describe_tree(skel_.tree(Part::static_part), Part::static_part));
    for (const ManifestEntry& entry : static_entries_)
      if (entry.type != sys::FileType::directory) static_paths_.insert(entry.path);
    OldFiles old_files(skel_, next, last_);
    layout_.emplace(TRY(skel_.layout()));
    Distributed distributed = TRY(distribute_merged(source, next, seal, *executor, old_files));
    for (ManifestEntry& entry : distributed.entries)
      if (entry.type == sys::FileType::regular && old_files.reused().contains(entry.path))
        entry.nlink = old_files.names_of(entry.path);
    report_.notes = std::move(distributed.notes);
    std::vector<ManifestEntry> entries = with_static(std::move(distributed.entries));
    compare(entries, old_files);
    TRY(set_aside(source, staging));
    if (!report_.new_generation) return std::move(report_);
    for (const ManifestEntry* entry : displaced_) TRY(next.keep_old(*entry));
    TRY(next.write({last_.generation + 1, std::move(entries)}));
    return std::move(report_);
  }

 private:
  Result<Distributed> distribute_merged(const DirFd& source, NextGeneration& next, SealKind seal, Executor& executor,
                                        OldFiles& old_files) {
    DistributeRequest distribution;
    distribution.source = &source;
    distribution.parts = {&next.tree(Part::global_part), &next.tree(Part::local_part), &next.tree(Part::static_part)};
    distribution.layout = &*layout_;
    distribution.transfer = Transfer::move;
    distribution.seal = seal;
    distribution.treatment = [this](const WalkDirectory& directory, const WalkEntry& entry) {
      return treat(directory, entry);
    };
    distribution.put_known = [&old_files](const Candidate& candidate, const DirFd& target, Name name) {
      return old_files.put(candidate, target, name);
    };
    distribution.executor = &executor;
    distribution.progress = request_.engine.progress;
    return distribute(distribution);
  }

  /// Asked from many tasks.
  Treatment treat(const WalkDirectory& directory, const WalkEntry& entry) {
    const std::string path = directory.path_to(entry.name);
    if (static_paths_.contains(path)) {
      const std::scoped_lock lock(mutex_);
      beside_static_.insert(path);
      return Treatment::leave_out;
    }
    // merge-skel made these, to have something to mount on.
    const bool mount_point = directory.depth == 0 && (path == "proc" || path == "sys");
    if (mount_point && entry.type == sys::FileType::directory && !had_directory(path)) return Treatment::leave_out;
    return Treatment::take;
  }

  [[nodiscard]] bool had_directory(std::string_view path) const {
    const auto found = std::ranges::lower_bound(
        last_.entries, path, {}, [](const ManifestEntry& entry) { return std::string_view(entry.path); });
    return found != last_.entries.end() && found->path == path;
  }

  /// Static as it lies there, with what the layout newly gives it. Its directories follow the merged tree's: one path
  /// has one owner and mode in all parts, in a manifest and in a vserver.
  [[nodiscard]] std::vector<ManifestEntry> with_static(std::vector<ManifestEntry> entries) const {
    std::map<std::string_view, const ManifestEntry*> directories;
    for (const ManifestEntry& entry : entries)
      if (entry.type == sys::FileType::directory) directories.emplace(entry.path, &entry);
    std::vector<ManifestEntry> out = static_entries_;
    for (ManifestEntry& entry : out) {
      const auto found = directories.find(entry.path);
      if (entry.type != sys::FileType::directory || found == directories.end()) continue;
      entry = *found->second;
      entry.part = Part::static_part;
    }
    const auto is_known = [&](const ManifestEntry& entry) {
      return entry.part == Part::static_part &&
             std::ranges::find(static_entries_, entry.path, &ManifestEntry::path) != static_entries_.end();
    };
    std::ranges::copy_if(entries, std::back_inserter(out), std::not_fn(is_known));
    std::ranges::sort(out, by_path_and_part);
    return out;
  }

  void compare(const std::vector<ManifestEntry>& entries, const OldFiles& old_files) {
    std::map<std::string_view, const ManifestEntry*> now, before;
    std::map<std::pair<std::string_view, Part>, const ManifestEntry*> directories_now, directories_before;
    const auto sort_out = [](const std::vector<ManifestEntry>& from, auto& files, auto& directories) {
      for (const ManifestEntry& entry : from) {
        if (entry.type == sys::FileType::directory) {
          directories.emplace(std::pair(std::string_view(entry.path), entry.part), &entry);
        } else {
          files.emplace(entry.path, &entry);
        }
      }
    };
    sort_out(entries, now, directories_now);
    sort_out(last_.entries, before, directories_before);
    for (const auto& [path, entry] : now) {
      const auto found = before.find(path);
      count(*entry, found == before.end() ? nullptr : found->second, old_files);
    }
    for (const auto& [path, entry] : before) {
      if (now.contains(path)) continue;
      ++changes(entry->part).removed;
      if (entry->part != Part::static_part) displaced_.push_back(entry);
    }
    const auto same_directory = [](const auto& a, const auto& b) {
      return a.first == b.first && same_but_for_times(*a.second, *b.second);
    };
    const PartChanges all = report_.all();
    report_.new_generation = all.changed + all.added + all.removed > 0 ||
                             !std::ranges::equal(directories_now, directories_before, same_directory);
  }

  void count(const ManifestEntry& now, const ManifestEntry* before, const OldFiles& old_files) {
    const auto reused = old_files.reused().find(now.path);
    const bool old_inode = reused != old_files.reused().end() && reused->second == before;
    const bool moved_part = before != nullptr && before->part != now.part;
    const bool same = before != nullptr && !moved_part && same_but_for_times(*before, now) &&
                      (now.type != sys::FileType::regular || old_inode || now.part == Part::static_part);
    if (same) {
      ++changes(now.part).unchanged;
      return;
    }
    ++(before == nullptr ? changes(now.part).added : changes(now.part).changed);
    const std::string path = "/" + now.path;
    if (moved_part)
      report_.moved.push_back(path + ": from " + std::string(part_name(before->part)) + " to " +
                              std::string(part_name(now.part)));
    if (const auto rule = layout_->ambiguity_of(now.path))
      report_.ambiguous.push_back(path + ": " + std::string(part_name(now.part)) + " by a rule that stands before '" +
                                  *rule + "'");
    if (const auto reason = reason_to_look(now)) report_.look_at.push_back(path + ": " + std::string(*reason));
    if (before != nullptr && before->part != Part::static_part) displaced_.push_back(before);
  }

  PartChanges& changes(Part part) { return report_.parts.at(static_cast<std::size_t>(part)); }

  /// What the merged tree has where static has a file: static is not touched, and the tree's is kept to be looked at,
  /// unless it is the same.
  Result<> set_aside(const DirFd& source, const DirFd& staging) {
    for (const std::string& path : beside_static_) {
      const DirFd dir = TRY(sys::open_dirs(source, directory_of_path(path)));
      const DirFd static_dir = TRY(sys::open_dirs(skel_.tree(Part::static_part), directory_of_path(path)));
      const Name name = name_of_path(path);
      if (TRY(is_the_same_file(dir, static_dir, name))) continue;
      const std::string file = generation_file_name(last_.generation + 1);
      report_.set_aside.push_back("/" + path + ": static has it and stays as it is; the merged tree's is in " +
                                  skel_.path() + "/generations/" + file.substr(0, file.rfind('.')) + ".set-aside/" +
                                  path);
      DirFd target = TRY(sys::ensure_dir(staging, "set-aside", 0700));
      for (std::string_view rest = directory_of_path(path); !rest.empty();) {
        const std::string component(rest.substr(0, rest.find('/')));
        rest.remove_prefix(std::min(rest.size(), component.size() + 1));
        target = TRY(sys::ensure_dir(target, *Name::check(component), 0700));
      }
      if (TRY(sys::stat(dir, name)).type != sys::FileType::directory) TRY(sys::link(dir, name, target, name));
    }
    return {};
  }

  static Result<bool> is_the_same_file(const DirFd& a_dir, const DirFd& b_dir, Name name) {
    const sys::Stat a = TRY(sys::stat(a_dir, name))
    , b = TRY(sys::stat(b_dir, name));
    if (a.type != b.type) return false;
    if (a.type == sys::FileType::symlink) return TRY(sys::read_link(a_dir, name))
    == TRY(sys::read_link(b_dir, name));
    if (a.type != sys::FileType::regular) return a.rdev == b.rdev;
    return TRY(compare_content(TRY(sys::open_trusted_file(a_dir, name)), TRY(sys::open_trusted_file(b_dir, name))))
    .same;
  }

  const Store& store_;
  const SplitRequest& request_;
  const Skel& skel_;
  const Manifest& last_;
  std::optional<Layout> layout_;
  std::vector<ManifestEntry> static_entries_;
  std::set<std::string> static_paths_;
  std::mutex mutex_;  // guards what follows
  std::set<std::string> beside_static_;
  std::vector<const ManifestEntry*> displaced_;
  SplitReport report_;
};

/// A generation made of what is kept and what is there, for rollback.
class Restoration {
 public:
  Restoration(const Skel& skel, const Manifest& last, const Manifest& wanted, const KeptFiles& kept)
      : skel_(skel), last_(last), wanted_(wanted), kept_(kept) {}

  Result<SplitReport> stage(const DirFd& staging, SealKind seal, Executor& executor) {
    NextGeneration next = TRY(NextGeneration::begin(skel_, staging, last_, seal, executor));
    std::vector<ManifestEntry> entries;
    for (const ManifestEntry& entry : wanted_.entries) {
      if (entry.part == Part::static_part) continue;
      entries.push_back(entry);
      TRY(restore(entries.back(), next, executor));
    }
    TRY(restore_directories(next));
    for (ManifestEntry& entry : entries)
      if (const auto inode = inodes_.find(entry.path); inode != inodes_.end()) entry.nlink = names_.at(inode->second);
    for (const ManifestEntry& entry : last_.entries)
      if (entry.type != sys::FileType::directory && entry.part != Part::static_part && !taken_.contains(entry.path)) {
        TRY(next.keep_old(entry));
        if (!restored_.contains(entry.path)) ++changes(entry.part).removed;
      }
    report_.new_generation = true;
    for (ManifestEntry& entry : TRY(describe_tree(skel_.tree(Part::static_part), Part::static_part))) {
      const auto same_directory = [&](const ManifestEntry& other) {
        return other.path == entry.path && other.type == sys::FileType::directory && other.part != Part::static_part;
      };
      const auto found = std::ranges::find_if(wanted_.entries, same_directory);
      if (entry.type == sys::FileType::directory && found != wanted_.entries.end()) {
        entry = *found;
        entry.part = Part::static_part;
      }
      entries.push_back(std::move(entry));
    }
    std::ranges::sort(entries, by_path_and_part);
    TRY(next.write({last_.generation + 1, std::move(entries)}));
    return std::move(report_);
  }

 private:
  PartChanges& changes(Part part) { return report_.parts.at(static_cast<std::size_t>(part)); }

  Result<> restore(ManifestEntry& entry, NextGeneration& next, Executor& executor) {
    const DirFd target = TRY(sys::open_dirs(next.tree(entry.part), directory_of_path(entry.path)));
    if (entry.type == sys::FileType::directory) {
      if (!entry.path.empty()) TRY(sys::make_dir(target, name_of_path(entry.path), 0700));
      return {};
    }
    const auto holder = kept_.holder(entry.part, entry.path, wanted_.generation);
    const DirFd& root = holder ? kept_.root(*holder, entry.part) : skel_.tree(entry.part);
    const DirFd source = TRY(sys::open_dirs(root, directory_of_path(entry.path)));
    const Name name = name_of_path(entry.path);
    const sys::Stat stat = TRY(sys::stat(source, name));
    if (!holder) taken_.insert(entry.path);
    restored_.insert(entry.path);
    ++(!holder                                  ? changes(entry.part).unchanged
       : next.last_entry(entry.path) != nullptr ? changes(entry.part).changed
                                                : changes(entry.part).added);
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

  /// Directories get what their manifest says, and the attributes of today's if those are still the same.
  Result<> restore_directories(NextGeneration& next) {
    for (auto at = wanted_.entries.rbegin(); at != wanted_.entries.rend(); ++at) {
      if (at->type != sys::FileType::directory || at->part == Part::static_part) continue;
      Metadata metadata{at->mode, at->uid, at->gid, at->mtime, at->mtime, {}};
      if (at->xattrs) {
        const auto today = sys::open_dirs(skel_.tree(at->part), at->path);
        if (today) metadata.xattrs = TRY(sys::xattrs(*today));
        if (hash_xattrs(metadata.xattrs) != at->xattrs) {
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
  std::set<std::string> taken_;     // paths whose inode is today's
  std::set<std::string> restored_;  // all paths
  std::map<std::string, std::uint64_t> inodes_;
  std::map<std::uint64_t, std::uint32_t> names_;
  SplitReport report_;
};

int workers(const EngineOptions& engine) {
  return static_cast<int>(engine.jobs == 0 ? sys::usable_cpus() : engine.jobs);
}

Result<SealKind> seal_to_use(const Store& store, const EngineOptions& engine) {
  const auto seal = TRY(choose_seal(store.staging(), std::nullopt));
  if (!seal && engine.warn) engine.warn("this file system takes no seal: global is not sealed");
  return seal.value_or(SealKind::none);
}

/// A dry run's.
SplitReport untouched(const SkelName& skel, unsigned generation) {
  SplitReport report;
  report.skel = skel.text();
  report.generation = generation;
  return report;
}

std::string_view seal_word(SealKind seal) { return must_lift(seal) ? "immutable" : "none"; }

/// From the intent to the end of one operation; `stage` makes the staging and says what it made.
template <class Stage>
Result<SplitReport> in_transaction(const Store& store, const SplitRequest& request, const Skel& skel,
                                   std::string_view operation, unsigned last, Stage stage) {
  const SealKind seal = TRY(seal_to_use(store, request.engine));
  std::optional<Quiescence> quiescence;
  if (must_lift(seal)) quiescence = TRY(Quiescence::hold(TRY(request.tenants(skel)), request.quiesce));
  Intent intent = TRY(Intent::begin(store, {{"version", 1},
                                            {"operation", operation},
                                            {"skel", skel.name().text()},
                                            {"generation", last},
                                            {"seal", seal_word(seal)}}));
  const DirFd staging = TRY(sys::ensure_dir(store.staging(), *Name::check(intent.id()), 0700));
  Result<SplitReport> staged = stage(staging, seal);
  if (staged) {
    auto announced = sys::sync_file_system(staging);
    if (announced) announced = intent.record({{"phase", staged->new_generation ? "publish" : "unchanged"}});
    if (!announced) staged = std::unexpected(std::move(announced).error());
  }
  auto finished = finish_generation(store, intent, Trash::empty);
  if (!staged) return staged;
  TRY(finished);
  staged->skel = skel.name().text();
  staged->generation = last + (staged->new_generation ? 1 : 0);
  return staged;
}

}  // namespace

PartChanges SplitReport::all() const {
  PartChanges sum;
  for (const PartChanges& part : parts) {
    sum.changed += part.changed;
    sum.added += part.added;
    sum.removed += part.removed;
    sum.unchanged += part.unchanged;
  }
  return sum;
}

Result<SplitReport> split_skel(const Store& store, const SplitRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  TRY(Skel::open(store, request.skel));
  std::optional<Lock> lock;
  if (request.engine.dry_run == DryRun::no)
    lock = TRY(Lock::take(store, "skel." + request.skel.text(), request.engine.wait));
  const Skel skel = TRY(Skel::open(store, request.skel));
  if (!skel.merged()) return refuse("split skel", request.skel.text(), "the skel is not merged; merge-skel first");
  tbb::task_arena arena(workers(request.engine));
  TRY(arena.execute([&] { return require_idle_merge(store, request.skel); }));
  const unsigned newest = TRY(skel.newest_generation());
  Manifest last = TRY(skel.manifest(newest));
  last.generation = newest;
  if (request.engine.dry_run == DryRun::yes) return untouched(request.skel, newest);
  auto report = arena.execute([&] {
    return in_transaction(store, request, skel, "split-skel", newest, [&](const DirFd& staging, SealKind seal) {
      return Split(store, request, skel, last).stage(staging, seal);
    });
  });
  if (report) report->elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

Result<SplitReport> roll_back(const Store& store, const SplitRequest& request, unsigned generation) {
  const auto start = std::chrono::steady_clock::now();
  TRY(Skel::open(store, request.skel));
  std::optional<Lock> lock;
  if (request.engine.dry_run == DryRun::no)
    lock = TRY(Lock::take(store, "skel." + request.skel.text(), request.engine.wait));
  const Skel skel = TRY(Skel::open(store, request.skel));
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
  if (request.engine.dry_run == DryRun::yes) return untouched(request.skel, newest);
  tbb::task_arena arena(workers(request.engine));
  auto report = arena.execute([&]() -> Result<SplitReport> {
    const KeptFiles kept = TRY(KeptFiles::load(skel));
    const auto executor = TRY(make_executor(request.engine.backend));
    return in_transaction(store, request, skel, "rollback", newest, [&](const DirFd& staging, SealKind seal) {
      return Restoration(skel, last, wanted, kept).stage(staging, seal, *executor);
    });
  });
  if (report) report->elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace vskel
