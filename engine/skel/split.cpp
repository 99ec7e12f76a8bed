// The merged tree is distributed over the parts as a source of build-skel is, with one more question for every file:
// has the skel this one already? Then the old inode is linked, not the new one. What the package manager wrote anew
// without a change is found so, and so is what it moved.

#include "engine/skel/split.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "engine/content/compare.h"
#include "engine/content/hash.h"
#include "engine/seal/seal.h"
#include "engine/skel/account_files.h"
#include "engine/skel/database_leftovers.h"
#include "engine/skel/describe.h"
#include "engine/skel/distribute.h"
#include "engine/skel/host_traces.h"
#include "engine/skel/kept_files.h"
#include "engine/skel/merge.h"
#include "engine/skel/next_entries.h"
#include "engine/skel/next_generation.h"
#include "engine/skel/sieve.h"
#include "engine/skel/skel_to_change.h"
#include "engine/skel/suspects.h"
#include "engine/skel/token_files.h"
#include "engine/skel/unfinished_packages.h"
#include "engine/tree/arena.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

/// The last generation as it lies in the skel's parts, to compare the merged tree's files with.
class OldEntries {
 public:
  OldEntries(const Skel& skel, const ManifestEntries& last) : skel_(skel), last_(last) {}

  /// The entry of that path, if it is no directory and of that part.
  [[nodiscard]] const ManifestEntry* find(std::string_view path, Part part) const {
    const auto found = find_path(last_, path);
    const bool fits = found != last_.end() && found->part == part && found->type != sys::FileType::directory;
    return fits ? &*found : nullptr;
  }
  [[nodiscard]] std::size_t index_of(const ManifestEntry& entry) const {
    const auto found = std::ranges::lower_bound(last_, entry, by_path_and_part);
    return static_cast<std::size_t>(found - last_.begin());
  }
  [[nodiscard]] Result<DirFd> directory_of(const ManifestEntry& entry) const {
    return sys::open_dirs(skel_.tree(entry.part), parent_path(entry.path));
  }
  [[nodiscard]] Result<sys::Stat> stat(const ManifestEntry& entry) const {
    return sys::stat(TRY(directory_of(entry)), last_name(entry.path));
  }

  /// Whether the names of one inode of the merged tree that go to `part` are the very names that one inode of the skel
  /// has there. Whoever writes to a name writes to all of them: which they are belongs to what a file is.
  [[nodiscard]] Result<bool> has_names(std::span<const std::string> paths, Part part) const {
    std::optional<std::uint64_t> inode;
    for (const std::string& path : paths) {
      const ManifestEntry* const entry = find(path, part);
      if (entry == nullptr || entry->nlink != paths.size()) return false;
      if (paths.size() == 1) return true;
      const std::uint64_t own = TRY(stat(*entry)).inode;
      if (inode.value_or(own) != own) return false;
      inode = own;
    }
    return true;
  }

 private:
  const Skel& skel_;
  const ManifestEntries& last_;
};

/// The old inodes of a skel, asked for every file of the merged tree. One goes along with all of its names or with
/// none.
class OldFiles final : public KnownFiles {
 public:
  OldFiles(const Skel& skel, const DirFd& merged, const Sieve& sieve, NextGeneration& next, const Manifest& last,
           NextEntries& entries)
      : merged_(merged), sieve_(sieve), next_(next), last_(last.entries), old_(skel, last.entries), entries_(entries) {
    for (std::size_t at = 0; at < last_.size(); ++at)
      if (last_[at].part == Part::global_part && last_[at].type == sys::FileType::regular && last_[at].size > 0)
        by_shape_.push_back(static_cast<std::uint32_t>(at));
    std::ranges::sort(by_shape_, {}, [this](std::uint32_t at) { return shape_of(last_[at]); });
  }

  Result<std::optional<std::size_t>> find(const Candidate& candidate) override {
    if (candidate.part == Part::static_part) return std::nullopt;
    const ManifestEntry* const entry = old_.find(candidate.paths.front(), candidate.part);
    if (candidate.paths.size() == 1 && sieve_.empties(candidate.paths.front()))
      return entry != nullptr && is_emptied(*entry, candidate) ? std::optional(old_.index_of(*entry)) : std::nullopt;
    const bool same = entry != nullptr && TRY(is_same(*entry, candidate));
    if (same && TRY(old_.has_names(candidate.paths, candidate.part))) return old_.index_of(*entry);
    // A package took its names apart, or joined others with it.
    if (same || (candidate.paths.size() > 1 && has_old_name(candidate))) return std::nullopt;
    if (candidate.part != Part::global_part || !is_linkable(candidate.stat, candidate.metadata.xattrs))
      return std::nullopt;
    return find_moved(candidate);
  }

