// Base, theirs and mine are walked side by side, directory by directory. Most names of most vservers end at the first
// test: the directory entry carries the skel's inode number. What the skel did not change and does not share is not
// even looked at.

#include "engine/relink/plan.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <unordered_map>

#include "engine/relink/database.h"
#include "engine/relink/observe.h"
#include "engine/seal/seal.h"
#include "engine/skel/layout.h"
#include "engine/tree/listing.h"

namespace vskel {

namespace {

using sys::FileType;

constexpr std::uint32_t kSetIdBits = 06000;
/// The order in which a vserver gets what is new.
constexpr std::size_t kLibraries = 0, kOthers = 1, kDirectories = 2, kDatabase = 3, kDatabaseDirectories = 4,
                      kOrders = 5;

bool is_library(std::string_view path) {
  if (path.starts_with("usr/")) path.remove_prefix(4);
  return path.starts_with("lib");
}

/// One path under consideration.
struct Path3 {
  std::string path;
  const TreeNode* base = nullptr;
  const TreeNode* theirs = nullptr;
  unsigned base_generation = 0;
  bool base_known = false;

  [[nodiscard]] const TreeNode& any() const { return theirs != nullptr ? *theirs : *base; }
  [[nodiscard]] bool unchanged() const {
    return base_known && (base == nullptr ? theirs == nullptr : theirs != nullptr && base->as_newest);
  }
};

class Planner {
 public:
  Planner(const SkelView& view, const Record& record, const PlanOptions& options, Gate gate)
      : view_(view),
        record_(record),
        options_(options),
        gate_(gate),
        databases_(database_paths(options.more_databases)) {
    for (const auto& [path, generation] : record.bases) exceptions_[std::string(parent_path(path))].push_back(path);
  }

  Result<VserverPlan> run(const DirFd& root) {
    root_device_ = TRY(sys::stat(root))
    .device;
    has_subvolumes_ = TRY(sys::file_system(root))
    .type == "btrfs";
    const Path3 place = place_at("", record_.generation);
    (void)TRY(plan_directory(place, root));
    settle_groups();
    put_in_order();
    std::ranges::sort(plan_.kept);
    plan_.gate = gate_;
    decide_bases();
    return std::move(plan_);
  }

 private:
  Path3 place_at(std::string path, unsigned inherited) {
    Path3 place;
    place.path = std::move(path);
    const auto exception = record_.bases.find(place.path);
    place.base_generation = exception == record_.bases.end() ? inherited : exception->second;
    const GenerationTree* const tree = view_.base(place.base_generation);
    place.base_known = tree != nullptr;
    if (tree != nullptr) place.base = tree->find(place.path);
    place.theirs = view_.newest().find(place.path);
    return place;
  }

  /// The child of a place, without a search from the root where nothing is unusual.
  Path3 child_of(const Path3& parent, std::string_view name, const TreeNode* base, const TreeNode* theirs) {
    Path3 place{joined_path(parent.path, name), base, theirs, parent.base_generation, parent.base_known};
    const auto exception = record_.bases.empty() ? record_.bases.end() : record_.bases.find(place.path);
    if (exception == record_.bases.end()) return place;
    return place_at(std::move(place.path), exception->second);
  }

  [[nodiscard]] bool in_database(std::string_view path) const { return is_below_any(databases_, path); }

  [[nodiscard]] bool frozen(const Path3& place) const {
    if (options_.databases == PackageDatabases::force && in_database(place.path)) return true;
    const bool directory = (place.theirs != nullptr && place.theirs->is_directory()) ||
                           (place.base != nullptr && place.base->is_directory());
    if (options_.global_only && place.any().entry->part != Part::global_part && !directory) return true;
    return std::ranges::any_of(options_.freeze,
                               [&](const std::string& glob) { return glob_matches(glob, place.path); });
  }

  /// Static files hold each vserver's own values.
  static bool is_static(const Path3& place) {
    return (place.theirs == nullptr || place.theirs->entry->part == Part::static_part) &&
           (place.base == nullptr || place.base->entry->part == Part::static_part);
  }

