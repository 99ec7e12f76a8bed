// The walk goes through the source; the visit of a directory plans its files as one batch for each part that gets some.
// A directory is made in the part that the layout names, by the visit itself, and in other parts only when something
// below it belongs there (`usr` in local for `usr/local`): PartDirs knows where a directory stands already. Directories
// get their metadata when all is made: each name made in one moves its mtime, and inherits its group and default ACL.

#include "engine/skel/distribute.h"

#include <tbb/enumerable_thread_specific.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_set>

#include "engine/content/hash.h"
#include "engine/issue/batch_limits.h"
#include "engine/issue/cloning.h"
#include "engine/seal/reseal.h"
#include "engine/seal/seal.h"
#include "engine/sys/stopping.h"
#include "engine/tree/for_pieces.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

std::size_t index_of(Part part) { return static_cast<std::size_t>(part); }

/// Where one directory of the source stands in the parts.
struct PartDirs : std::enable_shared_from_this<PartDirs> {
  std::shared_ptr<PartDirs> parent;
  std::string name;
  std::string path;
  Metadata metadata;
  std::mutex mutex;  ///< guards what follows; locked child before parent
  std::array<bool, kParts> made{};
};

/// The directory of a part whose subdirectories a thread has opened last: siblings are read one after the other.
struct LastParent {
  std::string path;
  std::optional<DirFd> dir;
};

/// A name of an inode that has several in the source. It waits for the others.
struct OneOfManyNames {
  Part part;
  std::uint64_t inode;  ///< in the source
  std::string path;
  friend auto operator<=>(const OneOfManyNames&, const OneOfManyNames&) = default;
};

/// A directory in a part that still has the metadata it was made with.
struct MadeDir {
  std::shared_ptr<PartDirs> dirs;
  Part part;
};

struct Distribution {
  const DistributeRequest& request;
  Cloning cloning;
  tbb::enumerable_thread_specific<std::array<LastParent, kParts>> last_parents;
  std::atomic<bool> seals_wait{false};  ///< files of global with one name are still to be sealed
  std::mutex mutex;                     ///< guards what follows
  Distributed result;
  std::vector<OneOfManyNames> many_names;
  std::vector<std::string> many_names_to_seal;  ///< a path of each such file of global that is still to be sealed
  std::vector<MadeDir> made_dirs;               ///< without the roots of the parts
};

ManifestEntry entry_for(std::string path, Part part, sys::FileType type, const Metadata& metadata) {
  ManifestEntry entry;
  entry.path = std::move(path);
  entry.part = part;
  entry.type = type;
  entry.mode = metadata.mode;
  entry.uid = metadata.uid;
  entry.gid = metadata.gid;
  entry.mtime = metadata.mtime;
  entry.set_xattrs(hash_xattrs(metadata.xattrs));
  return entry;
}

Result<DirFd> open_in_part(Distribution& shared, PartDirs& dirs, Part part);

/// open_in_part() of a directory that others are to be opened in. Good until the thread's next call.
Result<const DirFd*> parent_in_part(Distribution& shared, PartDirs& dirs, Part part) {
  LastParent& last = shared.last_parents.local()[index_of(part)];
  if (!last.dir || last.path != dirs.path) {
    DirFd dir = TRY(open_in_part(shared, dirs, part));  // which comes here, too, for what is still to be made
    last.dir = std::move(dir);
    last.path = dirs.path;
  }
  return &*last.dir;
}