  /// Of a file that becomes an empty one, and was one before. Nothing is known of when it was emptied.
  static bool is_emptied(const ManifestEntry& old, const Candidate& candidate) {
    const sys::Stat& stat = candidate.stat;
    return old.type == sys::FileType::regular && old.size == 0 && old.mode == stat.mode && old.uid == stat.uid &&
           old.gid == stat.gid && old.xattrs() == hash_xattrs(candidate.metadata.xattrs);
  }

  Result<bool> link(std::size_t known, const DirFd& target, Name name) override {
    const ManifestEntry& old = last_[known];
    // It has all the names that its file system allows: the merged tree's inode leads from now on.
    return next_.link(TRY(old_.directory_of(old)), last_name(old.path), target, name);
  }

  Result<> unlink(std::size_t known, const DirFd& target, Name name) override {
    const ManifestEntry& old = last_[known];
    return next_.unlink(TRY(old_.directory_of(old)), last_name(old.path), target, name);
  }

  Result<> keep(std::size_t known, const Candidate& candidate) override {
    const ManifestEntry& old = last_[known];
    const sys::Time mtime = TRY(old_.stat(old)).mtime;
    const auto names = static_cast<std::uint32_t>(candidate.paths.size());
    const std::scoped_lock lock(mutex_);
    for (const std::string& path : candidate.paths) {
      if (old.path == candidate.paths.front()) {
        const std::size_t at = old_.index_of(*old_.find(path, candidate.part));
        entries_.keep(at);
        entries_.set_mtime(at, mtime);
        continue;
      }
      ManifestEntry& entry = elsewhere_.emplace_back(old);
      entry.path = path;
      entry.mtime = mtime;
      entry.nlink = names;
    }
    return {};
  }

  /// When all files are put: the entries of what got an old inode at another path than before.
  void finish(ManifestEntries& others) {
    std::ranges::move(elsewhere_, std::back_inserter(others));
    elsewhere_.clear();
  }

 private:
  using Shape = std::array<std::uint64_t, 4>;

  static Shape shape_of(const ManifestEntry& entry) { return {entry.size, entry.mode, entry.uid, entry.gid}; }

  /// Sizes and metadata first; what they leave open the bytes decide, and no hash (relink.md).
  Result<bool> is_same(const ManifestEntry& entry, const Candidate& candidate) const {
    const sys::Stat& stat = candidate.stat;
    if (entry.type != sys::FileType::regular || entry.size != stat.size || entry.mode != stat.mode ||
        entry.uid != stat.uid || entry.gid != stat.gid || !same_time(entry.mtime, stat.mtime) ||
        entry.xattrs() != hash_xattrs(candidate.metadata.xattrs))
      return false;
    const Fd old = TRY(sys::open_trusted_file(TRY(old_.directory_of(entry)), last_name(entry.path)));
    if (!candidate.metadata.xattrs.empty() && TRY(sys::xattrs(old)) != candidate.metadata.xattrs) return false;
    return TRY(compare_content(old, candidate.file)).same;
  }

  [[nodiscard]] bool has_old_name(const Candidate& candidate) const {
    return std::ranges::any_of(candidate.paths,
                               [&](const std::string& path) { return old_.find(path, candidate.part) != nullptr; });
  }

  /// What merely equals another file does not become one inode with it: private copies of the two would be one as well.
  /// So an old inode goes along with one inode of the merged tree, and not while an old path of it still has another.
  Result<std::optional<std::size_t>> find_moved(const Candidate& candidate) {
    const sys::Stat& stat = candidate.stat;
    const auto found = std::ranges::equal_range(by_shape_, Shape{stat.size, stat.mode, stat.uid, stat.gid}, {},
                                                [this](std::uint32_t at) { return shape_of(last_[at]); });
    if (found.empty()) return std::nullopt;
    const ContentHash hash = TRY(hash_file(candidate.file, WithSha256::no));
    std::map<std::uint64_t, std::size_t> free;
    std::set<std::uint64_t> taken;
    for (const std::uint32_t at : found) {
      const ManifestEntry& entry = last_[at];
      if (entry.content != hash.xxh128) continue;
      const std::uint64_t inode = TRY(old_.stat(entry)).inode;
      if (TRY(stays_as_another(entry, candidate))) taken.insert(inode);
      free.emplace(inode, at);
    }
    for (const auto& [inode, at] : free)
      if (!taken.contains(inode) && TRY(is_same(last_[at], candidate)) && claim(inode, stat.inode)) return at;
    return std::nullopt;
  }