  Question question_for(const Path3& place, Obstacle obstacle = Obstacle::none) const {
    Question question;
    if (place.base != nullptr) question.base = base_node(*place.base, place.theirs);
    if (place.theirs != nullptr) question.theirs = theirs_node(*place.theirs);
    // As_newest says what numbers of nodes can't: for directories too.
    if (place.base != nullptr && place.base->as_newest && place.theirs != nullptr) question.base = question.theirs;
    question.base_known = place.base_known;
    question.part = place.any().entry->part;
    question.in_database = in_database(place.path);
    question.gate = gate_;
    question.obstacle = obstacle;
    return question;
  }

  // --- directories

  /// Plans all names below a directory that both sides go on with; gives how many entries stay in it when all is done.
  Result<std::size_t> plan_directory(const Path3& place, const DirFd& dir) {
    const Listing listing = TRY(Listing::read(dir));
    const std::vector<const Listed*> mine = by_name(listing);
    const std::vector<std::string>* const exceptions = exceptions_in(place.path);
    std::size_t staying = mine.size();
    auto next = mine.begin();
    const auto plan_name = [&](std::string_view name, const TreeNode* base, const TreeNode* theirs) -> Result<> {
      // Names come in their order, so that mine are gone through once.
      while (next != mine.end() && (*next)->name.view() < name) ++next;
      const Listed* const found = next != mine.end() && (*next)->name.view() == name ? *next : nullptr;
      if (found != nullptr && exceptions == nullptr && goes_on_as_it_is(base, theirs, *found)) return {};
      const Path3 child = child_of(place, name, base, theirs);
      if (child.base == nullptr && child.theirs == nullptr) return {};
      if (TRY(plan_child(child, dir, found)) && found != nullptr) --staying;
      return {};
    };
    if (place.base == place.theirs && place.theirs != nullptr && exceptions == nullptr) {
      for (const TreeNode* child : place.theirs->children()) TRY(plan_name(child->name(), child, child));
      return staying;
    }
    for (const std::string_view name : names_below(place, exceptions)) {
      const TreeNode* const base = place.base != nullptr ? GenerationTree::child(*place.base, name) : nullptr;
      const TreeNode* const theirs = place.theirs != nullptr ? GenerationTree::child(*place.theirs, name) : nullptr;
      TRY(plan_name(name, base, theirs));
    }
    return staying;
  }

  static std::vector<const Listed*> by_name(const Listing& listing) {
    std::vector<const Listed*> sorted;
    sorted.reserve(listing.entries().size());
    for (const Listed& listed : listing.entries()) sorted.push_back(&listed);
    std::ranges::sort(sorted, {}, [](const Listed* listed) { return listed->name.view(); });
    return sorted;
  }

  /// Paths in a directory of which the record says something; nullptr: none.
  [[nodiscard]] const std::vector<std::string>* exceptions_in(const std::string& directory) const {
    if (exceptions_.empty()) return nullptr;
    const auto found = exceptions_.find(directory);
    return found == exceptions_.end() ? nullptr : &found->second;
  }

  /// The names that base or theirs have in a directory, and those of which the record says something.
  static std::vector<std::string_view> names_below(const Path3& place, const std::vector<std::string>* exceptions) {
    std::vector<std::string_view> names;
    for (const TreeNode* node : {place.base, place.theirs})
      if (node != nullptr)
        for (const TreeNode* child : node->children()) names.push_back(child->name());
    if (exceptions != nullptr)
      for (const std::string& path : *exceptions)
        if (!path.empty()) names.push_back(std::string_view(path).substr(path.rfind('/') + 1));
    std::ranges::sort(names);
    names.erase(std::ranges::unique(names).begin(), names.end());
    return names;
  }

  /// Most names of most vservers: the skel has not changed them, and they are shared already or not to be. Counted; the
  /// rest of the table would say the same of them, after making their path.
  bool goes_on_as_it_is(const TreeNode* base, const TreeNode* theirs, const Listed& mine) {
    if (!options_.freeze.empty() || base == nullptr || theirs == nullptr || !base->as_newest) return false;
    if (mine.type == FileType::directory || theirs->is_directory()) return false;
    if (is_inode_of(*theirs, mine)) {
      if (options_.share != Share::hardlink || !theirs->linkable) return false;
      ++plan_.shared_before;
      ++plan_.shared_now;
      return true;
    }
    return !is_to_be_shared(*theirs) && (theirs->entry->mode & kSetIdBits) == 0;
  }