/// The directory in `part`, made if it is not there, parents first.
Result<DirFd> open_in_part(Distribution& shared, PartDirs& dirs, Part part) {
  const DirFd& root = *shared.request.parts[index_of(part)];
  const std::scoped_lock lock(dirs.mutex);
  if (dirs.made[index_of(part)]) {
    const LastParent& last = shared.last_parents.local()[index_of(part)];
    const bool is_at_hand = dirs.parent != nullptr && last.dir && last.path == dirs.parent->path;
    return is_at_hand ? sys::open_dir(*last.dir, *Name::check(dirs.name)) : sys::open_dirs(root, dirs.path);
  }
  DirFd own = TRY([&]() -> Result<DirFd> {
    if (dirs.parent == nullptr) return sys::reopen(root);
    const DirFd& parent = *TRY(parent_in_part(shared, *dirs.parent, part));
    TRY(sys::make_dir(parent, *Name::check(dirs.name), creation_mode(dirs.metadata.mode)));
    return sys::open_dir(parent, *Name::check(dirs.name));
  }());
  dirs.made[index_of(part)] = true;
  const std::scoped_lock result_lock(shared.mutex);
  shared.result.entries.push_back(entry_for(dirs.path, part, sys::FileType::directory, dirs.metadata));
  if (dirs.parent != nullptr) shared.made_dirs.push_back({dirs.shared_from_this(), part});
  return own;
}

WithSha256 with_sha256_in(Part part) { return part == Part::local_part ? WithSha256::yes : WithSha256::no; }

void record_hash(ManifestEntry& entry, const ContentHash& hash) {
  entry.content = hash.xxh128;
  entry.set_sha256(hash.sha256);
}

/// In the source that is ours no flag is a seal.
void note_lost_flag(Distribution& shared, std::string_view path, const sys::Stat& stat) {
  if (shared.request.transfer != Transfer::move) return;
  auto line = lost_flag(path, stat);
  if (!line) return;
  const std::scoped_lock lock(shared.mutex);
  shared.result.notes.push_back(std::move(*line));
}

/// The batch of one directory for one part, while it is being planned. Deques, because operations point into them.
class PartBatch {
 public:
  PartBatch(Distribution& shared, PartDirs& dirs, const WalkDirectory& directory, Part part)
      : shared_(shared), dirs_(dirs), directory_(directory), part_(part) {}

  Result<> add(const WalkEntry& entry) {
    const DirFd& source = directory_.top();
    const sys::Stat stat = TRY(sys::stat(source, entry.name));
    if (stat.nlink > 1 && stat.type != sys::FileType::directory) return put_off(entry, stat);
    if (stat.immutable || stat.append) note_lost_flag(shared_, directory_.path_to(entry.name), stat);
    switch (stat.type) {
      case sys::FileType::regular:
        return add_file(entry, stat);
      case sys::FileType::symlink: {
        const Metadata& metadata = keep(metadata_of(stat, TRY(sys::xattrs(source, entry.name))));
        const std::string& target = targets_.emplace_back(TRY(sys::read_link(source, entry.name)));
        operations_.emplace_back(MakeSymlink{entry.name, &target, &metadata});
        note(entry, sys::FileType::symlink, metadata).set_link_target(target);
        return {};
      }
      case sys::FileType::fifo:
      case sys::FileType::character:
      case sys::FileType::block: {
        const Metadata& metadata = keep(metadata_of(stat, TRY(sys::xattrs(source, entry.name))));
        operations_.emplace_back(MakeNode{entry.name, stat.type, stat.rdev, &metadata});
        note(entry, stat.type, metadata).set_rdev(stat.rdev);
        return {};
      }
      default:
        return fail("copy", sys::path_of(source) + "/" + std::string(entry.name.view()),
                    "changed its type while it was read");
    }
  }

  /// Issues what is left.
  Result<> finish() {
    if (!target_ && entries_.empty()) return {};
    TRY(flush());
    const std::scoped_lock lock(shared_.mutex);
    for (ManifestEntry& entry : entries_) shared_.result.entries.push_back(std::move(entry));
    std::ranges::move(many_names_, std::back_inserter(shared_.many_names));
    return {};
  }

 private:
  struct Pending {
    std::size_t entry;  ///< index in entries_
    Name name;
    bool seal;
    bool hash;                        ///< the copy is still to be read
    bool moved;                       ///< the source's inode itself
    const Fd* cloned_from = nullptr;  ///< hashed as it was read before it was cloned,
    sys::Stat read_as = {};           ///< if it still was this afterwards
  };

