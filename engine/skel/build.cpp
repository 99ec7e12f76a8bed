// build-skel, the eleven steps of the 2003 page: a private copy is made in staging, parts, devices and all, and
// appears as VSERVERS/.skel/NAME by one rename. An archive is unpacked first and then distributed as a directory is,
// its inodes moved.

#include "engine/skel/build.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <mutex>
#include <set>

#include "engine/content/hash.h"
#include "engine/issue/executor.h"
#include "engine/seal/seal.h"
#include "engine/skel/account_files.h"
#include "engine/skel/archive.h"
#include "engine/skel/build_intent.h"
#include "engine/skel/database_leftovers.h"
#include "engine/skel/default_templates.h"
#include "engine/skel/devices.h"
#include "engine/skel/distribute.h"
#include "engine/skel/host_traces.h"
#include "engine/skel/sieve.h"
#include "engine/skel/skel.h"
#include "engine/skel/suspects.h"
#include "engine/tree/arena.h"
#include "engine/tree/relative_path.h"
#include "engine/tree/remove.h"
#include "engine/txn/journal.h"
#include "engine/txn/lock.h"
#include "engine/txn/write_behind.h"

namespace vskel {

namespace {

enum class SourceKind { host, directory, archive };

/// Directories that are emptied, or that every skel has: the page's /home, /root and /tmp, and the mount points of a
/// running system. /tmp is emptied by the layout's rules.
struct EmptyDirectory {
  enum class Emptied { never, with_homes, always };
  Name name;
  std::uint32_t mode;
  bool made_if_missing;
  Emptied emptied;
};
constexpr std::array kEmptyDirectories{EmptyDirectory{"home", 0755, true, EmptyDirectory::Emptied::with_homes},
                                       EmptyDirectory{"root", 0700, true, EmptyDirectory::Emptied::with_homes},
                                       EmptyDirectory{"tmp", 01777, true, EmptyDirectory::Emptied::never},
                                       EmptyDirectory{"proc", 0555, false, EmptyDirectory::Emptied::always},
                                       EmptyDirectory{"sys", 0555, false, EmptyDirectory::Emptied::always}};

constexpr std::string_view kHosts =
    "127.0.0.1\tlocalhost\n"
    "%%VS_IP%%\t%%VS_FQDN%% %%VS_NAME%%\n"
    "\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n";

/// Which names of a source are taken. Asked from many tasks.
class SourceRules {
 public:
  /// `sieve` hears of what is left out by the layout's rules. Both outlive this.
  SourceRules(const BuildRequest& request, SourceKind kind, Sieve& sieve,
              std::set<std::pair<std::uint64_t, std::uint64_t>> own_directories)
      : request_(request), kind_(kind), sieve_(sieve), own_directories_(std::move(own_directories)) {}

  Treatment operator()(const WalkDirectory& directory, const WalkEntry& entry) const {
    const Treatment treatment = by_place(directory, entry);
    const bool by_request = directory.depth == 0 && asked_for(entry.name.view());
    return treatment == Treatment::take && !by_request ? sieve_.treat(directory, entry) : treatment;
  }

  /// Where a name stands decides, and nothing else: what the layout's rules will say is not asked, nor is anybody told.
  [[nodiscard]] Treatment by_place(const WalkDirectory& directory, const WalkEntry& entry) const {
    const std::string path = directory.path_to(entry.name);
    if (excluded(path) || is_own_directory(directory, entry)) return Treatment::leave_out;
    if (is_left_by_readers(directory, entry)) return Treatment::leave_out;
    if (path == "etc/hosts") return Treatment::leave_out;  // a static one with tokens takes its place
    if (directory.depth > 0) return Treatment::take;
    const std::string_view name = entry.name.view();
    if (name == "dev") return Treatment::leave_out;  // only the devices of a container, made anew
    const bool is_directory = entry.type == sys::FileType::directory;
    for (const EmptyDirectory& empty : kEmptyDirectories)
      if (is_directory && name == empty.name.view())
        return is_emptied(empty) && !asked_for(path) ? Treatment::keep_empty : Treatment::take;
    if (kind_ != SourceKind::host) return Treatment::take;
    if (name == "run" && is_directory) return Treatment::keep_empty;
    const bool of_the_page =
        name == "bin" || name.starts_with("lib") || name == "sbin" || name == "usr" || name == "etc" || name == "var";
    return of_the_page || asked_for(path) ? Treatment::take : Treatment::leave_out;
  }