  [[nodiscard]] bool is_inode_of(const TreeNode& theirs, const Listed& mine) const {
    return mine.type == FileType::regular && theirs.inode != 0 && mine.inode == theirs.inode &&
           root_device_ == view_.device();
  }

  /// True if the entry will be gone.
  Result<bool> plan_child(const Path3& place, const DirFd& dir, const Listed* mine) {
    const bool their_directory = place.theirs != nullptr && place.theirs->is_directory();
    const bool base_directory = place.base != nullptr && place.base->is_directory();
    if (is_static(place) && !(their_directory && mine != nullptr)) return false;
    if (frozen(place)) {
      settle(place, decide(question_for(place, Obstacle::frozen)));
      if (their_directory || base_directory) base_stays_below(place);
      return false;
    }
    if (in_database(place.path) && is_database_leftover(place.any().name())) return false;
    if (mine == nullptr) return plan_absent(place);
    const bool my_directory = mine->type == FileType::directory;
    if (my_directory && (their_directory || (base_directory && place.theirs == nullptr)))
      return plan_common_directory(place, dir, *mine);
    if (my_directory || their_directory) return plan_type_change(place, dir, *mine);
    return plan_file(place, dir, *mine);
  }

  bool plan_absent(const Path3& place) {
    const bool both_directories =
        place.base != nullptr && place.theirs != nullptr && place.base->is_directory() && place.theirs->is_directory();
    Decision decision = decide(question_for(place));
    // A directory that the tenant deleted stays deleted with all below it, and is told of once.
    if (both_directories && decision.row == 4 && !same_subtree(*place.base, *place.theirs))
      decision = {Action::keep, 8, why::kDeletedHere, false};
    if (decision.action == Action::add) {
      Step step;
      step.kind = Step::Kind::put_new;
      step.change = Change::added;
      add_step(place, std::move(step));
      count_shared_below(*place.theirs);
    }
    settle(place, decision);
    if (both_directories && decision.action == Action::keep) base_stays_below(place);
    return false;
  }

  /// A closed descriptor where the tenant has put something else there, or something is mounted.
  Result<DirFd> enter(const DirFd& parent, Name name) const {
    auto opened = sys::open_dir(parent, name);
    const auto is_blocked = [](int code) {
      return code == ELOOP || code == ENOTDIR || code == EXDEV || code == ENOENT;
    };
    if (!opened && is_blocked(opened.error().code)) return DirFd();
    DirFd dir = TRY(std::move(opened));
    // RESOLVE_NO_XDEV lets btrfs subvolumes pass; their device number tells.
    if (has_subvolumes_ && TRY(sys::stat(dir)).device != root_device_) return DirFd();
    return dir;
  }

  Result<bool> plan_common_directory(const Path3& place, const DirFd& parent, const Listed& mine) {
    const DirFd dir = TRY(enter(parent, mine.name));
    if (!dir.open()) {
      plan_blocked(place);
      return false;
    }
    if (place.theirs == nullptr) return plan_removed_directory(place, dir);
    if (!place.unchanged() && place.theirs->entry->part != Part::static_part) {
      Question question = question_for(place);
      const Observed observed = TRY(observe_directory(dir, place.base, place.theirs));
      question.mine = observed.node;
      const Decision decision = decide(question);
      if (decision.action == Action::set_metadata) {
        Step step;
        step.kind = Step::Kind::set_metadata;
        step.change = Change::updated;
        step.mine = identity_of(observed.stat);
        add_step(place, std::move(step));
      }
      // Its own base goes along with what is below it in any case but a conflict.
      if (decision.action == Action::keep || decision.action == Action::hold) settle(place, decision);
    }
    // An unknown or absent base of the directory is one of all below it.
    Path3 below = place;
    if (place.base != nullptr && !place.base->is_directory()) below.base = nullptr;
    (void)TRY(plan_directory(below, dir));
    return false;
  }

