// The skel's parts are walked as three layers of one tree. The visit of a directory looks at its names once, plans one
// list of operations, and issues that list for every destination: the skel's descriptors, small files' bytes and
// decisions are shared by the whole group. A destination's directory belongs to this one task, and what the visit makes
// in it (subdirectories too) is all that will ever be made in it, so that its times can be set at once.
//
// Seals that forbid linking are lifted for some hundred names of one directory, and restored before the next: while
// they are off, others are still. So what may be linked comes first, and nothing else happens between. What is sealed
// is of the link class, so that the one call that reads the flag (file_getattr(2)) takes the place of a stat.

#include "engine/skel/populate.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <memory>

#include "engine/issue/batch_limits.h"
#include "engine/issue/cloning.h"
#include "engine/seal/seal.h"
#include "engine/skel/account_files.h"
#include "engine/sys/stopping.h"
#include "engine/tree/first_names.h"
#include "engine/tree/walk.h"

namespace vskel {

namespace {

constexpr std::uint8_t kGlobalLayer = 0, kStaticLayer = 2;
/// Names that are made of inodes whose seals are off: some ten milliseconds.
constexpr std::size_t kMostNamesInTurn = 2048;

/// The directories of a group of destinations that belong to one directory of the skel.
struct Targets {
  struct Target {
    Destination* destination;
    DirFd dir;
  };
  std::vector<Target> all;
};

/// What the visit of a directory is told by its parent's.
struct Place {
  std::shared_ptr<Targets> parents;
  Metadata metadata;  ///< of the directory, without its attributes
  Fresh fresh;        ///< whether the destinations' directories were made by the parent's visit
};

struct Population {
  const PopulateRequest& request;
  LiftedSeals seals;
  Cloning cloning;
  FirstNames first_global, first_other;  ///< inode numbers of the parts are one number space, but shares differ
  std::mutex mutex;                      ///< guards what follows
  std::set<std::string> unknown_tokens;
};

/// What a planned operation will have been, for the counters.
enum class Kind : unsigned char { other, link, clone, copy };

class DirectoryPlan {
 public:
  DirectoryPlan(Population& shared, const WalkDirectory& directory, Targets& targets)
      : shared_(shared), directory_(directory), targets_(targets) {}
  DirectoryPlan(const DirectoryPlan&) = delete;
  DirectoryPlan& operator=(const DirectoryPlan&) = delete;
  /// Of a plan that was given up: what it lifted is sealed again, as far as that goes; recover sees to the rest.
  ~DirectoryPlan() { (void)restore_seals(); }

  /// Whether it is one of those that are added first.
  [[nodiscard]] bool may_be_linked(const WalkEntry& entry) const {
    return entry.type == sys::FileType::regular && entry.layer == kGlobalLayer &&
           shared_.request.share == Share::hardlink;
  }

  /// Of one that may be linked: what is sealed is.
  Result<> add_if_sealed(const WalkEntry& entry, std::vector<const WalkEntry*>& others) {
    TRY(sys::may_go_on());
    const DirFd& source = directory_.layers[entry.layer];
    if (++looked_at_in_turn_ > kMostNamesInTurn) TRY(flush_links());
    TRY(take_turn());
    // build-skel seals what may be shared and nothing else: the flag answers, and is off already for the link.
    if (!TRY(shared_.seals.lift_if_sealed(source, entry.name, entry.inode))) {
      others.push_back(&entry);
      return {};
    }
    return add_lifted_link(entry, source);
  }

  Result<> add(const WalkEntry& entry) {
    TRY(sys::may_go_on());
    if (turn_) TRY(flush_links());
    if (entry.type == sys::FileType::socket) return {};
    // Static is edited in place, by tools that leave the hashes of before beside it.
    if (entry.layer == kStaticLayer && is_account_leftover(directory_.path_to(entry.name))) return {};
    const DirFd& source = directory_.layers[entry.layer];
    const sys::Stat stat = TRY(sys::stat(source, entry.name));
    if (stat.type == sys::FileType::regular) return add_file(entry, source, stat);
    if (entry.type == sys::FileType::directory) {
      push(MakeDir{entry.name, creation_mode(stat.mode)}, Kind::other, 0);
      subdirectories_.push_back({&entry, metadata_of(stat, {})});
      return {};
    }
    return add_node(entry, source, stat);
  }