 private:
  bool excluded(std::string_view path) const {
    return std::ranges::any_of(request_.exclude, [&](const std::string& glob) { return glob_matches(glob, path); });
  }
  bool is_emptied(const EmptyDirectory& directory) const {
    using enum EmptyDirectory::Emptied;
    const bool no_homes = kind_ == SourceKind::host || request_.homes == Homes::emptied;
    return directory.emptied == always || (directory.emptied == with_homes && no_homes);
  }
  /// Named by a --global, --local or --static of the administrator's, or covered by a --keep: then he wants what is in
  /// it.
  bool asked_for(std::string_view path) const {
    const auto begins = [&](const std::string& pattern) {
      return glob_matches(pattern, path) || pattern.starts_with("/" + std::string(path) + "/");
    };
    return std::ranges::any_of(request_.global, begins) || std::ranges::any_of(request_.local, begins) ||
           std::ranges::any_of(request_.static_paths, begins) ||
           std::ranges::any_of(request_.keep, [&](const auto& glob) {
             return glob_matches(glob, path);  // a file of somebody's home is not all of it
           });
  }
  /// The vservers and their configuration are no part of a skel. Most names are told apart by their inode number alone.
  bool is_own_directory(const WalkDirectory& directory, const WalkEntry& entry) const {
    if (entry.type != sys::FileType::directory) return false;
    const auto same_inode = [&](const auto& own) { return own.second == entry.inode; };
    if (std::ranges::none_of(own_directories_, same_inode)) return false;
    const auto stat = sys::stat(directory.top(), entry.name);
    return stat && own_directories_.contains({stat->device, stat->inode});
  }

  const BuildRequest& request_;
  SourceKind kind_;
  Sieve& sieve_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> own_directories_;
};

Result<Layout> layout_for(const BuildRequest& request) {
  return Layout::with_defaults(request.global, request.local, request.static_paths, request.keep);
}

Result<SourceKind> kind_of(const std::string& source) {
  if (source == "-") return SourceKind::archive;
  auto opened = sys::open_input(source);
  if (!opened)
    return refuse("open source", source,
                  opened.error().code == ENOENT ? "no such directory or archive" : opened.error().line());
  const sys::Stat stat = TRY(sys::stat(*opened));
  if (stat.type == sys::FileType::regular || stat.type == sys::FileType::fifo) return SourceKind::archive;
  if (stat.type != sys::FileType::directory) return refuse("open source", source, "neither a directory nor an archive");
  const sys::Stat root = TRY(sys::stat(TRY(sys::open_root("/"))));
  return stat.inode == root.inode && stat.device == root.device ? SourceKind::host : SourceKind::directory;
}

/// The skel while it is made: its directories in staging.
struct Staged {
  DirFd dir;  ///< staging/ID/skel
  std::array<DirFd, kParts> trees;
  DirFd generations;