  Result<bool> plan_removed_directory(const Path3& place, const DirFd& dir) {
    const std::size_t staying = TRY(plan_directory(place, dir));
    Question question = question_for(place);
    const sys::Stat stat = TRY(sys::stat(dir));
    question.mine = Node{stat.type, stat.mode, stat.uid, stat.gid, 0, 0};
    Decision decision = decide(question);
    if (decision.action == Action::remove_dir && staying > 0) decision = {Action::keep, 23, why::kNotEmpty, false};
    if (decision.action == Action::remove_dir) {
      Step step;
      step.kind = Step::Kind::remove_dir;
      step.change = Change::removed;
      step.mine = identity_of(stat);
      add_step(place, std::move(step));
    }
    settle(place, decision);
    return decision.action == Action::remove_dir;
  }

  void plan_blocked(const Path3& place) {
    const bool nothing_new =
        place.base != nullptr && place.theirs != nullptr && same_subtree(*place.base, *place.theirs);
    if (nothing_new) return;
    settle(place, decide(question_for(place, Obstacle::blocked)));
    base_stays_below(place);
  }

  /// One of theirs and mine is a directory, the other is not.
  Result<bool> plan_type_change(const Path3& place, const DirFd& dir, const Listed& mine) {
    const bool was_directory = place.base != nullptr && place.base->is_directory();
    const bool their_directory = place.theirs != nullptr && place.theirs->is_directory();
    if (was_directory && their_directory) {
      // The tenant put something else in the place of a directory: nothing passes through it.
      if (mine.type == FileType::symlink) {
        plan_blocked(place);
      } else if (!same_subtree(*place.base, *place.theirs)) {
        keep(place, {Action::keep, 20, why::kTypeChanged, false});
      }
      return false;
    }
    Question question = question_for(place);
    Step step;
    step.kind = place.theirs == nullptr ? Step::Kind::remove : Step::Kind::put_over;
    step.change = place.theirs == nullptr ? Change::removed : Change::updated;
    if (mine.type == FileType::directory) {
      const DirFd own = TRY(enter(dir, mine.name));
      if (!own.open()) {
        plan_blocked(place);
        return false;
      }
      const Observed observed = TRY(observe_directory(own, place.base, place.theirs));
      question.mine = observed.node;
      step.mine = identity_of(observed.stat);
      if (was_directory) question.below = TRY(is_as_base(*place.base, own))
      ? Below::as_base : Below::own_entries;
    } else {
      auto observed = TRY(observer_.at(dir, mine.name, place.base, place.theirs));
      if (!observed) return false;
      if (observed->mounted) {
        plan_blocked(place);
        return false;
      }
      note(*observed, question, step, place);
    }
    const Decision decision = decide(question);
    if (decision.action == Action::replace || decision.action == Action::remove) {
      if (place.theirs != nullptr) count_shared_below(*place.theirs);
      add_step(place, std::move(step));
    }
    settle(place, decision);
    if (decision.action == Action::keep && their_directory) base_stays_below(place);
    return decision.action == Action::remove;
  }

  /// A directory of the vserver's with all below it, against what it was.
  Result<bool> is_as_base(const TreeNode& base, const DirFd& dir) {
    const Observed own = TRY(observe_directory(dir, &base, nullptr));
    if (!same_node(own.node, base_node(base, nullptr))) return false;
    const Listing listing = TRY(Listing::read(dir));
    if (listing.entries().size() != base.children().size()) return false;
    for (const Listed& listed : listing.entries()) {
      const TreeNode* const child = GenerationTree::child(base, listed.name.view());
      if (child == nullptr || child->type() != listed.type) return false;
      if (child->is_directory()) {
        const DirFd inner = TRY(enter(dir, listed.name));
        if (!inner.open() || !TRY(is_as_base(*child, inner))) return false;
        continue;
      }
      const auto observed = TRY(observer_.at(dir, listed.name, child, nullptr));
      if (!observed || observed->in_use || observed->mounted) return false;
      plan_.bytes_read += observed->bytes_read;
      if (!same_node(observed->node, base_node(*child, nullptr))) return false;
    }
    return true;
  }