  /// Does the merged tree have a file at an old path, as far as stat(2) tells unchanged, that is not the candidate?
  Result<bool> stays_as_another(const ManifestEntry& entry, const Candidate& candidate) const {
    const DirFd dir = TRY(open_dirs_if_there(merged_, parent_path(entry.path)));
    if (!dir.open()) return false;
    const auto there = TRY(sys::stat_if_there(dir, last_name(entry.path)));
    return there && there->inode != candidate.stat.inode && there->type == entry.type && there->size == entry.size &&
           there->mode == entry.mode && there->uid == entry.uid && there->gid == entry.gid;
  }

  bool claim(std::uint64_t old_inode, std::uint64_t merged_inode) {
    const std::scoped_lock lock(mutex_);
    return moved_.emplace(old_inode, merged_inode).first->second == merged_inode;
  }

  const DirFd& merged_;
  const Sieve& sieve_;
  NextGeneration& next_;
  const ManifestEntries& last_;
  const OldEntries old_;
  std::vector<std::uint32_t> by_shape_;  // indices in last_
  std::mutex mutex_;                     // guards what follows
  NextEntries& entries_;
  ManifestEntries elsewhere_;
  std::map<std::uint64_t, std::uint64_t> moved_;  // old inode -> the merged tree's that it stands for
};

/// One split under way.
class Split {
 public:
  Split(const Store& store, const GenerationRequest& request, const Skel& skel, const Manifest& last)
      : store_(store), request_(request), skel_(skel), last_(last) {}

  /// Everything up to the publication; the report says whether there is anything to publish.
  Result<StagedGeneration> stage(const DirFd& staging, SealKind seal, Quiescence& quiescence) {
    const DirFd source = TRY(look_at_trees());
    TRY(stage_changed_accounts(skel_, accounts_.changed, staging, static_entries_));
    const auto executor = TRY(make_executor(request_.engine, store_.vservers()));
    NextGeneration next = TRY(NextGeneration::begin(skel_, staging, last_.generation, seal, *executor, quiescence));
    NextEntries entries(last_.entries);
    OldFiles old_files(skel_, source, *sieve_, next, last_, entries);
    Distributed distributed = TRY(distribute_merged(source, next, seal, *executor, old_files));
    old_files.finish(distributed.entries);
    std::ranges::move(distributed.notes, std::back_inserter(report_.notes));
    std::ranges::move(sieve_->entries(), std::back_inserter(distributed.entries));
    TRY(follow_token_files(source, &staging));
    entries.add(with_static(std::move(distributed.entries)));
    TRY(compare(entries));
    TRY(tell_what_stays_behind(source));
    if (!aside_.empty()) TRY(set_aside(source, staging, next));
    TRY(write_down_keys(staging));
    if (report_.new_generation) {
      for (const ManifestEntry* entry : displaced_) TRY(next.keep_old(*entry));
      TRY(next.keep_accounts(TRY(all_accounts(next.tree(Part::static_part)))));
      TRY(next.write([&entries](ManifestWriter& writer) {
        return entries.for_each(
            [&writer](const ManifestEntry& entry, const ManifestEntry*) { return writer.add(entry); });
      }));
    }
    return StagedGeneration{std::move(report_), aside_.empty() ? std::string() : aside_name_};
  }

  /// The same report from a look at the merged tree as it stands. Hashes are good enough to say what would be done.
  Result<GenerationReport> preview() {
    const DirFd source = TRY(look_at_trees());
    const OldEntries old(skel_, last_.entries);
    const auto part_of = [this](const WalkDirectory& directory, const WalkEntry& entry) -> std::optional<Part> {
      const std::string path = directory.path_to(entry.name);
      if (treat(directory, entry) == Treatment::leave_out || layout_->left_out(path, entry.type)) return std::nullopt;
      return layout_->part_of(path);
    };
    NextEntries entries(last_.entries);
    NamesOfInodes many_names;
    const auto is_new = [&](const ManifestEntry& entry, const sys::Stat& stat) {
      note_lost_flag(entry.path, stat);
      if (entry.type == sys::FileType::directory) return true;
      if (stat.nlink > 1) many_names[{entry.part, stat.inode}].push_back(entry.path);
      const ManifestEntry* const before = old.find(entry.path, entry.part);
      const bool stays_empty = before != nullptr && before->size == 0 && sieve_->empties(entry.path);
      if (before == nullptr || stat.nlink > 1 || before->nlink > 1) return true;
      if (!look_the_same(*before, entry) && !stays_empty) return true;
      entries.keep(old.index_of(*before));
      return false;
    };
    ManifestEntries others = TRY(describe_tree(source, part_of, is_new));
    TRY(follow_token_files(source, nullptr));
    TRY(keep_many_names(many_names, old, others, entries));
    add_directories_of_parts(others, entries);
    entries.add(with_static(std::move(others)));
    TRY(compare(entries));
    TRY(tell_what_stays_behind(source));
    report_.generation = last_.generation + (report_.new_generation ? 1 : 0);
    return std::move(report_);
  }