  const DirFd& tree(Part part) const { return trees[static_cast<std::size_t>(part)]; }
};

Result<Staged> make_skeleton(const DirFd& staging) {
  Staged staged;
  staged.dir = TRY(sys::ensure_dir(staging, "skel", 0755));
  staged.trees[0] = TRY(sys::ensure_dir(staged.dir, "global", 0755));
  staged.trees[1] = TRY(sys::ensure_dir(staged.dir, "local", 0755));
  staged.trees[2] = TRY(sys::ensure_dir(staged.dir, "static", 0755));
  staged.generations = TRY(sys::ensure_dir(staged.dir, "generations", 0755));
  TRY(sys::make_dir(staged.dir, "instances", 0700));
  const DirFd scripts = TRY(sys::ensure_dir(staged.dir, "scripts", 0755));
  TRY(sys::make_dir(scripts, "post-create-vs", 0755));
  return staged;
}

Result<> write_small_file(const DirFd& dir, Name name, std::string_view content, std::uint32_t mode) {
  const Fd file = TRY(sys::create_file(dir, name, mode));
  return sys::write_all(file, content);
}

/// Gives the directory etc of the static tree, which was made here, the metadata of the source's, which stands in
/// another part: a directory of several parts is the same in all.
Result<ManifestEntry> finish_static_etc(const DirFd& etc, const DirFd& source, sys::Time now,
                                        const ManifestEntries& entries) {
  ManifestEntry entry;
  entry.path = "etc";
  entry.type = sys::FileType::directory;
  entry.mode = 0755;
  entry.mtime = now;
  Metadata metadata{entry.mode, 0, 0, now, now, {}};
  const auto original = std::ranges::find(entries, entry.path, &ManifestEntry::path);
  if (original != entries.end() && original->type == sys::FileType::directory) {
    entry = *original;
    const DirFd theirs = TRY(sys::open_dir(source, "etc"));
    metadata = metadata_of(TRY(sys::stat(theirs)), TRY(sys::xattrs(theirs)));
  }
  entry.part = Part::static_part;
  TRY(apply_metadata(etc, metadata, Fresh::no));
  return entry;
}

/// Step 8: a static /etc/hosts with tokens.
Result<> add_hosts(const DirFd& static_tree, const DirFd& source, sys::Time now, ManifestEntries& entries) {
  const auto there = TRY(sys::stat_if_there(static_tree, "etc"));
  const DirFd etc = TRY(sys::ensure_dir(static_tree, "etc", 0755));
  TRY(write_small_file(etc, "hosts", kHosts, 0644));
  TRY(sys::set_times(etc, "hosts", now, now));
  if (!there) entries.push_back(TRY(finish_static_etc(etc, source, now, entries)));
  ManifestEntry hosts;
  hosts.path = "etc/hosts";
  hosts.part = Part::static_part;
  hosts.type = sys::FileType::regular;
  hosts.mode = 0644;
  hosts.size = kHosts.size();
  hosts.mtime = now;
  hosts.content = hash_bytes(std::as_bytes(std::span(kHosts)), WithSha256::no).xxh128;
  entries.push_back(std::move(hosts));
  return {};
}

/// Step 6, for what the source had not: /home, /root, /tmp.
Result<> make_missing_directories(const DirFd& local, sys::Time now, ManifestEntries& entries) {
  for (const EmptyDirectory& empty : kEmptyDirectories) {
    if (!empty.made_if_missing || TRY(sys::stat_if_there(local, empty.name))) continue;
    const bool in_entries =
        std::ranges::any_of(entries, [&](const ManifestEntry& entry) { return entry.path == empty.name.view(); });
    if (in_entries) continue;  // a symlink of that name in another part
    const DirFd made = TRY(sys::ensure_dir(local, empty.name, creation_mode(empty.mode)));
    TRY(apply_metadata(made, {empty.mode, 0, 0, now, now, {}}, Fresh::yes));
    ManifestEntry entry;
    entry.path = empty.name.view();
    entry.type = sys::FileType::directory;
    entry.mode = empty.mode;
    entry.mtime = now;
    entries.push_back(entry);
  }
  return {};
}

/// What no source gives.
Result<> add_own_files(const Staged& staged, const DirFd& source, sys::Time now, ManifestEntries& entries) {
  const DirFd& local = staged.tree(Part::local_part);
  std::ranges::move(TRY(make_devices(local, now)), std::back_inserter(entries));
  TRY(make_missing_directories(local, now, entries));
  return add_hosts(staged.tree(Part::static_part), source, now, entries);
}

/// Steps 9 and 10: plugins as links to the administrator's scripts, and the template of the configuration.
Result<> link_plugins_and_template(const Store& store, const Staged& staged, sys::Wait wait) {
  const DirFd scripts = TRY(sys::open_dir(TRY(sys::open_dir(staged.dir, "scripts")), "post-create-vs"));
  const DirFd source = TRY(sys::reopen(store.scripts()));
  const Listing listing = TRY(Listing::read(source));
  for (const Listed& script : listing.entries()) {
    if (script.type != sys::FileType::regular && script.type != sys::FileType::symlink) continue;
    TRY(sys::make_symlink(scripts, script.name,
                          store.paths().etc + "/vskel/scripts/" + std::string(script.name.view())));
  }
  {
    // Under the lock of all that is written into ETC without an intent: recover takes it before it sweeps what a killed
    // writer left.
    const Lock lock = TRY(Lock::take(store, "contexts", wait));
    if (!TRY(sys::stat_if_there(store.own_etc(), "configfile.default")))
      TRY(write_file_atomically(store.own_etc(), "configfile.default", kDefaultConfigFile, 0644));
  }
  const Fd original = TRY(sys::open_input(store.paths().etc + "/vskel/configfile.default"));
  constexpr std::size_t kMostTemplate = 1 << 20;
  return write_small_file(staged.dir, "configfile", TRY(sys::read_whole(original, kMostTemplate)), 0644);
}

void count(const Manifest& manifest, BuildReport& report) {
  for (const ManifestEntry& entry : manifest.entries) {
    if (entry.type == sys::FileType::directory) ++report.dirs;
    if (entry.type == sys::FileType::symlink) ++report.symlinks;
    if (entry.type != sys::FileType::regular) continue;
    report.add_file(entry.part, entry.size);
    if (const auto reason = reason_to_look(entry))
      report.look_at.push_back("/" + entry.path + ": " + std::string(*reason));
  }
}

Result<> look_at_passwords(const DirFd& static_tree, BuildReport& report) {
  constexpr std::size_t kMostShadow = 16 << 20;
  auto etc = sys::open_dir(static_tree, "etc");
  if (!etc) return {};
  auto shadow = sys::open_file(*etc, "shadow");
  if (!shadow) return {};
  for (const std::string& account : accounts_with_password(TRY(sys::read_whole(*shadow, kMostShadow))))
    report.look_at.push_back("/etc/shadow: password hash of " + account);
  return {};
}

/// What to look for to find the name of the host that the source is of.
Result<std::string> host_label(const DirFd& source, SourceKind kind) {
  constexpr std::size_t kMostName = 4096;
  if (kind == SourceKind::host) return own_host_label();
  const DirFd etc = TRY(open_dirs_if_there(source, "etc"));
  const auto there = etc.open() ? TRY(sys::stat_if_there(etc, "hostname")) : std::nullopt;
  if (!there || there->type != sys::FileType::regular || there->size > kMostName) return std::string();
  return own_label(TRY(sys::read_whole(TRY(sys::open_file(etc, "hostname")), kMostName)));
}

Result<> tell_left_out(Sieve& sieve, const DirFd& source, BuildReport& report) {
  TRY(sieve.count_scratch(source));
  report.omitted = sieve.omitted();
  report.left_out = sieve.left_out();
  return {};
}

/// With what was found by its content as rules, which say of the path alone that it is no part of a skel.
Result<std::string> layout_text(const Layout& layout, const Sieve& sieve) {
  const std::vector<std::string> keys = sieve.paths_with_keys();
  if (keys.empty()) return layout.text();
  return Layout::with_omitted(layout.text(), "layout", keys);
}

using Rules = std::function<Treatment(const WalkDirectory& directory, const WalkEntry& entry)>;

/// Calls `see` for every name that the rules take, from many tasks; without those in directories that are kept empty.
Result<> for_each_taken(const DirFd& source, const Rules& rules,
                        const std::function<Result<>(const WalkDirectory& directory, const WalkEntry& entry)>& see) {
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void>) -> Result<> {
    for (const WalkEntry& entry : directory->entries) {
      const Treatment treatment = rules(*directory, entry);
      if (treatment == Treatment::leave_out) continue;
      TRY(see(*directory, entry));
      if (entry.type == sys::FileType::directory && treatment == Treatment::take)
        walk.descend(directory, entry, nullptr);
    }
    return {};
  };
  (void)TRY(Walk::run({&source}, Mounts::stop, nullptr, visitor));
  return {};
}

/// Everything from the source to a complete staged skel. Runs in the arena.
Result<> fill(const Store& store, const BuildRequest& request, SourceKind kind, const DirFd& staging,
              BuildReport& report) {
  const Staged staged = TRY(make_skeleton(staging));
  const WriteBehind write_behind(staging);
  DirFd source;
  if (kind == SourceKind::archive) {
    source = TRY(sys::ensure_dir(staging, "source", 0700));
    const Fd input =
        request.source == "-" ? TRY(sys::open_input("/proc/self/fd/0")) : TRY(sys::open_input(request.source));
    UnpackReport unpacked = TRY(unpack_archive(input, request.source, source, request.engine.progress));
    report.notes = std::move(unpacked.notes);
    report.warnings = std::move(unpacked.warnings);
  } else {
    source = TRY(sys::open_root(request.source));
  }
  const Layout layout = TRY(layout_for(request));
  const auto executor = TRY(make_executor(request.engine, store.vservers()));
  std::set<std::pair<std::uint64_t, std::uint64_t>> own_directories;
  for (const DirFd* own : {&store.vservers(), &store.etc()}) {
    const sys::Stat stat = TRY(sys::stat(*own));
    own_directories.emplace(stat.device, stat.inode);
  }
  DistributeRequest distribution;
  distribution.source = &source;
  distribution.parts = {&staged.trees[0], &staged.trees[1], &staged.trees[2]};
  distribution.layout = &layout;
  distribution.transfer = kind == SourceKind::archive ? Transfer::move : Transfer::copy;
  distribution.seal = TRY(choose_seal(staging, std::nullopt));
  Sieve sieve(layout);
  const SourceRules rules(request, kind, sieve, std::move(own_directories));
  distribution.treatment = std::ref(rules);
  distribution.put_instead = [&sieve](const Candidate& candidate, const DirFd& target, Name name) {
    return sieve.put(candidate, target, name);
  };
  if (Progress* const progress = request.engine.progress; progress != nullptr) {
    // A second walk of the names, only where somebody looks on; what it reads is in the cache for the walk that copies.
    std::atomic<std::uint64_t> files{0};
    const Rules by_name = [&](const WalkDirectory& directory, const WalkEntry& entry) {
      const bool left_out = layout.left_out(directory.path_to(entry.name), entry.type);
      return left_out ? Treatment::leave_out : rules.by_place(directory, entry);
    };
    TRY(for_each_taken(source, by_name, [&files](const WalkDirectory&, const WalkEntry& entry) -> Result<> {
      if (entry.type != sys::FileType::directory && entry.type != sys::FileType::socket)
        files.fetch_add(1, std::memory_order_relaxed);
      return {};
    }));
    progress->total = progress->done + files;
  }
  distribution.executor = executor.get();
  distribution.progress = request.engine.progress;
  if (!distribution.seal)
    report.warnings.push_back("this file system takes no seal: global is not sealed; use --share copy or --seal none");
  distribution.add = [&](ManifestEntries& entries) {
    std::ranges::move(sieve.entries(), std::back_inserter(entries));
    return add_own_files(staged, source, sys::precise_clock(), entries);
  };
  const std::string host = TRY(host_label(source, kind));
  Distributed distributed = TRY(distribute(distribution));
  TRY(tell_left_out(sieve, source, report));

  TRY(link_plugins_and_template(store, staged, request.engine.wait));
  const std::string accounts_name = generation_accounts_name(1);
  TRY(write_private_accounts(staged.generations, *Name::check(accounts_name),
                             TRY(read_account_files(staged.tree(Part::static_part)))));
  TRY(write_small_file(staged.dir, "layout", TRY(layout_text(layout, sieve)), 0644));
  const Manifest manifest{1, std::move(distributed.entries)};
  const std::string file_name = generation_file_name(1);
  const Fd file = TRY(sys::create_file(staged.generations, *Name::check(file_name), 0644));
  TRY(write_manifest(manifest, [&file](std::string_view piece) { return sys::write_all(file, piece); }));
  count(manifest, report);
  TRY(look_at_passwords(staged.tree(Part::static_part), report));
  for (const Part part : {Part::local_part, Part::static_part})
    TRY(look_for_host(staged.tree(part), part, manifest.entries, host, report.look_at));
  std::ranges::move(distributed.notes, std::back_inserter(report.notes));
  return {};
}

Result<> refuse_existing(const Store& store, const SkelName& skel) {
  if (store.skels().open() && TRY(sys::stat_if_there(store.skels(), skel.name())))
    return refuse("build skel", skel.text(), "a skel of that name exists");
  return {};
}

/// A dry run reads the source's names, and what of it may hold a private key.
Result<BuildReport> look_only(const Store& store, const BuildRequest& request, SourceKind kind) {
  BuildReport report;
  report.skel = request.skel.text();
  const Layout layout = TRY(layout_for(request));
  if (kind == SourceKind::archive) {
    report.notes.push_back(request.source + ": an archive is not read in a dry run");
    return report;
  }
  const DirFd source = TRY(sys::open_root(request.source));
  std::set<std::pair<std::uint64_t, std::uint64_t>> own_directories;
  for (const DirFd* own : {&store.vservers(), &store.etc()})
    if (own->open()) own_directories.emplace(TRY(sys::stat(*own)).device, TRY(sys::stat(*own)).inode);
  Sieve sieve(layout);
  const SourceRules rules(request, kind, sieve, std::move(own_directories));
  std::mutex mutex;
  TRY(for_each_taken(source, std::ref(rules), [&](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
    const bool regular = entry.type == sys::FileType::regular;
    const std::uint64_t size = regular ? TRY(sys::stat(directory.top(), entry.name)).size : 0;
    const Part part = layout.part_of(directory.path_to(entry.name));
    const std::scoped_lock lock(mutex);
    if (entry.type == sys::FileType::directory) ++report.dirs;
    if (entry.type == sys::FileType::symlink) ++report.symlinks;
    if (regular) report.add_file(part, size);
    return {};
  }));
  TRY(tell_left_out(sieve, source, report));
  return report;
}

Result<BuildReport> build_in_transaction(const Store& store, const BuildRequest& request, SourceKind kind) {
  const Lock lock = TRY(Lock::take(store, "skel." + request.skel.text(), request.engine.wait));
  TRY(refuse_existing(store, request.skel));
  Intent intent =
      TRY(Intent::begin(store, {{"version", 1}, {"operation", "build-skel"}, {"skel", request.skel.text()}}));
  const DirFd staging = TRY(sys::ensure_dir(store.staging(), *Name::check(intent.id()), 0700));
  BuildReport report;
  report.skel = request.skel.text();
  auto built = fill(store, request, kind, staging, report);
  if (built) built = sys::sync_file_system(staging);
  if (built) built = intent.record({{"phase", "publish"}});
  // From here on the work goes forward, by finish_build() or, after a crash, by recover with the same function.
  auto finished = finish_build(store, intent);
  if (!built) {
    Error error = std::move(built).error();
    const std::string staged_path = sys::path_of(staging) + "/skel";
    return std::unexpected(
        std::move(error).rebased(staged_path, store.paths().vservers + "/.skel/" + request.skel.text()));
  }
  if (!finished) return std::unexpected(std::move(finished).error());
  return report;
}

}  // namespace