  // --- files, links, devices

  [[nodiscard]] bool is_to_be_shared(const TreeNode& theirs) const {
    if (theirs.type() != FileType::regular || theirs.entry->part != Part::global_part) return false;
    if (options_.share == Share::hardlink) return theirs.linkable;
    return options_.share == Share::reflink && theirs.entry->size > 0;
  }

  Result<bool> plan_file(const Path3& place, const DirFd& dir, const Listed& mine) {
    const TreeNode* const theirs = place.theirs;
    const bool is_theirs = theirs != nullptr && is_inode_of(*theirs, mine);
    if (is_theirs) ++plan_.shared_before;
    if (is_theirs && options_.share == Share::hardlink && theirs->linkable) {
      ++plan_.shared_now;
      if (!place.unchanged()) moved_.emplace(place.path, place.base_generation);
      return false;
    }
    const bool set_id =
        ((place.any().entry->mode | (place.base != nullptr ? place.base->entry->mode : 0)) & kSetIdBits) != 0;
    if (place.unchanged() && !is_theirs && (theirs == nullptr || !is_to_be_shared(*theirs))) {
      if (set_id) TRY(look_at_set_id(place, dir, mine));
      return false;
    }
    if (place.unchanged() && options_.share == Share::reflink && !is_theirs &&
        TRY(is_as_shared_as_can_be(*theirs, dir, mine.name)))
      return false;
    auto observed = TRY(observer_.at(dir, mine.name, place.base, theirs));
    if (!observed) return false;
    if (observed->mounted) {
      plan_blocked(place);
      return false;
    }
    Question question = question_for(place);
    Step step;
    note(*observed, question, step, place);
    const bool is_equal = theirs != nullptr && same_node(*question.mine, *question.theirs);
    if (is_equal) question.place = TRY(place_of(*theirs, *observed, is_theirs));
    if (is_equal && question.place == Place::as_it_should && is_to_be_shared(*theirs)) {
      if (!is_theirs) ++plan_.shared_before;
      ++plan_.shared_now;
    }
    // FIDEDUPERANGE compares and shares under the inode's lock: no writer is in its way, nor it in a writer's.
    const bool by_kernel = is_equal && options_.share == Share::reflink && !is_theirs;
    if (by_kernel) observed->in_use = step.in_use = false;
    const Decision decision = decide_with_use(question, observed->in_use);
    const bool acted = add_file_step(place, decision, *observed, std::move(step), is_theirs);
    settle(place, decision);
    const bool stays_old = set_id && !acted && theirs != nullptr && !is_equal;
    if ((stays_old || (set_id && theirs == nullptr && decision.action == Action::keep)) &&
        (observed->stat.mode & kSetIdBits) != 0)
      plan_.old_set_id.insert(place.path);
    return decision.action == Action::remove;
  }

  /// Of a file that the skel did not change: the map of its extents says, without a byte read, that nothing is to be
  /// gained. What a writer has not yet brought to the disk is the tenant's change and stays his.
  Result<bool> is_as_shared_as_can_be(const TreeNode& theirs, const DirFd& dir, Name name) {
    const auto stat = TRY(sys::stat_if_there(dir, name));
    if (!stat || stat->type != FileType::regular || stat->size != theirs.entry->size) return true;
    const auto wanted = TRY(sys::physical_extents(TRY(files_.open(theirs))));
    if (!wanted) return true;  // packed into metadata: there is nothing to share
    const auto file = sys::open_file(dir, name);
    if (!file || TRY(sys::physical_extents(*file)) != wanted) return false;
    ++plan_.shared_before;
    ++plan_.shared_now;
    return true;
  }

  void note(const Observed& observed, Question& question, Step& step, const Path3& place) {
    question.mine = observed.node;
    step.mine = identity_of(observed.stat);
    step.in_use = observed.in_use;
    step.proof = observed.proof_of_base;
    step.compared_under_lease = observed.compared_under_lease;
    step.base = place.base;
    plan_.bytes_read += observed.bytes_read;
  }