 private:
  /// Gives the merged tree.
  Result<DirFd> look_at_trees() {
    report_.skel = skel_.name().text();
    layout_.emplace(TRY(skel_.layout()));
    sieve_.emplace(*layout_);
    static_entries_ = TRY(describe_tree(skel_.tree(Part::static_part), Part::static_part));
    // A tool of the administrator's may have left them there.
    std::erase_if(static_entries_, [](const ManifestEntry& entry) { return is_account_leftover(entry.path); });
    for (const ManifestEntry& entry : static_entries_) static_types_.emplace(entry.path, entry.type);
    const std::string merged = merged_name(skel_.name());
    DirFd source = TRY(sys::open_dir(store_.vservers(), *Name::check(merged)));
    const sys::Stat root = TRY(sys::stat(source));
    if (root.immutable || root.append)
      return fail("split skel", sys::path_of(source), "immutable or append-only itself; chattr -ia it first");
    accounts_ = TRY(split_accounts(skel_, source, last_.generation));
    report_.accounts = accounts_.told;
    for (const SplitAccounts::Changed& changed : accounts_.changed) describe_changed_accounts(changed, static_entries_);
    beside_static_.insert(accounts_.set_aside.begin(), accounts_.set_aside.end());
    return source;
  }

  /// Static's, with what the layout newly gives it.
  Result<AccountTexts> all_accounts(const DirFd& added) const {
    AccountTexts texts = accounts_.texts;
    AccountTexts fresh = TRY(read_account_files(added));
    for (std::size_t at = 0; at < texts.size(); ++at)
      if (!texts[at]) texts[at] = std::move(fresh[at]);
    return texts;
  }

  using NamesOfInodes = std::map<std::pair<Part, std::uint64_t>, std::vector<std::string>>;

  void note_lost_flag(std::string_view path, const sys::Stat& stat) {
    if (auto line = lost_flag(path, stat)) report_.notes.push_back(std::move(*line));
  }

  /// Moves those of `others` to what is kept that are the names of one inode as before; all get their number of names.
  static Result<> keep_many_names(NamesOfInodes& many_names, const OldEntries& old, ManifestEntries& others,
                                  NextEntries& entries) {
    std::map<std::pair<Part, std::string_view>, std::uint32_t> counts;  // 0: kept
    for (auto& [inode, paths] : many_names) {
      const Part part = inode.first;
      std::ranges::sort(paths);
      const bool same = TRY(old.has_names(paths, part));
      for (const std::string& path : paths) counts[{part, path}] = static_cast<std::uint32_t>(same ? 0 : paths.size());
    }
    std::erase_if(others, [&](ManifestEntry& entry) {
      if (entry.type == sys::FileType::directory) return false;
      const auto found = counts.find({entry.part, entry.path});
      entry.nlink = found == counts.end() ? 1 : std::max(found->second, 1U);
      const ManifestEntry* const before = old.find(entry.path, entry.part);
      if (found == counts.end() || found->second != 0 || !look_the_same(*before, entry)) return false;
      entries.keep(old.index_of(*before));
      return true;
    });
    return {};
  }