Result<std::string> finish_build(const Store& store, Intent& intent) {
  const auto skel = TRY(SkelName::parse(intent.records().front().value("skel", "")));
  const bool publish = intent.records().back().value("phase", "") == "publish";
  const auto id = Name::check(intent.id());
  std::string outcome = "skel " + skel.text() + ": building it was undone";
  if (auto staging = sys::open_dir(store.staging(), *id); staging) {
    if (publish && TRY(sys::stat_if_there(*staging, "skel"))) {
      TRY(sys::rename_new(*staging, "skel", store.skels(), skel.name()));
      TRY(sys::sync_file(store.skels()));
    }
    TRY(remove_tree(store.staging(), *id));
  } else if (staging.error().code != ENOENT) {
    return std::unexpected(std::move(staging).error());
  }
  if (publish) outcome = "skel " + skel.text() + ": building it was finished";
  TRY(intent.close());
  return outcome;
}

void BuildReport::add_file(Part part, std::uint64_t size) {
  ++files;
  bytes += size;
  ++(part == Part::global_part ? global_files : part == Part::local_part ? local_files : static_files);
}

Result<BuildReport> build_skel(const Store& store, const BuildRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  const SourceKind kind = TRY(kind_of(request.source));
  TRY(layout_for(request));
  for (const std::string& glob : request.exclude) TRY(check_glob(glob));
  TRY(refuse_existing(store, request.skel));
  Arena arena(workers(request.engine));
  auto report = arena.execute([&] {
    return request.engine.dry_run == DryRun::yes ? look_only(store, request, kind)
                                                 : build_in_transaction(store, request, kind);
  });
  if (report) report->elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace vskel