  static Decision decide_with_use(Question& question, bool in_use) {
    if (in_use) question.obstacle = Obstacle::in_use;
    return decide(question);
  }

  /// Is an equal file shared already, in the way of this vserver?
  Result<Place> place_of(const TreeNode& theirs, const Observed& observed, bool is_theirs) {
    if (theirs.type() != FileType::regular || theirs.entry->part != Part::global_part) return Place::as_it_should;
    if (!is_to_be_shared(theirs)) return is_theirs ? Place::its_own : Place::as_it_should;
    if (is_theirs) return options_.share == Share::hardlink ? Place::as_it_should : Place::its_own;
    // Which names of one inode become the skel's is the table's business; an older inode of the skel's is one as well.
    if (options_.share != Share::reflink || !observed.file) return Place::its_own;
    const auto extents = TRY(sys::physical_extents(TRY(files_.open(theirs))));
    if (!extents) return Place::as_it_should;  // packed into metadata: there is nothing to share
    return TRY(sys::physical_extents(*observed.file))
    == extents ? Place::as_it_should : Place::its_own;
  }

  /// The step for a decision; true if there is one.
  bool add_file_step(const Path3& place, const Decision& decision, const Observed& observed, Step step,
                     bool is_theirs) {
    Action action = decision.action;
    // What is in use is tried at the end: planned as if it were not.
    if (decision.why == why::kInUse) {
      Question again = question_for(place);
      again.mine = observed.node;
      action = decide(again).action;
    }
    switch (action) {
      case Action::share: {
        const bool in_place = options_.share == Share::reflink && !is_theirs;
        step.kind = in_place ? Step::Kind::share_extents : Step::Kind::put_over;
        step.change = is_to_be_shared(*place.theirs) ? Change::shared : Change::updated;
        step.proof = view_.is_skel_inode(observed.stat.inode) ? Proof::inode : Proof::theirs;
        break;
      }
      case Action::replace:
        step.kind = Step::Kind::put_over;
        step.change = Change::updated;
        break;
      case Action::remove:
        step.kind = Step::Kind::remove;
        step.change = Change::removed;
        break;
      default:
        return false;
    }
    if (!step.in_use && place.theirs != nullptr && is_to_be_shared(*place.theirs)) ++plan_.shared_now;
    if (!step.in_use && step.change == Change::shared && observed.stat.nlink == 1)
      plan_.bytes_saved += observed.stat.blocks * 512;
    if (observed.stat.nlink > 1 && observed.stat.type == FileType::regular &&
        !view_.is_skel_inode(observed.stat.inode) && step.kind != Step::Kind::share_extents)
      groups_[observed.stat.inode].names = observed.stat.nlink;
    add_step(place, std::move(step));
    return true;
  }

  /// A set-id file that stays as the tenant has it may be the hole that an update closed.
  Result<> look_at_set_id(const Path3& place, const DirFd& dir, const Listed& mine) {
    const auto stat = TRY(sys::stat_if_there(dir, mine.name));
    if (!stat || stat->type != FileType::regular || (stat->mode & kSetIdBits) == 0 || place.theirs == nullptr)
      return {};
    const ManifestEntry& entry = *place.theirs->entry;
    // What has not changed since the record was written is as the record says; its ctime is not the tenant's to set.
    const bool seen = stat->ctime <= record_.written && !record_.set_id.contains(place.path);
    const bool untouched = seen && stat->size == entry.size && stat->mtime == entry.mtime && stat->uid == entry.uid &&
                           stat->gid == entry.gid && stat->mode == entry.mode;
    if (untouched) return {};
    const auto observed = TRY(observer_.at(dir, mine.name, nullptr, place.theirs));
    if (!observed || observed->mounted) return {};
    plan_.bytes_read += observed->bytes_read;
    if (!same_node(observed->node, theirs_node(*place.theirs))) plan_.old_set_id.insert(place.path);
    return {};
  }

  // --- what comes of it

