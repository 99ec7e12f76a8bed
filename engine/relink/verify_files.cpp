// A vserver is walked along its base: only what the skel had there is looked at. What is the skel's inode is read once,
// however many vservers have it; a private copy is compared byte by byte with the file that it should be.

#include "engine/relink/verify_files.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "engine/content/compare.h"
#include "engine/content/hash.h"
#include "engine/relink/owners.h"
#include "engine/relink/skel_view.h"
#include "engine/relink/step.h"
#include "engine/seal/seal.h"
#include "engine/tree/arena.h"
#include "engine/tree/walk.h"
#include "engine/vserver/inspect.h"
#include "engine/vserver/instances.h"

namespace vskel {

namespace {

/// Differences, gathered from many tasks.
class Lines {
 public:
  void add(const std::string& line, bool set_id) {
    const std::scoped_lock lock(mutex_);
    (set_id ? set_id_ : others_).push_back(line);
  }
  /// Those of set-id files, then all others and `more`.
  [[nodiscard]] std::vector<std::string> take(std::vector<std::string> more) {
    std::ranges::move(others_, std::back_inserter(more));
    std::ranges::sort(set_id_);
    std::ranges::sort(more);
    std::ranges::move(more, std::back_inserter(set_id_));
    return std::move(set_id_);
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> set_id_, others_;
};

/// What of the skel's inodes was found, so that each is read once.
class SharedInodes {
 public:
  /// nullptr if nobody has looked yet.
  [[nodiscard]] const std::vector<std::string>* find(std::uint64_t inode) const {
    const std::scoped_lock lock(mutex_);
    const auto found = faults_.find(inode);
    return found == faults_.end() ? nullptr : &found->second;
  }
  void add(std::uint64_t inode, std::vector<std::string> faults) {
    const std::scoped_lock lock(mutex_);
    faults_.emplace(inode, std::move(faults));
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::vector<std::string>> faults_;  // references into it stay good
};

/// Directories of generations in which, or below which, there is anything of the global part.
class GlobalDirectories {
 public:
  void add(const GenerationTree& tree) { (void)add(tree.root()); }
  [[nodiscard]] bool contains(const TreeNode& node) const { return nodes_.contains(&node); }

 private:
  bool add(const TreeNode& node) {
    if (!node.is_directory()) return node.entry->part == Part::global_part;
    if (nodes_.contains(&node)) return true;
    bool any = node.entry->part == Part::global_part;
    for (const TreeNode* child : node.children()) any = add(*child) || any;
    if (any) nodes_.insert(&node);
    return any;
  }
  std::unordered_set<const TreeNode*> nodes_;
};

/// All that the vservers of one skel have in common.
struct Common {
  const SkelView& view;
  const GlobalDirectories& directories;
  SharedInodes& inodes;
  Lines& lines;
  bool seals_hold;  ///< the kernel has what they rely on
};

/// One path, as the record has it.
struct Place {
  std::string path;
  const TreeNode* base = nullptr;    ///< nullptr: the skel had no such path then, or nobody knows
  const TreeNode* theirs = nullptr;  ///< of the newest generation
  unsigned generation = 0;
};

class VserverFiles {
 public:
  VserverFiles(const Common& common, const Record& record)
      : common_(common), view_(common.view), record_(record), owners_(common.view, record.ids) {
    for (const auto& [path, generation] : record.bases) exceptions_[std::string(parent_path(path))].push_back(path);
  }

  Result<> run(const DirFd& root) {
    if (!record_.ids.empty()) TRY(view_.read_acls());
    shares_inodes_ = TRY(sys::stat(root)).device == view_.device();
    const Visitor visitor = [this](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                                   std::shared_ptr<void> context) -> Result<> {
      return visit(walk, directory, *std::static_pointer_cast<const Place>(context));
    };
    const auto top = std::make_shared<Place>(place_at("", record_.generation));
    for (const std::string& path : TRY(Walk::run({&root}, Mounts::stop_in_tenants_tree, top, visitor)))
      add(path, nullptr, "not looked into: something is mounted there, or it changed meanwhile");
    return {};
  }

 private:
  // --- where

  [[nodiscard]] Place place_at(std::string path, unsigned inherited) const {
    Place place;
    place.path = std::move(path);
    const auto exception = record_.bases.find(place.path);
    place.generation = exception == record_.bases.end() ? inherited : exception->second;
    if (const GenerationTree* const tree = view_.base(place.generation)) place.base = tree->find(place.path);
    place.theirs = view_.newest().find(place.path);
    return place;
  }