  const Metadata& keep(Metadata metadata) { return metadata_.emplace_back(std::move(metadata)); }
  [[nodiscard]] WithSha256 with_sha256() const { return with_sha256_in(part_); }

  ManifestEntry& note(const WalkEntry& entry, sys::FileType type, const Metadata& metadata) {
    return entries_.emplace_back(entry_for(directory_.path_to(entry.name), part_, type, metadata));
  }

  Result<> add_file(const WalkEntry& entry, const sys::Stat& stat) {
    Fd file = TRY(sys::open_trusted_file(directory_.top(), entry.name));
    const Metadata& metadata = keep(metadata_of(stat, TRY(sys::xattrs(file))));
    if (shared_.request.known != nullptr && TRY(put_known(entry, stat, metadata, file))) return {};
    if (shared_.request.put_instead && TRY(put_instead(entry, stat, metadata, file))) return {};
    ManifestEntry& noted = note(entry, sys::FileType::regular, metadata);
    noted.size = stat.size;
    const bool seal = part_ == Part::global_part && shared_.request.seal && is_linkable(stat, metadata.xattrs);
    // A file with a flag can't be linked, and keeps its flag where it lies: it is copied.
    const bool moved = shared_.request.transfer == Transfer::move && !stat.immutable && !stat.append;
    pending_.push_back({entries_.size() - 1, entry.name, seal, true, moved, nullptr, {}});
    if (moved) {
      operations_.emplace_back(LinkName{entry.name, &directory_.top(), entry.name});
    } else {
      TRY(plan_copy(entry, stat, std::move(file), metadata));
    }
    return bytes_ >= kBatchBytes || files_.size() >= kBatchOpenFiles ? flush() : Result<>{};
  }

  /// Whether all names of an inode are one in the skel already is known when all are known; and a further name, in
  /// whatever directory, has to find the first one complete.
  Result<> put_off(const WalkEntry& entry, const sys::Stat& stat) {
    TRY(open_target());
    many_names_.push_back({part_, stat.inode, directory_.path_to(entry.name)});
    return {};
  }

  Result<bool> put_known(const WalkEntry& entry, const sys::Stat& stat, const Metadata& metadata, const Fd& file) {
    KnownFiles& files = *shared_.request.known;
    const std::string path = directory_.path_to(entry.name);
    const Candidate candidate{std::span(&path, 1), part_, stat, metadata, file};
    const auto known = TRY(files.find(candidate));
    if (!known) return false;
    TRY(open_target());
    if (!TRY(files.link(*known, *target_, entry.name))) return false;
    TRY(files.keep(*known, candidate));
    return true;
  }

  Result<bool> put_instead(const WalkEntry& entry, const sys::Stat& stat, const Metadata& metadata, const Fd& file) {
    TRY(open_target());
    const std::string path = directory_.path_to(entry.name);
    return shared_.request.put_instead({std::span(&path, 1), part_, stat, metadata, file}, *target_, entry.name);
  }

  Result<> plan_copy(const WalkEntry& entry, const sys::Stat& stat, Fd file, const Metadata& metadata) {
    TRY(open_target());
    // A clone writes no data. Its own pages are not in memory: the source's are hashed.
    if (stat.size > 0 && TRY(shared_.cloning.works(file, *target_))) {
      const Fd& source = files_.emplace_back(std::move(file));
      operations_.emplace_back(CopyFile{entry.name, &source, stat.size, stat.blocks, CopyBy::either, &metadata});
      // Whether it is still as long is looked at afterwards: has_changed().
      record_hash(entries_.back(), TRY(hash_file(source, with_sha256(), stat.size)));
      pending_.back().hash = false;
      pending_.back().cloned_from = &source;
      pending_.back().read_as = stat;
      return {};
    }
    if (stat.size > kSmallFile) {
      const Fd& source = files_.emplace_back(std::move(file));
      operations_.emplace_back(CopyFile{entry.name, &source, stat.size, stat.blocks, CopyBy::either, &metadata});
      return {};
    }
    if (stat.blocks * 512 + 4096 < stat.size) {  // holes: keep them, and hash from the copy
      const Fd& source = files_.emplace_back(std::move(file));
      operations_.emplace_back(CopyFile{entry.name, &source, stat.size, stat.blocks, CopyBy::data, &metadata});
      return {};
    }
    std::vector<std::byte>& content = contents_.emplace_back(stat.size);
    const std::size_t got = TRY(sys::read_at(file, content, 0));
    content.resize(got);
    bytes_ += got;
    operations_.emplace_back(WriteFile{entry.name, content, &metadata});
    entries_.back().size = got;  // a file of a live host may have shrunk since it was looked at
    record_hash(entries_.back(), hash_bytes(content, with_sha256()));
    pending_.back().hash = false;
    return {};
  }