  void add_step(const Path3& place, Step step) {
    step.theirs = place.theirs;
    step.base = place.base;
    step.base_generation = place.base_generation;
    const bool directory = step.kind == Step::Kind::remove_dir || step.kind == Step::Kind::set_metadata;
    const std::size_t order = in_database(place.path)  ? (directory ? kDatabaseDirectories : kDatabase)
                              : directory              ? kDirectories
                              : is_library(place.path) ? kLibraries
                                                       : kOthers;
    steps_[order].push_back(std::move(step));
  }

  /// One after the other, the memory of each going as it is taken over.
  void put_in_order() {
    plan_.steps = std::move(steps_.front());
    for (std::size_t order = 1; order < steps_.size(); ++order)
      for (; !steps_[order].empty(); steps_[order].pop_front()) plan_.steps.push_back(std::move(steps_[order].front()));
  }

  /// What a new subtree brings along.
  void count_shared_below(const TreeNode& node) {
    if (!node.is_directory() && is_to_be_shared(node)) ++plan_.shared_now;
    for (const TreeNode* child : node.children()) count_shared_below(*child);
  }

  void keep(const Path3& place, const Decision& decision) { settle(place, decision); }

  /// Reports a decision and notes which base the path has from now on.
  void settle(const Path3& place, const Decision& decision) {
    if (decision.action == Action::hold && gate_ == Gate::closed && !in_database(place.path)) plan_.held_back = true;
    bool moves = decision.base_moves;
    if (decision.action == Action::keep) {
      plan_.kept.push_back({"/" + place.path, std::string(decision.why)});
      if (place.theirs != nullptr) plan_.conflicts.push_back(place.theirs);
      moves = options_.acknowledge && decision.why != why::kInUse;
      if (moves) acknowledged_.insert(place.path);
    }
    if (place.unchanged()) return;  // its base is the newest as it is
    (moves ? moved_ : staying_).emplace(place.path, place.base_generation);
  }

  /// Below a directory that is not entered, everything keeps the base that it has.
  void base_stays_below(const Path3& place) {
    if (acknowledged_.contains(place.path)) return;
    staying_.emplace(place.path, place.base_generation);
    const std::string prefix = place.path + "/";
    for (auto at = record_.bases.lower_bound(prefix); at != record_.bases.end() && at->first.starts_with(prefix); ++at)
      staying_.emplace(at->first, at->second);
  }

  // --- names of one inode

  struct InodeNames {
    std::uint32_t names = 0;
  };

  /// A group of names is acted on whole or not at all: a name that the table does not know, or that stays, tears it.
  void settle_groups() {
    if (groups_.empty()) return;
    std::unordered_map<std::uint64_t, std::uint32_t> acted;
    for (const Steps& steps : steps_)
      for (const Step& step : steps)
        if (groups_.contains(step.mine.inode)) ++acted[step.mine.inode];
    const auto torn = [&](const Step& step) {
      const auto group = groups_.find(step.mine.inode);
      return step.kind != Step::Kind::put_new && step.mine.type == FileType::regular && group != groups_.end() &&
             acted[step.mine.inode] < group->second.names;
    };
    for (Steps& steps : steps_) {
      for (const Step& step : steps)
        if (torn(step)) keep_torn(step);
      std::erase_if(steps, torn);
    }
  }

  void keep_torn(const Step& step) {
    if (step.theirs != nullptr && is_to_be_shared(*step.theirs) && !step.in_use) --plan_.shared_now;
    if (step.change == Change::shared) return;  // equal: there is nothing to tell
    if ((step.mine.mode & kSetIdBits) != 0) plan_.old_set_id.insert(step.path());
    plan_.kept.push_back(
        {"/" + step.path(), std::string(step.theirs == nullptr ? why::kRemovedInSkel : why::kChangedOnBothSides)});
    if (step.theirs != nullptr) plan_.conflicts.push_back(step.theirs);
    if (options_.acknowledge) return;
    moved_.erase(step.path());
    staying_.emplace(step.path(), step.base_generation);
  }

  // --- bases