  [[nodiscard]] Place child_of(const Place& parent, std::string_view name) const {
    std::string path = joined_path(parent.path, name);
    if (!record_.bases.empty() && record_.bases.contains(path)) return place_at(std::move(path), parent.generation);
    const auto below = [name](const TreeNode* node) {
      return node == nullptr ? nullptr : GenerationTree::child(*node, name);
    };
    return {std::move(path), below(parent.base), below(parent.theirs), parent.generation};
  }

  /// The names that base has in a directory, and those of which the record says something.
  [[nodiscard]] std::vector<std::string_view> names_below(const Place& place) const {
    std::vector<std::string_view> names;
    for (const TreeNode* node : {place.base, place.base == nullptr ? place.theirs : nullptr})
      if (node != nullptr)
        for (const TreeNode* child : node->children()) names.push_back(child->name());
    if (const auto found = exceptions_.find(place.path); found != exceptions_.end())
      for (const std::string& path : found->second)
        if (!path.empty()) names.push_back(std::string_view(path).substr(path.rfind('/') + 1));
    std::ranges::sort(names);
    names.erase(std::ranges::unique(names).begin(), names.end());
    return names;
  }

  /// Is there anything at this path, or below it, that is the vserver's only by the skel's leave?
  [[nodiscard]] bool is_shared(const TreeNode& node) const {
    return node.is_directory() ? common_.directories.contains(node) : node.entry->part == Part::global_part;
  }

  // --- looking

  Result<> visit(Walk& walk, const std::shared_ptr<const WalkDirectory>& directory, const Place& place) {
    if (place.base != nullptr) TRY(look_at_directory(*directory, place));
    std::map<std::string_view, const WalkEntry*> mine;
    for (const WalkEntry& entry : directory->entries) mine.emplace(entry.name.view(), &entry);
    for (const std::string_view name : names_below(place)) {
      Place child = child_of(place, name);
      const TreeNode* const wanted = child.base != nullptr ? child.base : child.theirs;
      if (wanted == nullptr || !is_shared(*wanted)) continue;
      const auto found = mine.find(name);
      const WalkEntry* const entry = found == mine.end() ? nullptr : found->second;
      const bool both_directories =
          entry != nullptr && entry->type == sys::FileType::directory && wanted->is_directory();
      if (both_directories) {
        walk.descend(directory, *entry, std::make_shared<Place>(std::move(child)));
      } else if (child.base != nullptr) {
        TRY(look_at(*directory, child, entry));
      }
    }
    return {};
  }

  Result<> look_at_directory(const WalkDirectory& directory, const Place& place) {
    const ManifestEntry& wanted = *place.base->entry;
    if (wanted.part != Part::global_part) return {};
    const sys::Stat stat = TRY(sys::stat(directory.top()));
    const auto xattrs = TRY(sys::xattrs(directory.top()));
    const auto faults = differences(wanted, owner_here(*place.base), stat, xattrs);
    const bool as_newest = place.theirs != nullptr && place.theirs->is_directory() &&
                           differences(*place.theirs->entry, owner_here(*place.theirs), stat, xattrs).empty();
    if (!as_newest) add_all(place, faults);
    return {};
  }

  /// `mine` is nullptr where nothing stands.
  Result<> look_at(const WalkDirectory& directory, const Place& place, const WalkEntry* mine) {
    if (mine == nullptr) {
      add(place.path, place.base, "missing");
      return {};
    }
    if (is_inode_of(place.theirs, *mine)) return look_at_shared(directory, place, *place.theirs, *mine);
    if (is_inode_of(place.base, *mine)) return look_at_shared(directory, place, *place.base, *mine);
    auto looked = look_at_own(directory, place, mine->name);
    if (looked) return {};
    const Error error = std::move(looked).error();
    add(place.path, place.base, error.code == ENOENT ? "missing" : "not compared: " + error.line());
    return {};
  }

  [[nodiscard]] bool is_inode_of(const TreeNode* node, const WalkEntry& mine) const {
    return node != nullptr && shares_inodes_ && mine.type == sys::FileType::regular && node->inode != 0 &&
           mine.inode == node->inode && view_.is_skel_inode(mine.inode);
  }