  /// Issues what is left, the directory's own metadata last.
  Result<> finish(const Metadata& metadata, Fresh fresh) {
    push(SetDirectoryMetadata{&metadata, fresh}, Kind::other, 0);
    return flush();
  }

  struct Subdirectory {
    const WalkEntry* entry;
    Metadata metadata;
  };
  /// Those that were added.
  [[nodiscard]] std::vector<Subdirectory>& subdirectories() { return subdirectories_; }

 private:
  struct Lifted {
    const DirFd* dir;
    Name name;
    std::uint64_t inode;  ///< d_ino
  };

  /// One for all that the batch lifts.
  Result<> take_turn() {
    if (shared_.request.quiescence != nullptr && !turn_) turn_.emplace(TRY(shared_.request.quiescence->turn()));
    return {};
  }

  const Metadata& keep(Metadata metadata) { return metadata_.emplace_back(std::move(metadata)); }

  void push(Operation operation, Kind kind, std::uint64_t bytes) {
    operations_.push_back(std::move(operation));
    kinds_.emplace_back(kind, bytes);
  }

  Result<> add_file(const WalkEntry& entry, const DirFd& source, const sys::Stat& stat) {
    const bool global = entry.layer == kGlobalLayer;
    const std::optional<Share> share = shared_.request.share;
    if (global && share == Share::hardlink && stat.immutable) return add_link(entry, source, stat);
    Fd file = TRY(sys::open_trusted_file(source, entry.name));
    const Metadata& metadata = keep(metadata_of(stat, TRY(sys::xattrs(file))));
    if (global && share == Share::hardlink && is_linkable(stat, metadata.xattrs)) return add_link(entry, source, stat);
    if (stat.nlink > 1) return add_file_of_many_names(entry, stat, file, metadata);
    return add_copy(entry, stat, std::move(file), metadata);
  }

  /// A symlink, FIFO or device.
  Result<> add_node(const WalkEntry& entry, const DirFd& source, const sys::Stat& stat) {
    const Metadata& metadata = keep(metadata_of(stat, TRY(sys::xattrs(source, entry.name))));
    std::optional<Operation> operation;
    if (stat.type == sys::FileType::symlink) {
      const std::string& target = link_targets_.emplace_back(TRY(sys::read_link(source, entry.name)));
      operation = MakeSymlink{entry.name, &target, &metadata};
    } else {
      operation = MakeNode{entry.name, stat.type, stat.rdev, &metadata};
    }
    if (stat.nlink > 1) return add_many_names(entry, stat, *operation, {Kind::copy, 0});
    push(std::move(*operation), Kind::copy, 0);
    return {};
  }

  Result<> add_link(const WalkEntry& entry, const DirFd& source, const sys::Stat& stat) {
    if (shared_.request.seal == SealKind::none) TRY(clear_any_seal(source, entry.name, stat));
    TRY(take_turn());
    TRY(shared_.seals.lift(source, entry.name, entry.inode));
    return add_lifted_link(entry, source);
  }

  Result<> add_lifted_link(const WalkEntry& entry, const DirFd& source) {
    lifted_.push_back({&source, entry.name, entry.inode});
    links_.emplace_back(LinkName{entry.name, &source, entry.name});
    const bool is_whole = shared_.seals.lifts() && links_.size() * targets_.all.size() >= kMostNamesInTurn;
    return is_whole ? flush_links() : Result<>{};
  }

  CopyBy copy_by(const WalkEntry& entry) const {
    if (entry.layer != kGlobalLayer) return CopyBy::either;
    if (shared_.request.share == Share::reflink) return CopyBy::clone;
    return shared_.request.share == Share::copy ? CopyBy::data : CopyBy::either;
  }

  /// A small file that is not read; one of static must be, for its tokens.
  Result<bool> is_cloned(const WalkEntry& entry, const sys::Stat& stat, const Fd& file) {
    const CopyBy by = copy_by(entry);
    if (stat.size == 0 || by == CopyBy::data || entry.layer == kStaticLayer) return false;
    return by == CopyBy::clone || TRY(shared_.cloning.works(file, targets_.all.front().dir));
  }