  /// The record names one generation and what differs from it: the way in which less differs.
  void decide_bases() {
    // What nothing was to be said of is as the newest is, or nowhere any more.
    for (const auto& [path, generation] : record_.bases)
      if (!staying_.contains(path)) moved_.emplace(path, generation);
    const unsigned newest = view_.newest().generation();
    // Steps that fail are put back by whoever carries them out.
    // An unknown base is one of the paths that differ today, not of those that the skel gets tomorrow.
    const bool forward = staying_.size() <= moved_.size() || record_.generation == newest || record_.generation == 0;
    plan_.generation = forward ? newest : record_.generation;
    if (forward) {
      for (const auto& [path, generation] : staying_)
        if (generation != newest) plan_.bases.emplace(path, generation);
      // What the record says of a directory holds for all below it, but for what it says of that itself.
      for (const auto& [path, generation] : moved_)
        if (has_staying_parent(path)) plan_.bases.emplace(path, newest);
      return;
    }
    for (const auto& [path, generation] : staying_)
      if (generation != record_.generation || has_staying_parent(path)) plan_.bases.emplace(path, generation);
    for (const auto& [path, generation] : moved_) plan_.bases.insert_or_assign(path, newest);
  }

  [[nodiscard]] bool has_staying_parent(std::string_view path) const {
    while (!staying_.empty() && !path.empty()) {
      path = parent_path(path);
      if (staying_.contains(std::string(path))) return true;
    }
    return false;
  }

  const SkelView& view_;
  SkelFiles files_{view_};
  Observer observer_{view_, files_};
  const Record& record_;
  const PlanOptions& options_;
  const Gate gate_;
  const std::vector<std::string> databases_;
  std::uint64_t root_device_ = 0;
  bool has_subvolumes_ = false;
  std::map<std::string, std::vector<std::string>>
      exceptions_;  // directory -> paths in it of which the record says something
  VserverPlan plan_;
  std::array<Steps, kOrders> steps_;  // until the plan has them in order
  std::unordered_map<std::uint64_t, InodeNames> groups_;
  std::map<std::string, unsigned> moved_, staying_;  // paths that the skel changed -> their base until now
  std::set<std::string> acknowledged_;
};

/// Would a closed gate stop any of it?
bool is_gated(const VserverPlan& plan) {
  return std::ranges::any_of(plan.steps, [](const Step& step) { return step.change != Change::shared; });
}

}  // namespace

std::string_view change_word(Change change) {
  switch (change) {
    case Change::updated:
      return "updated";
    case Change::added:
      return "added";
    case Change::removed:
      return "removed";
    case Change::shared:
      return "shared";
  }
  return "";
}

Identity identity_of(const sys::Stat& stat) {
  return {stat.inode, stat.size, stat.mtime, stat.ctime, stat.mode, stat.uid, stat.gid, stat.type, stat.immutable};
}

bool is_still(const Identity& identity, const sys::Stat& stat) {
  const bool same_inode = identity.type == stat.type && identity.inode == stat.inode;
  const bool same_owner = identity.mode == stat.mode && identity.uid == stat.uid && identity.gid == stat.gid;
  // What is made or removed in a directory moves its time and size; it is judged by what is in it.
  if (stat.type == FileType::directory) return same_inode && same_owner;
  return same_inode && same_owner && identity.size == stat.size && identity.mtime == stat.mtime;
}

Result<VserverPlan> plan_vserver(const SkelView& view, const Record& record, const DirFd& root,
                                 const PlanOptions& options) {
  const auto plan_with = [&](Gate gate) -> Result<VserverPlan> {
    const sys::Time since = sys::inode_clock();
    VserverPlan plan = TRY(Planner(view, record, options, gate).run(TRY(sys::reopen(root))));
    plan.since = since;
    return plan;
  };
  if (options.share_only) return plan_with(Gate::share_only);
  VserverPlan plan = TRY(plan_with(Gate::open));
  // The gate is asked only where it would stop something: a run with nothing to do reads no database.
  if (options.databases == PackageDatabases::force || !is_gated(plan)) return plan;
  const DatabaseLook look = TRY(look_at_databases(view, record, root, options.more_databases));
  if (look.untouched) {
    plan.bytes_read += look.bytes_read;
    return plan;
  }
  plan = TRY(plan_with(Gate::closed));
  plan.bytes_read += look.bytes_read;
  return plan;
}

}  // namespace vskel