  /// The skel's own inode: whatever is wrong with it is wrong in all vservers that have it.
  Result<> look_at_shared(const WalkDirectory& directory, const Place& place, const TreeNode& node,
                          const WalkEntry& mine) {
    if (owners_.changes(node)) add(place.path, place.base, "owner differs");
    if (const auto* const known = common_.inodes.find(mine.inode)) {
      add_all(place, *known);
      return {};
    }
    auto found = faults_of_shared(directory, node, mine);
    if (!found) {
      add(place.path, place.base, "not compared: " + found.error().line());
      return {};
    }
    add_all(place, *found);
    common_.inodes.add(mine.inode, std::move(*found));
    return {};
  }

  Result<std::vector<std::string>> faults_of_shared(const WalkDirectory& directory, const TreeNode& node,
                                                    const WalkEntry& mine) {
    const auto pinned = TRY(sys::pin_if_there(directory.top(), mine.name));
    // What is found out of this inode is believed of it in every vserver.
    if (!pinned || pinned->stat.inode != mine.inode)
      return fail("verify", sys::path_of(directory.top()), "it changes while it is looked at");
    const ManifestEntry& wanted = *node.entry;
    const Fd file = TRY(sys::open_pinned(*pinned));
    std::vector<std::string> faults = differences(wanted, owner_of(wanted), pinned->stat, TRY(sys::xattrs(file)));
    if (pinned->stat.size == wanted.size && wanted.content &&
        TRY(hash_file(file, WithSha256::no)).xxh128 != *wanted.content)
      faults.emplace_back(kContentDiffers);
    const bool wants_seal = record_.share == Share::hardlink && record_.seal != SealKind::none && common_.seals_hold;
    if (wants_seal && !TRY(is_sealed(file, pinned->stat))) faults.emplace_back("not sealed");
    return faults;
  }

  /// Anything else that stands there.
  Result<> look_at_own(const WalkDirectory& directory, const Place& place, Name name) {
    const DirFd& dir = directory.top();
    const auto pinned = TRY(sys::pin_if_there(dir, name));
    if (!pinned) {
      add(place.path, place.base, "missing");
      return {};
    }
    const auto faults = TRY(differences(*place.base, dir, name, *pinned));
    if (faults.empty()) return {};
    const bool may_be_newest = place.theirs != nullptr && place.theirs != place.base && !place.theirs->is_directory() &&
                               is_shared(*place.theirs);
    if (may_be_newest && TRY(differences(*place.theirs, dir, name, *pinned)).empty()) return {};
    add_all(place, faults);
    return {};
  }

  // --- comparing

  static constexpr const char* kContentDiffers = "content differs";

  /// Who owns a file of the skel's, and what attributes it has, which may name others: in this vserver, or as the skel
  /// has it.
  struct Owner {
    std::uint32_t uid, gid;
    std::optional<Hash128> xattrs;
  };
  [[nodiscard]] Owner owner_here(const TreeNode& node) const {
    return {owners_.user(node), owners_.group(node), owners_.xattrs(node)};
  }
  [[nodiscard]] static Owner owner_of(const ManifestEntry& entry) { return {entry.uid, entry.gid, entry.xattrs()}; }

  /// But for the bytes and the link's target.
  [[nodiscard]] static std::vector<std::string> differences(const ManifestEntry& wanted, Owner owner,
                                                            const sys::Stat& stat,
                                                            const std::vector<sys::Xattr>& xattrs) {
    if (stat.type != wanted.type) return {"another type"};
    std::vector<std::string> out;
    if (stat.type == sys::FileType::regular && stat.size != wanted.size) out.emplace_back("size differs");
    if (stat.type != sys::FileType::symlink && stat.mode != wanted.mode) out.emplace_back("mode differs");
    if (stat.uid != owner.uid || stat.gid != owner.gid) out.emplace_back("owner differs");
    if (stat.rdev != wanted.rdev()) out.emplace_back("device number differs");
    if (hash_xattrs(xattrs) != owner.xattrs) out.emplace_back("extended attributes differ");
    return out;
  }

  Result<std::vector<std::string>> differences(const TreeNode& node, const DirFd& dir, Name name,
                                               const sys::Pinned& pinned) {
    const sys::Stat& stat = pinned.stat;
    const ManifestEntry& wanted = *node.entry;
    if (stat.type != wanted.type) return std::vector<std::string>{"another type"};
    std::vector<std::string> out = differences(wanted, owner_here(node), stat, TRY(sys::xattrs(dir, name)));
    if (stat.type == sys::FileType::symlink && TRY(sys::read_link(dir, name)) != wanted.link_target())
      out.emplace_back("link target differs");
    const bool compares = stat.type == sys::FileType::regular && stat.size == wanted.size;
    if (compares && !TRY(has_content(node, TRY(sys::open_pinned(pinned))))) out.emplace_back(kContentDiffers);
    return out;
  }