  Result<> add_copy(const WalkEntry& entry, const sys::Stat& stat, Fd file, const Metadata& metadata) {
    const CopyBy by = copy_by(entry);
    const bool holes = stat.blocks * 512 + 4096 < stat.size;
    if (stat.size > kSmallFile || holes || TRY(is_cloned(entry, stat, file))) {
      const Fd& kept = files_.emplace_back(std::move(file));
      push(CopyFile{entry.name, &kept, stat.size, stat.blocks, by, &metadata},
           by == CopyBy::clone ? Kind::clone : Kind::copy, by == CopyBy::clone ? 0 : stat.size);
    } else {
      std::vector<std::byte>& content = contents_.emplace_back(stat.size);
      content.resize(TRY(sys::read_at(file, content, 0)));
      bytes_ += content.size();
      const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
      if (entry.layer == kStaticLayer && shared_.request.static_files == StaticFiles::filled && has_tokens(text))
        return write_filled(entry, text, metadata);
      push(WriteFile{entry.name, content, &metadata}, Kind::copy, content.size());
    }
    return bytes_ >= kBatchBytes || files_.size() >= kBatchOpenFiles ? flush() : Result<>{};
  }

  /// A static file says something else in every vserver.
  Result<> write_filled(const WalkEntry& entry, std::string_view text, const Metadata& metadata) {
    for (Targets::Target& target : targets_.all) {
      if (target.destination->failed) continue;
      const Filled filled = fill_tokens(text, target.destination->tokens);
      const WriteFile write{entry.name, std::as_bytes(std::span(filled.text)), &metadata};
      issue(target, std::array<Operation, 1>{write},
            std::array{std::pair{Kind::copy, std::uint64_t{filled.text.size()}}});
      if (filled.unknown.empty()) continue;
      const std::scoped_lock lock(shared_.mutex);
      for (const std::string& token : filled.unknown)
        shared_.unknown_tokens.insert("/" + directory_.path_to(entry.name) + ": %%" + token + "%%");
    }
    return {};
  }

  Result<> add_file_of_many_names(const WalkEntry& entry, const sys::Stat& stat, const Fd& file,
                                  const Metadata& metadata) {
    const CopyBy by = stat.size == 0 ? CopyBy::data : copy_by(entry);
    const CopyFile copy{entry.name, &file, stat.size, stat.blocks, by, &metadata};
    return add_many_names(entry, stat, copy,
                          {by == CopyBy::clone ? Kind::clone : Kind::copy, by == CopyBy::clone ? 0 : stat.size});
  }

  /// Done at once and under the inode's lock: see FirstNames. `make` makes the first name.
  Result<> add_many_names(const WalkEntry& entry, const sys::Stat& stat, const Operation& make,
                          std::pair<Kind, std::uint64_t> kind) {
    const auto make_first = [&]() -> Result<> {
      for (Targets::Target& target : targets_.all) issue(target, std::span(&make, 1), std::array{kind});
      return {};
    };
    const auto make_further = [&](const FirstNames::Place& place) -> Result<> {
      for (Targets::Target& target : targets_.all) {
        auto dir = sys::open_dirs(target.destination->root, place.dir);
        if (!dir) {
          target.destination->fail_with(std::move(dir).error());
          continue;
        }
        const LinkName link{entry.name, &*dir, *Name::check(place.name)};
        issue(target, std::array<Operation, 1>{link}, std::array{std::pair{Kind::other, std::uint64_t{0}}});
      }
      return {};
    };
    FirstNames& names = entry.layer == kGlobalLayer ? shared_.first_global : shared_.first_other;
    return names.make(stat.inode, directory_.path, entry.name.view(), make_first, make_further);
  }