  Result<> open_target() {
    if (!target_) target_ = TRY(open_in_part(shared_, dirs_, part_));
    return {};
  }

  Result<> issue(std::span<const Operation> operations) {
    Results results = shared_.request.executor->issue({&*target_, operations}, OnFailure::stop);
    if (!results.failures.empty()) return std::unexpected(std::move(results.failures.front().error));
    return {};
  }

  Result<> flush() {
    TRY(open_target());
    TRY(issue(operations_));
    for (const Pending& done : pending_) {
      if (done.hash || (done.cloned_from != nullptr && TRY(has_changed(*done.cloned_from, done.read_as)))) {
        const Fd copy = TRY(sys::open_trusted_file(*target_, done.name));
        entries_[done.entry].size = TRY(sys::stat(copy)).size;
        record_hash(entries_[done.entry], TRY(hash_file(copy, with_sha256())));
        sys::start_writeback(copy);
      }
      if (done.seal) TRY(seal(done));
      if (done.moved) TRY(refuse_writers(done.name));
    }
    operations_.clear();
    pending_.clear();
    metadata_.clear();
    targets_.clear();
    contents_.clear();
    files_.clear();
    bytes_ = 0;
    return {};
  }

  /// A file system that makes a file immutable writes its data out and waits (ext4: ext4_ioctl_setflags; XFS:
  /// xfs_ioctl_setattr_drain_writes). What was just written is sealed when all of it is on disk, not file by file.
  Result<> seal(const Pending& done) {
    if (done.moved || done.cloned_from != nullptr) return set_seal(*target_, done.name, *shared_.request.seal);
    shared_.seals_wait.store(true, std::memory_order_relaxed);
    return {};
  }

  /// A file of a live host.
  static Result<bool> has_changed(const Fd& file, const sys::Stat& before) {
    const sys::Stat now = TRY(sys::stat(file));
    return now.inode != before.inode || now.size != before.size || now.mtime != before.mtime ||
           now.ctime != before.ctime;
  }

  /// A descriptor that was opened for writing before the seal writes past it, and would write to every vserver's file.
  /// A read lease is refused while there is one, or a mapping (fcntl(2), F_SETLEASE).
  Result<> refuse_writers(Name name) {
    const Fd file = TRY(sys::open_trusted_file(*target_, name));
    if (TRY(sys::has_no_writer(file))) return {};
    return fail("take", sys::path_of(directory_.top()) + "/" + std::string(name.view()),
                std::string("a process has it open for writing"));
  }

  Distribution& shared_;
  PartDirs& dirs_;
  const WalkDirectory& directory_;
  Part part_;
  std::optional<DirFd> target_;
  std::vector<Operation> operations_;
  std::vector<Pending> pending_;
  std::deque<Metadata> metadata_;
  std::deque<std::string> targets_;
  std::deque<std::vector<std::byte>> contents_;
  std::deque<Fd> files_;
  std::size_t bytes_ = 0;
  ManifestEntries entries_;
  std::vector<OneOfManyNames> many_names_;
};

