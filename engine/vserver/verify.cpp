// verify: skels against their newest manifest, seals, records, configurations, contexts. Looks and hashes; changes
// nothing.

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "engine/content/hash.h"
#include "engine/seal/seal.h"
#include "engine/skel/account_files.h"
#include "engine/skel/kept_files.h"
#include "engine/skel/skel.h"
#include "engine/tree/arena.h"
#include "engine/tree/relative_path.h"
#include "engine/tree/walk.h"
#include "engine/txn/journal.h"
#include "engine/vserver/contexts.h"
#include "engine/vserver/inspect.h"
#include "engine/vserver/instances.h"
#include "engine/vserver/tenants.h"

namespace vskel {

namespace {

/// Differences, gathered from many tasks.
class Differences {
 public:
  void add(const std::string& subject, const std::string& path, const std::string& what) {
    const std::scoped_lock lock(mutex_);
    lines_.push_back(subject + (path.empty() ? "" : " " + printable(path)) + ": " + what);
  }
  [[nodiscard]] std::vector<std::string> take() {
    std::ranges::sort(lines_);
    return std::move(lines_);
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

/// How many names of an inode lie in the trash: of an older tree that waits for a tenant to end, say. Thread-safe.
class NamesInTrash {
 public:
  explicit NamesInTrash(const DirFd& trash) : trash_(trash) {}
  Result<std::uint32_t> of(std::uint64_t inode) {
    const std::scoped_lock lock(mutex_);
    if (!names_) names_ = TRY(count());
    const auto found = names_->find(inode);
    return found == names_->end() ? 0 : found->second;
  }

 private:
  using Names = std::unordered_map<std::uint64_t, std::uint32_t>;

  Result<Names> count() const {
    Names out;
    std::mutex mutex;  // guards out
    const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                                std::shared_ptr<void>) -> Result<> {
      for (const WalkEntry& entry : directory->entries) {
        if (entry.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
        const std::scoped_lock guard(mutex);
        if (entry.type == sys::FileType::regular) ++out[entry.inode];
      }
      return {};
    };
    if (trash_.open()) (void)TRY(Walk::run({&trash_}, Mounts::stop_in_tenants_tree, nullptr, visitor));
    return out;
  }

  const DirFd& trash_;
  std::mutex mutex_;  // guards names_
  std::optional<Names> names_;
};

/// One part of a skel against its entries in the manifest.
class PartCheck {
 public:
  PartCheck(const Skel& skel, Part part, const Manifest& manifest, std::optional<SealKind> seal, NamesInTrash& trash,
            Differences& out)
      : skel_(skel),
        part_(part),
        seal_(seal),
        trash_(trash),
        out_(out),
        expected_(manifest.entries),
        seen_(expected_.size()) {}

  Result<> run() {
    const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                                std::shared_ptr<void>) -> Result<> {
      TRY(check(directory->path, TRY(sys::stat(directory->top())), TRY(sys::xattrs(directory->top())), *directory,
                nullptr));
      for (const WalkEntry& entry : directory->entries) {
        if (entry.type == sys::FileType::directory) {
          walk.descend(directory, entry, nullptr);
          continue;
        }
        if (entry.type == sys::FileType::socket) continue;
        const sys::Stat stat = TRY(sys::stat(directory->top(), entry.name));
        TRY(check(directory->path_to(entry.name), stat, TRY(sys::xattrs(directory->top(), entry.name)), *directory,
                  &entry));
      }
      return {};
    };
    const DirFd& root = skel_.tree(part_);
    (void)TRY(Walk::run({&root}, Mounts::stop, nullptr, visitor));
    for (std::size_t at = 0; at < expected_.size(); ++at)
      if (expected_[at].part == part_ && seen_[at] == 0) differ(expected_[at].path, "missing");
    return {};
  }

 private:
  /// The entry of a path in this part; the end if there is none.
  [[nodiscard]] ManifestEntries::const_iterator find(std::string_view path) const {
    auto found = find_path(expected_, path);
    while (found != expected_.end() && found->part != part_) {
      ++found;
      if (found != expected_.end() && found->path != path) return expected_.end();
    }
    return found;
  }

  void differ(const std::string& path, const std::string& what) {
    out_.add("skel " + skel_.name().text(), std::string(part_name(part_)) + "/" + path, what);
  }

  /// The administrator may edit users and groups in static, by hand or with a tool that puts a new file there: what
  /// stands there is the skel's next state.
  [[nodiscard]] bool is_edited_account(std::string_view path, const sys::Stat& stat) const {
    return part_ == Part::static_part && stat.type == sys::FileType::regular && account_file_at(path).has_value();
  }
  [[nodiscard]] bool holds_accounts(std::string_view path) const { return part_ == Part::static_part && path == "etc"; }

  Result<> check(const std::string& path, const sys::Stat& stat, const std::vector<sys::Xattr>& xattrs,
                 const WalkDirectory& directory, const WalkEntry* entry) {
    if (entry != nullptr && part_ == Part::static_part && is_account_leftover(path)) return {};
    const auto found = find(path);
    if (found == expected_.end()) {
      if (is_edited_account(path, stat)) return {};
      const auto other = find_path(expected_, path);
      const bool is_statics =
          other != expected_.end() && other->part == Part::static_part && other->type != sys::FileType::directory;
      differ(path, is_statics ? "static has it, too; the next generation leaves it out" : "not in the manifest");
      return {};
    }
    seen_[static_cast<std::size_t>(found - expected_.begin())] = 1;
    const ManifestEntry& wanted = *found;
    if (stat.type != wanted.type) {
      differ(path, "another type");
      return {};
    }
    if (stat.type != sys::FileType::symlink && stat.mode != wanted.mode) differ(path, "mode differs");
    if (stat.uid != wanted.uid || stat.gid != wanted.gid) differ(path, "owner differs");
    const bool edited = is_edited_account(path, stat);
    if (stat.mtime != wanted.mtime && !edited && !holds_accounts(path)) differ(path, "time differs");
    if (stat.rdev != wanted.rdev()) differ(path, "device number differs");
    if (hash_xattrs(xattrs) != wanted.xattrs()) differ(path, "extended attributes differ");
    if (stat.type == sys::FileType::symlink &&
        TRY(sys::read_link(directory.top(), entry->name)) != wanted.link_target())
      differ(path, "link target differs");
    if (stat.type == sys::FileType::regular && !edited)
      TRY(check_file(path, stat, xattrs, wanted, directory.top(), entry->name));
    return {};
  }

  Result<> check_file(const std::string& path, const sys::Stat& stat, const std::vector<sys::Xattr>& xattrs,
                      const ManifestEntry& wanted, const DirFd& dir, Name name) {
    if (stat.size != wanted.size) {
      differ(path, "size differs");
    } else if (wanted.content) {
      const Fd file = TRY(sys::open_trusted_file(dir, name));
      if (TRY(hash_file(file, WithSha256::no)).xxh128 != *wanted.content) differ(path, "content differs");
    }
    // A global file's names in vservers count too, so that its number of links says nothing here.
    if (part_ != Part::global_part && stat.nlink != wanted.nlink &&
        stat.nlink != wanted.nlink + TRY(trash_.of(stat.inode)))
      differ(path, "number of links differs");
    const bool wants_seal = part_ == Part::global_part && seal_ && seal_ != SealKind::none && is_linkable(stat, xattrs);
    if (wants_seal && !TRY(is_sealed(dir, name, stat))) differ(path, "not sealed");
    return {};
  }

  const Skel& skel_;
  Part part_;
  std::optional<SealKind> seal_;
  NamesInTrash& trash_;
  Differences& out_;
  const ManifestEntries& expected_;  // of all parts
  std::vector<unsigned char> seen_;  // by place in expected_; each written by the one task that visits the path
};

/// What seals a skel's files have to have: what its vservers rely on; without any, what the file system can do.
Result<std::optional<SealKind>> wanted_seal(const Store& store, const std::vector<Record>& records) {
  if (const auto recorded = recorded_seal(records)) return recorded;
  if (!store.staging().open()) return std::nullopt;
  return choose_seal(store.staging(), std::nullopt);
}

/// Contents by path, of what a generation's .files keep of the global part.
Result<std::unordered_map<std::string, Hash128>> kept_contents(const Skel& skel, const KeptFiles& kept,
                                                               unsigned generation) {
  std::unordered_map<std::string, Hash128> out;
  TRY(skel.for_each_entry(generation, [&](const ManifestEntry& entry) -> Result<> {
    if (entry.content && entry.part == Part::global_part &&
        kept.holder(Part::global_part, entry.path, generation) == generation)
      out.emplace(entry.path, *entry.content);
    return {};
  }));
  return out;
}

enum class Seals { wanted, not_wanted };

/// What is kept of older generations is shared by the vservers that still have it.
Result<> verify_kept(const Skel& skel, Seals seals, Differences& out) {
  const KeptFiles kept = TRY(KeptFiles::load(skel));
  const std::vector<unsigned> generations = TRY(skel.all_generations());
  for (const auto& [generation, root] : kept.roots(Part::global_part)) {
    const std::string place = "generations/" + kept_files_name(generation) + "/global/";
    std::unordered_map<std::string, Hash128> contents;
    if (std::ranges::binary_search(generations, generation)) contents = TRY(kept_contents(skel, kept, generation));
    TRY(for_each_file(root, [&](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
      if (entry.type != sys::FileType::regular) return {};
      const std::string path = directory.path_to(entry.name);
      const auto differ = [&](const char* what) { out.add("skel " + skel.name().text(), place + path, what); };
      const Fd file = TRY(sys::open_trusted_file(directory.top(), entry.name));
      const sys::Stat stat = TRY(sys::stat(file));
      const auto wanted = contents.find(path);
      if (wanted != contents.end() && TRY(hash_file(file, WithSha256::no)).xxh128 != wanted->second)
        differ("content differs");
      if (seals == Seals::wanted && !TRY(is_sealed(file, stat)) && is_linkable(stat, TRY(sys::xattrs(file))))
        differ("not sealed");
      return {};
    }));
  }
  return {};
}

/// Hashes of generations are nobody's but root's.
Result<> verify_kept_accounts(const Skel& skel, Differences& out) {
  for (const unsigned generation : TRY(skel.all_generations())) {
    const std::string name = generation_accounts_name(generation);
    const DirFd accounts = TRY(open_dirs_if_there(skel.generations(), name));
    if (!accounts.open()) continue;  // of version 0.1
    const auto differ = [&](const std::string& below, const std::string& what) {
      out.add("skel " + skel.name().text(), "generations/" + name + below, what);
    };
    const sys::Stat directory = TRY(sys::stat(accounts));
    if (directory.mode != 0700 || directory.uid != 0) differ("", "not root's alone");
    TRY(for_each_file(accounts, [&](const WalkDirectory& dir, const WalkEntry& entry) -> Result<> {
      const std::string path = dir.path_to(entry.name);
      const sys::Stat stat = TRY(sys::stat(dir.top(), entry.name));
      if (entry.type != sys::FileType::regular || !account_file_at(path)) differ("/" + path, "no account file");
      if (entry.type == sys::FileType::regular && (stat.mode != 0600 || stat.uid != 0))
        differ("/" + path, "not root's alone");
      return {};
    }));
  }
  return {};
}

Result<> verify_skel(const Store& store, const Skel& skel, const std::vector<Record>& records, Differences& out) {
  const Manifest manifest = TRY(skel.manifest(TRY(skel.newest_generation())));
  (void)TRY(skel.layout());
  auto seal = TRY(wanted_seal(store, records));
  if (seal == SealKind::guard && store.staging().open()) {
    if (const auto held = choose_seal(store.staging(), seal); !held) {
      out.add("skel " + skel.name().text(), "", "its vservers rely on the guard: " + held.error().line());
      seal.reset();  // each of its files is in the open: that is said
    }
  }
  NamesInTrash trash(store.trash());
  for (const Part part : {Part::global_part, Part::local_part, Part::static_part})
    TRY(PartCheck(skel, part, manifest, seal, trash, out).run());
  TRY(verify_kept_accounts(skel, out));
  return verify_kept(skel, seal && seal != SealKind::none ? Seals::wanted : Seals::not_wanted, out);
}

bool exists(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == path.npos) return false;
  const auto dir = sys::open_root(path.substr(0, slash + 1));
  const std::string name = path.substr(slash + 1);
  const auto component = Name::check(name);
  if (!dir || !component) return false;
  const auto stat = sys::stat_if_there(*dir, *component);
  return stat && stat->has_value();
}

Result<> verify_vserver(const Store& store, const Record& record, Differences& out) {
  const std::string subject = "vserver " + record.name, path = store.paths().vservers + "/" + record.name;
  const auto differ = [&](const std::string& at, const std::string& what) { out.add(subject, at, what); };
  const auto root = TRY(sys::stat_if_there(store.vservers(), *Name::check(record.name)));
  if (!root) differ(path, "missing");
  if (root && root->type != sys::FileType::directory) differ(path, "not a directory");
  if (!record.config.empty() && !exists(record.config)) differ(record.config, "missing");
  if (record.context == 0) return {};
  const std::string context = std::to_string(record.context), link = store.paths().etc + "/contexts/" + context;
  const auto stat =
      store.contexts().open() ? TRY(sys::stat_if_there(store.contexts(), *Name::check(context))) : std::nullopt;
  if (!stat) {
    differ(link, "missing");
  } else if (stat->type != sys::FileType::symlink ||
             vserver_led_to(store, TRY(sys::read_link(store.contexts(), *Name::check(context)))) != record.name) {
    differ(link, "does not lead to " + path);
  }
  return {};
}

/// Where contexts/NAME leads, below VSERVERS: a link to elsewhere is none of our business.
Result<std::optional<std::string>> context_target(const Store& store, Name link) {
  const auto target = sys::read_link(store.contexts(), link);
  if (!target && target.error().code == ENOENT) return std::nullopt;
  auto name = vserver_led_to(store, TRY(target));
  if (name && !VserverName::parse(*name)) name.reset();
  return name;
}

/// Links of vservers that are gone, or have another context.
Result<> verify_context_links(const Store& store, const std::vector<Record>& records, Differences& out) {
  if (!store.contexts().open()) return {};
  std::map<std::string, std::string, std::less<>> wanted;
  for (const Record& record : records) wanted.emplace(std::to_string(record.context), record.name);
  const DirFd contexts = TRY(sys::reopen(store.contexts()));
  const Listing listing = TRY(Listing::read(contexts));
  for (const Listed& listed : listing.entries()) {
    if (listed.type != sys::FileType::symlink) continue;
    const auto target = TRY(context_target(store, listed.name));
    const auto found = wanted.find(listed.name.view());
    if (!target || (found != wanted.end() && found->second == *target)) continue;
    // A command makes the link ahead of the record, and takes it away ahead of it: seen in between, or after a crash
    // in between, it is not astray.
    if (!TRY(find_all_operations(store)).empty()) continue;
    const auto record = TRY(find_record(store, TRY(VserverName::parse(*target))));
    if (record && std::to_string(record->context) == listed.name.view()) continue;
    if (TRY(context_target(store, listed.name)) != target) continue;
    out.add("contexts", store.paths().etc + "/contexts/" + std::string(listed.name.view()),
            "leads to " + store.paths().vservers + "/" + *target + ", which has no such context");
  }
  return {};
}

Result<> verify_contexts(const Store& store, const std::vector<Record>& records, Differences& out) {
  TRY(verify_context_links(store, records, out));
  std::set<std::uint32_t> seen;
  for (const Record& record : records)
    if (record.context != 0 && !seen.insert(record.context).second)
      out.add("vserver " + record.name, "", "context " + std::to_string(record.context) + " is another vserver's too");
  if (seen.empty()) return {};
  const std::string path = store.paths().etc + "/contexts/nextid";
  const auto file =
      store.contexts().open() ? sys::open_file(store.contexts(), "nextid") : Result<Fd>(fail("open", path, ENOENT));
  if (!file) {
    out.add("contexts", path, file.error().line());
    return {};
  }
  const std::string text = TRY(sys::read_whole(*file, 4096));
  std::uint32_t next = 0;
  std::from_chars(text.data(), text.data() + text.size(), next);
  // Ids below the range that is given out automatically are the administrator's own.
  if (next <= *seen.rbegin()) out.add("contexts", path, "not above context " + std::to_string(*seen.rbegin()));
  return {};
}

Result<> verify_all(const Store& store, Differences& out) {
  std::vector<Record> all;
  for (const SkelName& name : TRY(Skel::all(store))) {
    auto skel = Skel::open(store, name);
    if (!skel) {
      out.add("skel " + name.text(), "", skel.error().line());
      continue;
    }
    auto records = read_records(*skel);
    if (!records) {
      out.add("skel " + name.text(), "", records.error().line());
      continue;
    }
    if (auto verified = verify_skel(store, *skel, *records, out); !verified)
      out.add("skel " + name.text(), "", verified.error().line());
    for (const Record& record : *records) TRY(verify_vserver(store, record, out));
    all.insert(all.end(), records->begin(), records->end());
  }
  TRY(verify_contexts(store, all, out));
  const DirFd vservers = TRY(sys::reopen(store.vservers()));
  const Listing listing = TRY(Listing::read(vservers));
  for (const Listed& listed : listing.entries()) {
    const std::string name(listed.name.view());
    if (listed.type != sys::FileType::directory || !VserverName::parse(name)) continue;
    if (std::ranges::none_of(all, [&](const Record& record) { return record.name == name; }))
      out.add("vserver " + name, "", "no record");
  }
  return {};
}

/// A skel may have the name of a vserver: both are meant.
Result<> verify_named(const Store& store, const VserverName& name, Differences& out) {
  const auto record = TRY(find_record(store, name));
  const auto skel_name = SkelName::parse(name.text());
  const bool has_skel = skel_name && store.skels().open() && TRY(sys::stat_if_there(store.skels(), skel_name->name()));
  if (!record && !has_skel)
    return refuse("verify", name.text(), "no skel has that name, and no vserver of that name has a record");
  if (record) TRY(verify_vserver(store, *record, out));
  if (!has_skel) return {};
  const Skel skel = TRY(Skel::open(store, *skel_name));
  return verify_skel(store, skel, TRY(read_records(skel)), out);
}

}  // namespace

Result<std::vector<std::string>> verify(const Store& store, const std::vector<VserverName>& names,
                                        const EngineOptions& engine) {
  Differences out;
  Arena arena(workers(engine));
  TRY(arena.execute([&]() -> Result<> {
    if (names.empty()) return verify_all(store, out);
    for (const VserverName& name : names) TRY(verify_named(store, name, out));
    return {};
  }));
  return out.take();
}

}  // namespace vskel