  /// Issues operations for one destination and counts them; its first failure is its last operation.
  void issue(Targets::Target& target, std::span<const Operation> operations,
             std::span<const std::pair<Kind, std::uint64_t>> kinds) {
    Destination& destination = *target.destination;
    if (destination.failed.load(std::memory_order_relaxed)) return;
    Results results = shared_.request.executor->issue({&target.dir, operations}, OnFailure::go_on);
    for (Results::Failure& failure : results.failures) {
      const auto* const link = std::get_if<LinkName>(&operations[failure.operation]);
      if (link != nullptr && failure.error.code == EMLINK) {
        // The inode has all the names that its file system allows (ext4: 65,000): this vserver gets a copy of its own.
        if (auto copied = copy_instead(target, *link); !copied) destination.fail_with(std::move(copied).error());
        continue;
      }
      destination.fail_with(std::move(failure.error));
    }
    for (const auto& [kind, bytes] : kinds) {
      if (kind == Kind::link) destination.linked.fetch_add(1, std::memory_order_relaxed);
      if (kind == Kind::clone) destination.cloned.fetch_add(1, std::memory_order_relaxed);
      if (kind == Kind::copy) destination.copied.fetch_add(1, std::memory_order_relaxed);
      if (bytes != 0) destination.bytes_copied.fetch_add(bytes, std::memory_order_relaxed);
    }
    if (shared_.request.progress == nullptr) return;
    // A directory was counted when it was made.
    const bool last_is_own = !operations.empty() && std::holds_alternative<SetDirectoryMetadata>(operations.back());
    shared_.request.progress->done.fetch_add(operations.size() - (last_is_own ? 1 : 0), std::memory_order_relaxed);
  }

  Result<> copy_instead(Targets::Target& target, const LinkName& link) {
    const Fd file = TRY(sys::open_trusted_file(*link.source_dir, link.source));
    const sys::Stat stat = TRY(sys::stat(file));
    const Metadata metadata = metadata_of(stat, TRY(sys::xattrs(file)));
    const Operation copy = CopyFile{link.name, &file, stat.size, stat.blocks, CopyBy::either, &metadata};
    Results results = shared_.request.executor->issue({&target.dir, std::span(&copy, 1)}, OnFailure::stop);
    if (!results.failures.empty()) return std::unexpected(std::move(results.failures.front().error));
    target.destination->linked.fetch_sub(1, std::memory_order_relaxed);
    target.destination->copied.fetch_add(1, std::memory_order_relaxed);
    target.destination->bytes_copied.fetch_add(stat.size, std::memory_order_relaxed);
    return {};
  }

  /// What is linked, for every destination; then the seals are on again.
  Result<> flush_links() {
    if (links_.empty()) return restore_seals();
    const std::vector kinds(links_.size(), std::pair{Kind::link, std::uint64_t{0}});
    for (Targets::Target& target : targets_.all) issue(target, links_, kinds);
    links_.clear();
    return restore_seals();
  }

  /// The batch, for every destination.
  Result<> flush() {
    auto outcome = flush_links();
    for (Targets::Target& target : targets_.all) issue(target, operations_, kinds_);
    operations_.clear();
    kinds_.clear();
    metadata_.clear();
    link_targets_.clear();
    contents_.clear();
    files_.clear();
    bytes_ = 0;
    return outcome;
  }

  Result<> restore_seals() {
    Result<> outcome;
    for (const Lifted& lifted : lifted_) {
      auto restored = shared_.seals.restore(*lifted.dir, lifted.name, lifted.inode);
      if (!restored && outcome) outcome = std::move(restored);
    }
    lifted_.clear();
    if (!outcome && shared_.request.quiescence != nullptr)
      outcome = std::unexpected(shared_.request.quiescence->keep_still(std::move(outcome).error()));
    turn_.reset();
    looked_at_in_turn_ = 0;
    return outcome;
  }