std::shared_ptr<PartDirs> child_of(const std::shared_ptr<PartDirs>& parent, const WalkDirectory& directory,
                                   const WalkEntry& entry) {
  auto child = std::make_shared<PartDirs>();
  child->parent = parent;
  child->name = entry.name.view();
  child->path = directory.path_to(entry.name);
  return child;
}

Result<> read_metadata(Distribution& shared, PartDirs& dirs, const DirFd& source) {
  const sys::Stat stat = TRY(sys::stat(source));
  note_lost_flag(shared, dirs.path, stat);
  dirs.metadata = metadata_of(stat, TRY(sys::xattrs(source)));
  return {};
}

Result<> visit(Distribution& shared, Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
               const std::shared_ptr<PartDirs>& dirs) {
  const DistributeRequest& request = shared.request;
  TRY(read_metadata(shared, *dirs, directory->top()));
  (void)TRY(open_in_part(shared, *dirs, request.layout->part_of(directory->path)));
  std::array<std::optional<PartBatch>, kParts> batches;
  for (const WalkEntry& entry : directory->entries) {
    TRY(sys::may_go_on());
    const Treatment treatment = request.treatment(*directory, entry);
    if (treatment == Treatment::leave_out) continue;
    const std::string path = directory->path_to(entry.name);
    if (entry.type == sys::FileType::directory) {
      auto child = child_of(dirs, *directory, entry);
      if (treatment == Treatment::take) {
        walk.descend(directory, entry, std::move(child));
        continue;
      }
      TRY(read_metadata(shared, *child, TRY(sys::open_dir_crossing(directory->top(), entry.name))));
      (void)TRY(open_in_part(shared, *child, request.layout->part_of(path)));
      continue;
    }
    if (entry.type == sys::FileType::socket) {
      const std::scoped_lock lock(shared.mutex);
      shared.result.notes.push_back("/" + path + ": a socket, left out");
      continue;
    }
    const Part part = request.layout->part_of(path);
    auto& batch = batches[index_of(part)];
    if (!batch) batch.emplace(shared, *dirs, *directory, part);
    TRY(batch->add(entry));
    if (request.progress != nullptr) request.progress->done.fetch_add(1, std::memory_order_relaxed);
  }
  for (auto& batch : batches)
    if (batch) TRY(batch->finish());
  return {};
}

/// All names of one inode of the source that go to one part: they become one inode there.
class NameGroup {
 public:
  /// `names` differ in nothing but their paths.
  NameGroup(Distribution& shared, std::span<const OneOfManyNames> names)
      : shared_(shared), part_(names.front().part), inode_(names.front().inode) {
    for (const OneOfManyNames& name : names) paths_.push_back(name.path);
  }

  Result<> put() {
    const DirFd source = TRY(sys::open_dirs(*shared_.request.source, parent_path(paths_.front())));
    const Name name = last_name(paths_.front());
    const sys::Stat stat = TRY(sys::stat(source, name));
    if (stat.inode != inode_)
      return fail("copy", sys::path_of(source) + "/" + std::string(name.view()), "was replaced while it was read");
    note_lost_flag(shared_, paths_.front(), stat);
    if (stat.type == sys::FileType::regular) return put_file(TRY(sys::open_trusted_file(source, name)), stat);
    const Metadata metadata = metadata_of(stat, TRY(sys::xattrs(source, name)));
    ManifestEntry entry = entry_for({}, part_, stat.type, metadata);
    if (stat.type == sys::FileType::symlink) {
      const std::string target = TRY(sys::read_link(source, name));
      entry.set_link_target(target);
      return make(entry, [&](Name made) { return MakeSymlink{made, &target, &metadata}; });
    }
    if (stat.type != sys::FileType::fifo) entry.set_rdev(stat.rdev);
    return make(entry, [&](Name made) { return MakeNode{made, stat.type, stat.rdev, &metadata}; });
  }