  /// As distribution makes them: every part has the directories on the way to what it has, and the root.
  void add_directories_of_parts(ManifestEntries& entries, const NextEntries& kept) const {
    std::map<std::string, ManifestEntry, std::less<>> directories;
    std::set<std::pair<std::string, Part>> there;
    for (const ManifestEntry& entry : entries) {
      if (entry.type != sys::FileType::directory) continue;
      directories.emplace(entry.path, entry);
      there.emplace(entry.path, entry.part);
    }
    const auto add = [&](std::string_view path, Part part) {
      const auto found = directories.find(path);
      if (found == directories.end() || !there.emplace(path, part).second) return false;
      ManifestEntry& added = entries.emplace_back(found->second);
      added.part = part;
      return true;
    };
    for (const Part part : {Part::global_part, Part::local_part, Part::static_part}) add("", part);
    const auto add_way_to = [&](std::string_view path, Part part) {
      while (!path.empty()) {
        path = parent_path(path);
        if (!add(path, part)) break;
      }
    };
    for (std::size_t at = 0, described = entries.size(); at < described; ++at) {
      const std::string path = entries[at].path;
      add_way_to(path, entries[at].part);
    }
    for (std::size_t at = 0; at < last_.entries.size(); ++at)
      if (kept.keeps(at)) add_way_to(last_.entries[at].path, last_.entries[at].part);
  }

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
    distribution.known = &old_files;
    distribution.put_instead = [this](const Candidate& candidate, const DirFd& target, Name name) {
      return sieve_->put(candidate, target, name);
    };
    distribution.executor = &executor;
    distribution.progress = request_.engine.progress;
    if (request_.engine.progress != nullptr)
      request_.engine.progress->total = static_cast<std::uint64_t>(std::ranges::count_if(
          last_.entries, [](const ManifestEntry& entry) { return entry.type != sys::FileType::directory; }));
    return distribute(distribution);
  }

  /// Asked from many tasks.
  Treatment treat(const WalkDirectory& directory, const WalkEntry& entry) {
    const std::string path = directory.path_to(entry.name);
    if (entry.type == sys::FileType::regular && accounts_.handled.contains(path)) return Treatment::leave_out;
    if (entry.type != sys::FileType::directory && is_account_leftover(path)) return Treatment::leave_out;
    const auto found = static_types_.find(path);
    const auto is_directory = [](sys::FileType type) { return type == sys::FileType::directory; };
    if (found != static_types_.end() && !(is_directory(found->second) && is_directory(entry.type))) {
      const std::scoped_lock lock(mutex_);
      beside_static_.insert(path);
      return Treatment::leave_out;
    }
    if (is_left_by_readers(directory, entry)) return Treatment::leave_out;
    // merge-skel made these, to have something to mount on.
    const bool mount_point = directory.depth == 0 && (path == "proc" || path == "sys");
    if (mount_point && entry.type == sys::FileType::directory && !had_directory(path)) return Treatment::leave_out;
    return sieve_->treat(directory, entry);
  }

  [[nodiscard]] bool had_directory(std::string_view path) const {
    const auto found = std::ranges::lower_bound(
        last_.entries, path, {}, [](const ManifestEntry& entry) { return std::string_view(entry.path); });
    return found != last_.entries.end() && found->path == path;
  }

  /// Static as it lies there, with what the layout newly gives it. Its directories follow the merged tree's: one path
  /// has one owner and mode in all parts, in a manifest and in a vserver.
  [[nodiscard]] ManifestEntries with_static(ManifestEntries entries) const {
    const auto is_known = [&](const ManifestEntry& entry) {
      return entry.part == Part::static_part &&
             std::ranges::find(static_entries_, entry.path, &ManifestEntry::path) != static_entries_.end();
    };
    ManifestEntries known = static_entries_;
    for (ManifestEntry& entry : known) {
      const auto found = find_path(entries, entry.path);
      if (entry.type != sys::FileType::directory || found == entries.end() || found->type != entry.type) continue;
      entry = *found;
      entry.part = Part::static_part;
    }
    std::erase_if(entries, is_known);
    std::ranges::move(known, std::back_inserter(entries));
    std::ranges::sort(entries, by_path_and_part);
    return entries;
  }

  /// The last generation's entries of one kind, in their order.
  class Before {
   public:
    enum class Kind { directories, others };
    Before(const ManifestEntries& all, Kind kind) : at_(all.begin()), end_(all.end()), kind_(kind) { skip(); }
    /// nullptr at the end.
    [[nodiscard]] const ManifestEntry* get() const { return at_ == end_ ? nullptr : &*at_; }
    void next() {
      ++at_;
      skip();
    }

   private:
    void skip() {
      while (at_ != end_ && (at_->type == sys::FileType::directory) != (kind_ == Kind::directories)) ++at_;
    }
    ManifestEntries::const_iterator at_, end_;
    Kind kind_;
  };

  /// Both generations side by side, in their order.
  Result<> compare(const NextEntries& entries) {
    Before directories(last_.entries, Before::Kind::directories), others(last_.entries, Before::Kind::others);
    bool same_directories = true;
    const auto gone = [&] {
      const ManifestEntry& entry = *others.get();
      const bool says_nothing = entry.type == sys::FileType::regular && is_readers_leftover(entry.path, entry.size);
      if (!says_nothing) ++report_.changes(entry.part).removed;
      if (entry.part != Part::static_part) displaced_.push_back(&entry);
      others.next();
    };
    TRY(entries.for_each([&](const ManifestEntry& now, const ManifestEntry* kept) -> Result<> {
      if (now.type == sys::FileType::directory) {
        const ManifestEntry* const before = directories.get();
        same_directories = same_directories && before != nullptr && now.path == before->path &&
                           now.part == before->part && look_the_same(now, *before);
        if (before != nullptr) directories.next();
        return {};
      }
      while (others.get() != nullptr && others.get()->path < now.path) gone();
      const bool both = others.get() != nullptr && others.get()->path == now.path;
      count(now, both ? others.get() : nullptr, kept != nullptr);
      if (both) others.next();
      return {};
    }));
    while (others.get() != nullptr) gone();
    const PartChanges all = report_.all();
    report_.new_generation =
        all.changed + all.added + all.removed > 0 || !same_directories || directories.get() != nullptr;
    return {};
  }

  /// A regular file that only looks like the last generation's, and was not kept, is another.
  void count(const ManifestEntry& now, const ManifestEntry* before, bool kept) {
    const bool moved_part = before != nullptr && before->part != now.part;
    const bool same_names = now.type == sys::FileType::regular ? kept : before != nullptr && now.nlink == before->nlink;
    const bool same = before != nullptr && !moved_part && look_the_same(*before, now) &&
                      (now.part == Part::static_part || same_names);
    if (same) {
      ++report_.changes(now.part).unchanged;
      return;
    }
    ++(before == nullptr ? report_.changes(now.part).added : report_.changes(now.part).changed);
    const std::string path = "/" + now.path;
    if (moved_part)
      report_.moved.push_back(path + ": from " + std::string(part_name(before->part)) + " to " +
                              std::string(part_name(now.part)));
    if (const auto rule = layout_->ambiguity_of(now.path))
      report_.ambiguous.push_back(path + ": " + std::string(part_name(now.part)) + " by a rule that stands before '" +
                                  *rule + "'");
    if (now.path.starts_with("etc/")) new_configuration_.push_back(now);
    if (const auto reason = reason_to_look(now)) report_.look_at.push_back(path + ": " + std::string(*reason));
    if (before != nullptr && before->part != Part::static_part) displaced_.push_back(before);
  }

  /// What the merged tree has and the skel does not get, and what of it has the name of this host in it, which package
  /// scripts have asked.
  Result<> tell_what_stays_behind(const DirFd& source) {
    TRY(sieve_->count_scratch(source));
    report_.left_out = sieve_->left_out();
    TRY(look_beside_static(source));
    TRY(look_at_omitted());
    const std::string label = TRY(own_host_label());
    for (const Part part : {Part::global_part, Part::local_part})
      TRY(look_for_host(source, part, new_configuration_, label, report_.look_at));
    return {};
  }

  /// What the merged tree has where static has a file: static is not touched, and the tree's is kept to be looked at,
  /// unless it is the same.
  Result<> look_beside_static(const DirFd& source) {
    for (const std::string& path : beside_static_) {
      const DirFd dir = TRY(sys::open_dirs(source, parent_path(path)));
      const DirFd static_dir = TRY(sys::open_dirs(skel_.tree(Part::static_part), parent_path(path)));
      const Name name = last_name(path);
      if (TRY(is_the_same_file(dir, static_dir, name))) continue;
      TRY(put_aside(path, "static has it and stays as it is"));
    }
    return {};
  }

  /// Files of static with a token, as package scripts left them in the merged tree: static's follow, with the token in
  /// its place, where they are still what was laid in. With `staging` what changes is staged.
  Result<> follow_token_files(const DirFd& source, const DirFd* staging) {
    for (const std::string& path : std::set(beside_static_)) {
      const DirFd dir = TRY(sys::open_dirs(source, parent_path(path)));
      const DirFd static_dir = TRY(sys::open_dirs(skel_.tree(Part::static_part), parent_path(path)));
      const Name name = last_name(path);
      const sys::Stat merged = TRY(sys::stat(dir, name)), own = TRY(sys::stat(static_dir, name));
      const bool regular = merged.type == sys::FileType::regular && own.type == sys::FileType::regular;
      if (!regular || merged.size > kMostTokenFile || own.size > kMostTokenFile) continue;
      const auto wanted = TRY(sieve_->with_token(path, dir, name));
      if (!wanted) continue;
      const std::string text = TRY(sys::read_whole(TRY(sys::open_trusted_file(static_dir, name)), kMostTokenFile));
      const bool as_laid_in = TRY(laid_in_token_file(skel_, path)) == text;
      if (*wanted != text && !as_laid_in) continue;
      beside_static_.erase(path);
      if (*wanted != text) TRY(change_static(path, *wanted, metadata_of(merged, TRY(sys::xattrs(dir, name))), staging));
    }
    return {};
  }

  Result<> change_static(const std::string& path, const std::string& text, const Metadata& metadata,
                         const DirFd* staging) {
    ManifestEntry& entry = *std::ranges::find(static_entries_, path, &ManifestEntry::path);
    entry.size = text.size();
    entry.content = hash_bytes(std::as_bytes(std::span(text)), WithSha256::no).xxh128;
    entry.mode = metadata.mode;
    entry.uid = metadata.uid;
    entry.gid = metadata.gid;
    entry.mtime = metadata.mtime;
    entry.set_xattrs(hash_xattrs(metadata.xattrs));
    entry.nlink = 1;
    if (staging == nullptr) return {};
    const DirFd changed = TRY(sys::ensure_dir(*staging, "changed-static", 0700));
    const Fd file = TRY(sys::create_file(TRY(make_dirs(changed, parent_path(path))), last_name(path), 0600));
    TRY(sys::write_all(file, text));
    return apply_metadata(file, metadata, Fresh::no);
  }

  Result<> look_at_omitted() {
    for (const Omitted& omitted : sieve_->omitted()) TRY(put_aside(omitted.path, omitted.reason() + ", left out"));
    return {};
  }

  Result<> put_aside(const std::string& path, const std::string& reason) {
    if (aside_name_.empty()) aside_name_ = TRY(free_set_aside_name());
    aside_.push_back(path);
    report_.set_aside.push_back("/" + path + ": " + reason + "; the merged tree's is in " + skel_.path() +
                                "/generations/" + aside_name_ + "/" + path);
    return {};
  }

  /// The layout says from now on that no generation has them: relink knows paths only.
  Result<> write_down_keys(const DirFd& staging) const {
    const std::vector<std::string> keys = sieve_->paths_with_keys();
    if (keys.empty()) return {};
    const std::string text = TRY(Layout::with_omitted(TRY(skel_.layout_text()), skel_.path() + "/layout", keys));
    const Fd file = TRY(sys::create_file(staging, "layout", 0644));
    return sys::write_all(file, text);
  }

  Result<std::string> free_set_aside_name() const {
    const std::string file = generation_file_name(last_.generation + 1);
    const std::string usual = file.substr(0, file.rfind('.')) + ".set-aside";
    std::string name = usual;
    for (unsigned number = 2; TRY(sys::stat_if_there(skel_.generations(), *Name::check(name))); ++number)
      name = usual + "." + std::to_string(number);
    return name;
  }

  /// By further names of the merged tree's inodes, or copies of what has a flag and can't be linked. Directories have
  /// the originals' owners, modes and times; the one at the top is nobody else's to enter.
  Result<> set_aside(const DirFd& source, const DirFd& staging, NextGeneration& next) {
    const DirFd aside = TRY(sys::ensure_dir(staging, "set-aside", 0700));
    std::set<std::string, std::greater<>> parents;
    for (const std::string& path : aside_) {
      const DirFd dir = TRY(sys::open_dirs(source, parent_path(path)));
      const DirFd target = TRY(make_dirs(aside, parent_path(path)));
      const Name name = last_name(path);
      if (TRY(sys::stat(dir, name)).type == sys::FileType::directory) {
        TRY(sys::make_dir(target, name, 0700));
        TRY(set_tree_aside(TRY(sys::open_dir(dir, name)), aside, path, next));
      } else {
        TRY(set_file_aside(dir, name, aside, path, next));
      }
      for (std::string_view parent = parent_path(path); !parent.empty(); parent = parent_path(parent))
        parents.emplace(parent);
    }
    // Those further down first: each name made in a directory moves its time.
    for (const std::string& parent : parents)
      TRY(take_metadata(TRY(sys::open_dirs(source, parent)), TRY(sys::open_dirs(aside, parent))));
    return {};
  }

  static Result<> take_metadata(const DirFd& from, const DirFd& to) {
    return apply_metadata(to, metadata_of(TRY(sys::stat(from)), TRY(sys::xattrs(from))), Fresh::no);
  }

  static Result<> set_file_aside(const DirFd& dir, Name name, const DirFd& aside, const std::string& path,
                                 NextGeneration& next) {
    const sys::Stat stat = TRY(sys::stat(dir, name));
    if (stat.immutable || stat.append) return next.copy(dir, name, aside, path);
    return sys::link(dir, name, TRY(sys::open_dirs(aside, parent_path(path))), last_name(path));
  }

  /// All that is below `from`, which is at `path`.
  static Result<> set_tree_aside(const DirFd& from, const DirFd& aside, const std::string& path, NextGeneration& next) {
    std::mutex mutex;  // copies are made one at a time
    const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                                std::shared_ptr<void>) -> Result<> {
      const std::string own = directory->path.empty() ? path : joined_path(path, directory->path);
      const DirFd target = TRY(sys::open_dirs(aside, own));
      for (const WalkEntry& entry : directory->entries) {
        if (entry.type != sys::FileType::directory) {
          const std::scoped_lock lock(mutex);
          TRY(set_file_aside(directory->top(), entry.name, aside, joined_path(own, entry.name.view()), next));
          continue;
        }
        TRY(sys::make_dir(target, entry.name, 0700));
        walk.descend(directory, entry, nullptr);
      }
      return take_metadata(directory->top(), target);
    };
    (void)TRY(Walk::run({&from}, Mounts::stop, nullptr, visitor));
    return {};
  }

  static Result<bool> is_the_same_file(const DirFd& a_dir, const DirFd& b_dir, Name name) {
    const sys::Stat a = TRY(sys::stat(a_dir, name)), b = TRY(sys::stat(b_dir, name));
    if (a.type != b.type) return false;
    if (a.type == sys::FileType::symlink) return TRY(sys::read_link(a_dir, name)) == TRY(sys::read_link(b_dir, name));
    if (a.type != sys::FileType::regular) return a.rdev == b.rdev;
    return TRY(compare_content(TRY(sys::open_trusted_file(a_dir, name)), TRY(sys::open_trusted_file(b_dir, name))))
        .same;
  }

  /// Would a token rule make of the merged tree's file what static has?
  const Store& store_;
  const GenerationRequest& request_;
  const Skel& skel_;
  const Manifest& last_;
  std::optional<Layout> layout_;
  std::optional<Sieve> sieve_;
  ManifestEntries static_entries_;
  std::map<std::string, sys::FileType> static_types_;
  SplitAccounts accounts_;
  std::mutex mutex_;  // guards what follows
  std::set<std::string> beside_static_;
  std::vector<const ManifestEntry*> displaced_;
  std::string aside_name_;
  std::vector<std::string> aside_;  // those of beside_static_ that are not the same, and what was omitted
  ManifestEntries new_configuration_;
  GenerationReport report_;
};