  /// By bytes, where the skel has them still.
  Result<bool> has_content(const TreeNode& node, const Fd& file) {
    const ManifestEntry& wanted = *node.entry;
    const auto looks_right = [&](const Fd& one) -> Result<bool> {
      return !wanted.content || TRY(hash_file(one, WithSha256::no)).xxh128 == *wanted.content;
    };
    const TreeNode* const stands = node.as_newest ? view_.newest().find(node.path()) : &node;
    if (stands == nullptr || (!node.as_newest && node.kept_in == 0)) return looks_right(file);
    const Fd original = TRY(view_.open(*stands));
    if (TRY(compare_content(original, file, wanted.size)).same) return true;
    // Unless it is the skel's that is not what it was.
    return !TRY(looks_right(original)) && TRY(looks_right(file));
  }

  // --- telling

  void add_all(const Place& place, const std::vector<std::string>& faults) {
    for (const std::string& fault : faults) add(place.path, place.base, fault);
  }

  /// A set-id file that is another than the skel's may be the hole that an update closed.
  void add(const std::string& path, const TreeNode* node, const std::string& what) {
    const bool set_id =
        node != nullptr && node->type() == sys::FileType::regular && (node->entry->mode & kSetIdBits) != 0;
    common_.lines.add(
        "vserver " + record_.name + " /" + printable(path) + ": " + (set_id ? "SET-ID FILE: " : "") + what, set_id);
  }

  const Common& common_;
  const SkelView& view_;
  const Record& record_;
  const NodeOwners owners_;
  bool shares_inodes_ = false;
  std::map<std::string, std::vector<std::string>> exceptions_;  // directory -> paths in it that the record names
};

/// Whether the seals that these vservers rely on can be asked for. A guard that is not there is told once.
bool seals_hold(const Store& store, const Skel& skel, const std::vector<Record>& records, Lines& lines) {
  const auto has_guard = [](const Record& record) { return record.seal == SealKind::guard; };
  if (std::ranges::none_of(records, has_guard) || !store.staging().open()) return true;
  const auto held = choose_seal(store.staging(), SealKind::guard);
  if (!held)
    lines.add("skel " + skel.name().text() + ": its vservers rely on the guard: " + held.error().line(), false);
  return held.has_value();
}

Result<> verify_files_of(const Store& store, const Skel& skel, const std::vector<Record>& records, Lines& lines) {
  std::set<unsigned> bases;
  for (const Record& record : records) {
    bases.insert(record.generation);
    for (const auto& [path, generation] : record.bases) bases.insert(generation);
  }
  const SkelView view = TRY(SkelView::load(skel, bases));
  GlobalDirectories directories;
  directories.add(view.newest());
  for (const unsigned generation : bases)
    if (const GenerationTree* const tree = view.base(generation)) directories.add(*tree);
  SharedInodes inodes;
  const Common common{view, directories, inodes, lines, seals_hold(store, skel, records, lines)};
  // One after the other: each of them is walked by all threads.
  for (const Record& record : records) {
    const auto root = sys::open_dir(store.vservers(), *Name::check(record.name));
    if (!root) continue;  // verify() says so
    if (auto looked = VserverFiles(common, record).run(*root); !looked)
      lines.add("vserver " + record.name + ": not compared: " + looked.error().line(), false);
  }
  return {};
}

Result<> verify_files(const Store& store, const std::vector<VserverName>& names, Lines& lines) {
  std::map<std::string, std::vector<Record>> of_skels;
  for (const VserverName& name : names)
    if (auto record = TRY(find_record(store, name))) {
      std::vector<Record>& records = of_skels[record->skel];
      if (std::ranges::find(records, record->name, &Record::name) == records.end())
        records.push_back(std::move(*record));
    }
  for (const auto& [name, records] : of_skels) {
    const Skel skel = TRY(Skel::open(store, TRY(SkelName::parse(name))));
    if (auto verified = verify_files_of(store, skel, records, lines); !verified)
      lines.add("skel " + name + ": files of its vservers are not compared: " + verified.error().line(), false);
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> verify_with_files(const Store& store, const std::vector<VserverName>& names,
                                                   const EngineOptions& engine) {
  auto differences = TRY(verify(store, names, engine));
  Lines lines;
  Arena arena(workers(engine));
  TRY(arena.execute([&] { return verify_files(store, names, lines); }));
  return lines.take(std::move(differences));
}

}  // namespace vskel