 private:
  Result<> put_file(const Fd& file, const sys::Stat& stat) {
    const Metadata metadata = metadata_of(stat, TRY(sys::xattrs(file)));
    if (shared_.request.known != nullptr && TRY(put_known({paths_, part_, stat, metadata, file}))) return {};
    if (shared_.request.put_instead) TRY(put_instead(stat, metadata, file));
    if (paths_.empty()) return {};
    ManifestEntry entry = entry_for({}, part_, stat.type, metadata);
    entry.size = stat.size;
    record_hash(entry, TRY(hash_file(file, with_sha256_in(part_))));
    seal_ = part_ == Part::global_part && shared_.request.seal && is_linkable(stat, metadata.xattrs);
    return make(entry,
                [&](Name made) { return CopyFile{made, &file, stat.size, stat.blocks, CopyBy::either, &metadata}; });
  }

  /// Names for which there is another file are none of the group any more.
  Result<> put_instead(const sys::Stat& stat, const Metadata& metadata, const Fd& file) {
    std::vector<std::string> left;
    for (std::string& path : paths_) {
      const Candidate candidate{std::span(&path, 1), part_, stat, metadata, file};
      if (!TRY(shared_.request.put_instead(candidate, TRY(directory_of(path)), last_name(path))))
        left.push_back(std::move(path));
    }
    paths_ = std::move(left);
    return {};
  }

  [[nodiscard]] Result<DirFd> directory_of(const std::string& path) const {
    return sys::open_dirs(*shared_.request.parts[index_of(part_)], parent_path(path));
  }

  /// All names or none: two inodes are not one.
  Result<bool> put_known(const Candidate& candidate) {
    KnownFiles& files = *shared_.request.known;
    const auto known = TRY(files.find(candidate));
    if (!known) return false;
    for (std::size_t at = 0; at < paths_.size(); ++at) {
      if (TRY(files.link(*known, TRY(directory_of(paths_[at])), last_name(paths_[at])))) continue;
      for (std::size_t made = 0; made < at; ++made)
        TRY(files.unlink(*known, TRY(directory_of(paths_[made])), last_name(paths_[made])));
      return false;
    }
    TRY(files.keep(*known, candidate));
    return true;
  }

  /// `operation_for(name)` makes the first name, and another first one where an inode has all the names that its file
  /// system allows (ext4: 65,000).
  template <class OperationFor>
  Result<> make(const ManifestEntry& entry, OperationFor operation_for) {
    std::vector<std::size_t> firsts;
    for (std::size_t at = 0; at < paths_.size(); ++at) {
      const DirFd dir = TRY(directory_of(paths_[at]));
      const Name name = last_name(paths_[at]);
      if (!firsts.empty() && TRY(link_to(paths_[firsts.back()], dir, name))) continue;
      TRY(issue(dir, operation_for(name)));
      firsts.push_back(at);
    }
    const std::scoped_lock lock(shared_.mutex);
    for (std::size_t inode = 0; inode < firsts.size(); ++inode) {
      const std::size_t first = firsts[inode], end = inode + 1 < firsts.size() ? firsts[inode + 1] : paths_.size();
      if (seal_) shared_.many_names_to_seal.push_back(paths_[first]);
      for (std::size_t at = first; at < end; ++at) {
        ManifestEntry& added = shared_.result.entries.emplace_back(entry);
        added.path = paths_[at];
        added.nlink = static_cast<std::uint32_t>(end - first);
      }
    }
    return {};
  }

  /// False: it has all names that it can have.
  Result<bool> link_to(const std::string& first, const DirFd& dir, Name name) {
    const DirFd first_dir = TRY(directory_of(first));
    auto linked = issue(dir, LinkName{name, &first_dir, last_name(first)});
    if (linked) return true;
    if (linked.error().code == EMLINK) return false;
    return std::unexpected(std::move(linked).error());
  }

  Result<> issue(const DirFd& dir, Operation operation) {
    Results results = shared_.request.executor->issue({&dir, std::span(&operation, 1)}, OnFailure::stop);
    if (!results.failures.empty()) return std::unexpected(std::move(results.failures.front().error));
    return {};
  }