  Population& shared_;
  const WalkDirectory& directory_;
  Targets& targets_;
  std::vector<Operation> operations_;
  std::vector<std::pair<Kind, std::uint64_t>> kinds_;
  std::vector<Operation> links_;
  std::size_t looked_at_in_turn_ = 0;
  std::vector<Lifted> lifted_;
  std::optional<Quiescence::Turn> turn_;  ///< from before the first of them until all are sealed again
  std::vector<Subdirectory> subdirectories_;
  // What operations point to keeps its place: deques.
  std::deque<Metadata> metadata_;
  std::deque<std::string> link_targets_;
  std::deque<std::vector<std::byte>> contents_;
  std::deque<Fd> files_;
  std::size_t bytes_ = 0;
};

/// The destinations' own directories for the directory under visit, opened in those of its parent.
std::shared_ptr<Targets> open_targets(const Targets& parents, const WalkDirectory& directory) {
  auto own = std::make_shared<Targets>();
  own->all.reserve(parents.all.size());
  const std::string name = directory.path.substr(directory.path.rfind('/') + 1);
  for (const Targets::Target& parent : parents.all) {
    if (parent.destination->failed.load(std::memory_order_relaxed)) continue;
    auto dir = directory.path.empty() ? sys::reopen(parent.dir) : sys::open_dir(parent.dir, *Name::check(name));
    if (dir) {
      own->all.push_back({parent.destination, std::move(*dir)});
    } else {
      parent.destination->fail_with(std::move(dir).error());
    }
  }
  return own;
}

Result<> visit(Population& shared, Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
               std::shared_ptr<void> context) {
  const auto place = std::static_pointer_cast<Place>(std::move(context));
  const auto targets = open_targets(*place->parents, *directory);
  place->parents.reset();  // the parents' descriptors are closed with their last child
  if (targets->all.empty()) return {};
  Metadata metadata = std::move(place->metadata);
  metadata.xattrs = TRY(sys::xattrs(directory->top()));
  DirectoryPlan plan(shared, *directory, *targets);
  std::vector<const WalkEntry*> others;
  for (const WalkEntry& entry : directory->entries) {
    if (plan.may_be_linked(entry))
      TRY(plan.add_if_sealed(entry, others));
    else
      others.push_back(&entry);
  }
  for (const WalkEntry* entry : others) TRY(plan.add(*entry));
  TRY(plan.finish(metadata, place->fresh));
  for (DirectoryPlan::Subdirectory& subdirectory : plan.subdirectories()) {
    auto below = std::make_shared<Place>(targets, std::move(subdirectory.metadata), Fresh::yes);
    walk.descend(directory, *subdirectory.entry, std::move(below));
  }
  return {};
}

/// How many destinations one walk serves: each worker keeps about a path's depth of directories open for each of them.
std::size_t group_size(unsigned jobs, std::size_t fleet) {
  constexpr std::size_t kKeptForOthers = 128, kOpenDepth = 24, kMost = 32;
  const std::size_t limit = sys::descriptor_limit();
  const std::size_t usable = limit > kKeptForOthers ? limit - kKeptForOthers : 1;
  return std::clamp<std::size_t>(usable / (jobs * kOpenDepth), 1, std::min(kMost, fleet));
}

}  // namespace

void Destination::fail_with(Error first) {
  failed.store(true, std::memory_order_relaxed);
  const std::scoped_lock lock(mutex);
  if (!error) error = std::move(first);
}

Result<std::set<std::string>> populate(const PopulateRequest& request, std::span<Destination* const> destinations,
                                       unsigned jobs) {
  std::set<std::string> unknown_tokens;
  const Skel& skel = *request.skel;
  while (!destinations.empty()) {
    const auto group = destinations.first(group_size(jobs, destinations.size()));
    destinations = destinations.subspan(group.size());
    Population shared{request, LiftedSeals(request.seal), {}, {}, {}, {}, {}};
    auto root = std::make_shared<Targets>();
    for (Destination* const destination : group)
      root->all.push_back({destination, TRY(sys::reopen(destination->root))});
    const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                                std::shared_ptr<void> context) {
      return visit(shared, walk, directory, std::move(context));
    };
    // The roots' own directories were there before.
    const DirFd& skel_root =
        skel.tree(request.static_files == StaticFiles::left_out ? Part::local_part : Part::static_part);
    auto place = std::make_shared<Place>(std::move(root), metadata_of(TRY(sys::stat(skel_root)), {}), Fresh::no);
    std::vector<const DirFd*> layers{&skel.tree(Part::global_part), &skel.tree(Part::local_part)};
    if (request.static_files != StaticFiles::left_out) layers.push_back(&skel.tree(Part::static_part));
    (void)TRY(Walk::run(layers, Mounts::stop, std::move(place), visitor));
    unknown_tokens.merge(shared.unknown_tokens);
  }
  return unknown_tokens;
}

Result<> make_mount_points(const DirFd& root) {
  const sys::Stat before = TRY(sys::stat(root));
  const std::array<Name, 2> mount_points{Name("proc"), Name("sys")};
  for (const Name name : mount_points)
    if (!TRY(sys::stat_if_there(root, name))) TRY(sys::make_dir(root, name, 0555));
  return sys::set_times(root, before.atime, before.mtime);
}

}  // namespace vskel