/// The first of many, and how many more there are.
std::string named(const std::vector<std::string>& names) {
  constexpr std::size_t kNamed = 20;
  std::string out;
  for (std::size_t at = 0; at < std::min(names.size(), kNamed); ++at) out.append(at == 0 ? "" : ", ").append(names[at]);
  if (names.size() > kNamed) out += " and " + std::to_string(names.size() - kNamed) + " more";
  return out;
}

/// No vserver is to get a package that its manager has still to finish: nobody would.
Result<> require_finished_packages(const Store& store, const GenerationRequest& request) {
  const std::string merged = merged_name(request.skel), path = store.paths().vservers + "/" + merged;
  const UnfinishedPackages found = TRY(unfinished_packages(TRY(sys::open_dir(store.vservers(), *Name::check(merged)))));
  const auto warn = [&](const std::string& line) {
    if (request.engine.warn) request.engine.warn(line);
  };
  if (!found.unknown.empty()) warn("whether all packages are configured is not known: " + found.unknown);
  if (found.packages.empty() && !found.interrupted) return {};
  const std::string what = found.packages.empty() ? "dpkg was interrupted" : named(found.packages) + ": not finished";
  if (request.unfinished == Unfinished::taken) {
    warn(what);
    return {};
  }
  return fail("split skel", request.skel.text(),
              what + "; run dpkg --configure -a in " + path + ", or split with --force");
}

}  // namespace

Result<GenerationReport> split_skel(const Store& store, const GenerationRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  const SkelToChange opened = TRY(open_skel_to_change(store, request.skel, request.engine));
  const Skel& skel = opened.skel;
  if (!skel.merged()) return refuse("split skel", request.skel.text(), "the skel is not merged; merge-skel first");
  Arena arena(workers(request.engine));
  TRY(arena.execute([&] { return require_idle_merge(store, request.skel); }));
  TRY(require_finished_packages(store, request));
  const unsigned newest = TRY(skel.newest_generation());
  const Manifest last = TRY(skel.manifest(newest));
  Split split(store, request, skel, last);
  auto report = arena.execute([&] {
    if (request.engine.dry_run == DryRun::yes) return split.preview();
    return change_generation(store, request, skel, "split-skel", newest,
                             [&](const DirFd& staging, SealKind seal, Quiescence& quiescence) {
                               return split.stage(staging, seal, quiescence);
                             });
  });
  if (report) report->elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace vskel