  Distribution& shared_;
  const Part part_;
  const std::uint64_t inode_;
  std::vector<std::string> paths_;
  bool seal_ = false;
};

/// What was put off.
Result<> put_many_names(Distribution& shared) {
  constexpr std::size_t kGroupsPerTask = 16;
  std::vector<OneOfManyNames>& names = shared.many_names;
  std::ranges::sort(names);
  std::vector<std::span<const OneOfManyNames>> groups;
  for (auto at = names.cbegin(); at != names.cend();) {
    const auto next = std::find_if(at, names.cend(), [at](const OneOfManyNames& name) {
      return name.part != at->part || name.inode != at->inode;
    });
    groups.emplace_back(at, next);
    at = next;
  }
  return for_pieces(std::span(groups), kGroupsPerTask, [&shared](auto piece) -> Result<> {
    for (const auto& group : piece) TRY(NameGroup(shared, group).put());
    return {};
  });
}

/// More are found faster by a walk of many tasks.
constexpr std::size_t kFewNames = 256;

/// What waits for the last name and the last byte: a sealed inode can't be linked.
Result<> seal_files(const Distribution& shared) {
  if (!shared.request.seal) return {};
  const DirFd& root = *shared.request.parts[index_of(Part::global_part)];
  if (shared.seals_wait || shared.many_names_to_seal.size() > kFewNames) {
    TRY(sys::sync_file_system(root));
    (void)TRY(seal_again(root, *shared.request.seal));
    return {};
  }
  for (const std::string& path : shared.many_names_to_seal)
    TRY(set_seal(TRY(sys::open_dirs(root, parent_path(path))), last_name(path), *shared.request.seal));
  return {};
}

/// The metadata of all directories, in no order: that of one changes none of another's.
Result<> finish_dirs(Distribution& shared, PartDirs& root) {
  constexpr std::size_t kDirsPerTask = 64;
  TRY(for_pieces(std::span(shared.made_dirs), kDirsPerTask, [&shared](std::span<const MadeDir> piece) -> Result<> {
    for (const MadeDir& made : piece) {
      const DirFd& parent = *TRY(parent_in_part(shared, *made.dirs->parent, made.part));
      TRY(apply_metadata(parent, *Name::check(made.dirs->name), sys::FileType::directory, made.dirs->metadata,
                         Fresh::yes));
    }
    return {};
  }));
  // The root of every part has the root's metadata, whatever was put below it.
  for (const Part part : {Part::global_part, Part::local_part, Part::static_part})
    TRY(apply_metadata(TRY(open_in_part(shared, root, part)), root.metadata, Fresh::no));
  return {};
}

}  // namespace

std::optional<std::string> lost_flag(std::string_view path, const sys::Stat& stat) {
  if (!stat.immutable && !stat.append) return std::nullopt;
  return "/" + std::string(path) + (stat.immutable ? ": immutable (chattr +i)" : ": append-only (chattr +a)") +
         " in the merged tree; its flag is not kept";
}

Result<Distributed> distribute(const DistributeRequest& request) {
  Distribution shared{request, {}, {}, {}, {}, {}, {}, {}, {}};
  auto root = std::make_shared<PartDirs>();
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void> context) -> Result<> {
    return visit(shared, walk, directory, std::static_pointer_cast<PartDirs>(context));
  };
  const auto mount_points = TRY(Walk::run({request.source}, Mounts::stop, root, visitor));
  for (const std::string& path : mount_points)
    shared.result.notes.push_back("/" + path + ": another file system, left out");
  TRY(put_many_names(shared));
  if (request.add) TRY(request.add(shared.result.entries));
  TRY(seal_files(shared));
  TRY(finish_dirs(shared, *root));
  std::ranges::sort(shared.result.entries, by_path_and_part);
  std::ranges::sort(shared.result.notes);
  return std::move(shared.result);
}

}  // namespace vskel
