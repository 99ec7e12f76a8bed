#include "tests/faults/world.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include "engine/recover/recover.h"
#include "engine/relink/relink.h"
#include "engine/skel/build.h"
#include "engine/skel/merge.h"
#include "engine/skel/rollback.h"
#include "engine/skel/split.h"
#include "engine/sys/seam.h"
#include "engine/vserver/adopt.h"
#include "engine/vserver/create.h"
#include "engine/vserver/prune.h"
#include "engine/vserver/remove.h"
#include "engine/vserver/tenants.h"
#include "tests/faults/copy.h"
#include "tests/support/inode_extras.h"

namespace vskel::test {
namespace {

namespace fs = std::filesystem;

// Times of files say which hand made them, and are old: what the engine stamps itself is "new" to the oracle.
constexpr std::int64_t kMade = 1'000'000'000, kUpdated = 1'100'000'000, kByTenant = 1'200'000'000;

void write(const fs::path& path, const std::string& content, std::int64_t mtime) {
  std::ofstream stream(path, std::ios::binary);
  stream << content;
  stream.close();
  if (!stream) throw std::system_error(errno, std::generic_category(), "write " + path.string());
  set_mtime(path, mtime);
}

/// As a package manager does it: the new file takes the name, whoever has the old inode keeps it.
void replace(const fs::path& path, const std::string& content, std::int64_t mtime) {
  const fs::path beside = path.string() + ".dpkg-new";
  write(beside, content, mtime);
  fs::rename(beside, path);
}

/// Directories were changed by the names made in them; from below.
void set_directory_times(const fs::path& root, std::int64_t mtime) {
  for (const fs::directory_entry& entry : fs::directory_iterator(root))
    if (entry.is_directory() && !entry.is_symlink()) set_directory_times(entry.path(), mtime);
  set_mtime(root, mtime);
}

/// fs::create_hard_link() may follow.
void hard_link_itself(const fs::path& link, const fs::path& further) {
  if (::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, further.c_str(), 0) != 0)
    throw std::system_error(errno, std::generic_category(), "link " + further.string());
}

void make_source(const fs::path& root) {
  for (const char* directory :
       {"usr/bin", "usr/lib/nested/deep", "etc/conf.d", "lib", "var/lib/state/deeper", "var/lib/used"})
    fs::create_directories(root / directory);
  write(root / "lib/old", "of /lib", kMade);
  for (const char* file : {"state/first", "state/second", "state/deeper/third", "used/first", "used/second"})
    write(root / "var/lib" / file, file, kMade);
  write(root / "usr/bin/tool", "#!/bin/sh\necho tool\n", kMade);
  fs::permissions(root / "usr/bin/tool", fs::perms(0755));
  fs::create_hard_link(root / "usr/bin/tool", root / "usr/bin/tool-again");
  write(root / "usr/bin/su", "set-id", kMade);
  fs::permissions(root / "usr/bin/su", fs::perms(04755));
  fs::create_symlink("tool", root / "usr/bin/link");
  set_mtime(root / "usr/bin/link", kMade);
  write(root / "usr/lib/empty", "", kMade);
  write(root / "usr/lib/data", std::string(9000, 'd'), kMade);
  set_xattr(root / "usr/lib/data", "user.note", "kept");
  write(root / "usr/lib/nested/deep/file", "deep", kMade);
  write(root / "etc/passwd", "root:x:0:0::/root:/bin/sh\n", kMade);
  write(root / "etc/hosts", "127.0.0.1 localhost\n%%VS_IP%% %%VS_FQDN%%\n", kMade);
  write(root / "etc/conf.d/local", "local", kMade);
  fs::create_hard_link(root / "etc/conf.d/local", root / "etc/conf.d/local-again");
  write(root / "etc/conf.d/pair", "a pair", kMade);
  fs::create_hard_link(root / "etc/conf.d/pair", root / "etc/conf.d/pair-again");
  fs::create_symlink("pair", root / "etc/conf.d/link");
  set_mtime(root / "etc/conf.d/link", kMade);
  hard_link_itself(root / "etc/conf.d/link", root / "etc/conf.d/link-again");
  set_directory_times(root, kMade);
}

/// What an upgrade does in a merged tree: a file of every kind changes, comes or goes.
void upgrade(const fs::path& root) {
  replace(root / "usr/bin/tool", "#!/bin/sh\necho newer tool\n", kUpdated);
  fs::permissions(root / "usr/bin/tool", fs::perms(0755));
  fs::remove(root / "usr/bin/tool-again");
  fs::create_hard_link(root / "usr/bin/tool", root / "usr/bin/tool-again");
  replace(root / "usr/bin/su", "set-id, newer", kUpdated);
  fs::permissions(root / "usr/bin/su", fs::perms(04755));
  fs::remove(root / "usr/bin/link");
  fs::create_symlink("tool-again", root / "usr/bin/link");
  set_mtime(root / "usr/bin/link", kUpdated);
  fs::remove(root / "usr/lib/data");
  fs::create_directories(root / "usr/lib/added");
  write(root / "usr/lib/added/file", "added", kUpdated);
  replace(root / "etc/conf.d/local", "local, newer", kUpdated);
  write(root / "etc/added", "added", kUpdated);
  replace(root / "etc/passwd", "root:x:0:0::/root:/bin/sh\nredis:x:104:108::/:/bin/false\n", kUpdated);
  // A directory becomes a link, and a state becomes another one, whole.
  fs::rename(root / "lib/old", root / "usr/lib/old");
  fs::remove(root / "lib");
  fs::create_symlink("usr/lib", root / "lib");
  set_mtime(root / "lib", kUpdated);
  for (const char* file : {"state/first", "state/deeper/third", "used/first"})
    replace(root / "var/lib" / file, std::string(file) + ", newer", kUpdated);
  fs::remove(root / "var/lib/state/second");
  write(root / "var/lib/state/fourth", "added", kUpdated);
  replace(root / "etc/conf.d/pair-again", "a pair", kMade);  // of the same bytes, and a file of its own
  set_directory_times(root, kUpdated);
}

/// What the tenants did meanwhile.
void change_vservers(const fs::path& vservers) {
  replace(vservers / "web1/etc/conf.d/local-again", "the tenant's", kByTenant);
  replace(vservers / "copy/usr/lib/nested/deep/file", "the tenant's", kByTenant);
  replace(vservers / "copy/etc/passwd", "root:x:0:0::/root:/bin/bash\n", kByTenant);
  for (const char* name : {"web1", "copy"}) {
    write(vservers / name / "lib/own", "the tenant's", kByTenant);
    replace(vservers / name / "var/lib/used/second", "the tenant's", kByTenant);
  }
  for (const char* name : {"web1", "copy"}) set_directory_times(vservers / name, kByTenant);
}

template <class T>
T wanted(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().line());
  return *std::move(result);
}

SkelName base() { return wanted(SkelName::parse("base")); }
VserverName vserver(const std::string& name) { return wanted(VserverName::parse(name)); }

/// One thread and the calls one by one: the Nth call is the same in every run.
EngineOptions engine() {
  EngineOptions options;
  options.quiesce = Quiesce::freeze;  // what else runs on the machine is none of the faults
  options.jobs = 1;
  options.backend = Backend::syscall;
  options.wait = sys::Wait::no;
  return options;
}

Told told(const Error& error) {
  return {error.blame == Blame::request ? Outcome::refused : Outcome::failed, error.line()};
}
template <class T>
Told told(const Result<T>& result) {
  return result ? Told{} : told(result.error());
}

/// What could not be deleted stays in the trash, and a line says so.
Told recovered(const Store& store) {
  const auto lines = vskel::recover(store, engine());
  if (lines)
    for (const std::string& line : *lines)
      if (line.find("could not be emptied") != std::string::npos) return {Outcome::failed, line};
  return told(lines);
}

Told built(const World& world, const Store& store) {
  const BuildRequest request{.skel = base(),
                             .source = world.source().string(),
                             .exclude = {},
                             .global = {},
                             .local = {},
                             .static_paths = {},
                             .keep = {},
                             .engine = engine()};
  return told(build_skel(store, request));
}

FleetMember member(const std::string& name, unsigned number) {
  return {vserver(name),
          wanted(Fqdn::parse(name + ".example.com")),
          wanted(Address::parse("192.0.2." + std::to_string(number))),
          std::nullopt,
          {}};
}

Told created(const Store& store, Fleet fleet, Share share, RunPlugins plugins) {
  const CreateRequest request{.skel = base(),
                              .fleet = std::move(fleet),
                              .share = share,
                              .seal = std::nullopt,
                              .plugins = plugins,
                              .settings = {},
                              .plugin_settings = {},
                              .engine = engine()};
  const auto report = create_vservers(store, request);
  if (!report) return told(report.error());
  Told answer;
  std::size_t failures = 0;
  for (const CreatedVserver& made : report->vservers) {
    const bool plugins_ok = std::ranges::all_of(
        made.plugins, [](const PluginOutcome& plugin) { return plugin.status == PluginStatus::ok; });
    if (made.status == CreateStatus::failed) ++failures;
    if (made.status == CreateStatus::created && plugins_ok && made.error.empty()) continue;
    answer.outcome = Outcome::partly;
    answer.why += made.name + ": " + made.error + "\n";
  }
  if (failures == 1 && report->vservers.size() == 1) answer.outcome = Outcome::failed;
  return answer;
}

enum class How { as_usual, share_only, acknowledge };

Told relinked(const Store& store, std::vector<VserverName> names, How how = How::as_usual) {
  RelinkRequest request{.skel = base(),
                        .vservers = std::move(names),
                        .to = std::nullopt,
                        .export_new = {},
                        .settings = {},
                        .engine = engine()};
  request.share_only = how == How::share_only;
  request.acknowledge = how == How::acknowledge;
  const auto report = relink_vservers(store, request);
  if (!report) return told(report.error());
  Told answer;
  for (const RelinkedVserver& one : report->vservers) {
    if (one.status == RelinkStatus::done) continue;
    answer.outcome = Outcome::partly;
    answer.why += one.name + ": " + one.error + "\n";
  }
  return answer;
}

Told removed(const Store& store, const std::vector<VserverName>& names) {
  const auto report = remove_vservers(store, names, engine());
  if (!report) return told(report.error());
  Told answer;
  for (const RemovedVserver& one : *report) {
    if (one.error.empty()) continue;
    answer.outcome = names.size() == 1 ? Outcome::failed : Outcome::partly;
    answer.why += one.name + ": " + one.error + "\n";
  }
  return answer;
}

Told adopted(const Store& store) {
  const AdoptRequest request{.skel = base(),
                             .name = vserver("old"),
                             .fqdn = std::nullopt,
                             .address = std::nullopt,
                             .share = Share::hardlink,
                             .engine = engine()};
  return told(adopt_vserver(store, request));
}

Told plugins_ran(const Store& store, const std::string& name) {
  const auto outcomes = run_plugins_again(store, vserver(name), {}, engine());
  if (!outcomes) return told(outcomes.error());
  for (const PluginOutcome& plugin : *outcomes)
    if (plugin.status != PluginStatus::ok) return {Outcome::failed, plugin.name + ": " + plugin.reason};
  return {};
}

GenerationRequest next_generation(const Store& store) {
  return {base(), tenants_holder(store, engine()), engine(), seal_chooser(store)};
}

/// Counts the calls that change something in a store, but for the opening of locks' files.
class ChangeCounter : public sys::Seam {
 public:
  explicit ChangeCounter(const Store& store) : locks_(store.locks().number()) { sys::install_seam(this); }
  ~ChangeCounter() override { sys::install_seam(nullptr); }
  ChangeCounter(const ChangeCounter&) = delete;
  ChangeCounter& operator=(const ChangeCounter&) = delete;
  int before(const char* call, bool changes, int dir, const char* name) override {
    if (changes && dir != locks_ && ++changes_ == 1) first_ = std::string(call) + " " + name;
    return kRun;
  }
  [[nodiscard]] unsigned changes() const { return changes_; }
  [[nodiscard]] const std::string& first() const { return first_; }

 private:
  int locks_;
  unsigned changes_ = 0;
  std::string first_;
};

Told recovered_idly(const Store& store) {
  const ChangeCounter counter(store);
  Told answer = recovered(store);
  if (counter.changes() == 0) return answer;
  return {Outcome::failed, "there was something left to do: " + counter.first()};
}

Fleet two_of_a_fleet() { return {member("web3", 3), member("web4", 4)}; }

/// A vserver that another tool made: a directory with a configuration and a context.
void make_foreign_vserver(const World& world) {
  const StorePlaces places = world.places();
  copy_whole_tree(world.source(), places.vservers / "old");
  write(places.etc / "old.conf", "S_CONTEXT=40\n", kMade);
  fs::create_symlink(places.vservers / "old", places.etc / "contexts/40");
}

}  // namespace

const std::vector<Scenario>& scenarios() {
  // A plugin works in the vserver itself, and prune takes one generation after the other: what they did before they
  // were cut off stays done.
  static const std::vector<Scenario> all = {
      {"build",
       "nothing",
       [](const World& world, const Store& store) {
         const Told first = recovered(store);
         return first.outcome == Outcome::done ? built(world, store) : first;
       },
       true,
       {{"rest", {}}}},
      {"create", "fleet",
       [](const World&, const Store& store) {
         return created(store, two_of_a_fleet(), Share::hardlink, RunPlugins::no);
       }},
      {"create-copy", "skel",
       [](const World&, const Store& store) {
         return created(store, {member("web3", 3)}, Share::copy, RunPlugins::no);
       }},
      {"create-plugins",
       "with-plugin",
       [](const World&, const Store& store) {
         return created(store, {member("web3", 3)}, Share::hardlink, RunPlugins::yes);
       },
       false,
       {{"vserver web3", {"etc/noted"}}},
       ".vskel/log/web3.log",
       [](const World&, const Store& store) { return plugins_ran(store, "web3"); }},
      {"run-plugins",
       "with-plugin",
       [](const World&, const Store& store) { return plugins_ran(store, "web1"); },
       false,
       {{"vserver web1", {"etc/noted"}}}},
      {"merge", "fleet",
       [](const World&, const Store& store) { return told(merge_skel(store, base(), MergeStatic::all, engine())); }},
      {"abort-merge", "merged",
       [](const World&, const Store& store) { return told(abort_merge(store, base(), engine())); }},
      {"split", "merged",
       [](const World&, const Store& store) { return told(split_skel(store, next_generation(store))); }},
      {"relink",
       "next",
       [](const World&, const Store& store) { return relinked(store, {}); },
       false,
       {{"vserver web1", {}}, {"vserver copy", {}}}},
      {"share",
       "adopted",
       [](const World&, const Store& store) { return relinked(store, {vserver("old")}, How::share_only); },
       false,
       {{"vserver old", {}}}},
      {"rollback", "relinked",
       [](const World&, const Store& store) { return told(roll_back(store, next_generation(store), 1)); }},
      {"prune",
       "relinked",
       [](const World&, const Store& store) { return told(prune_skel(store, base(), engine())); },
       false,
       {{"skel base", {}}}},
      {"remove-vs", "fleet",
       [](const World&, const Store& store) {
         return removed(store, {vserver("web1"), vserver("copy")});
       }},
      {"remove-skel", "skel",
       [](const World&, const Store& store) { return told(remove_skel(store, base(), engine())); }},
      {"adopt", "foreign", [](const World&, const Store& store) { return adopted(store); }},
  };
  return all;
}

const Scenario& scenario(const std::string& name) {
  const auto found = std::ranges::find(scenarios(), name, &Scenario::name);
  if (found == scenarios().end()) throw std::logic_error("no scenario " + name);
  return *found;
}

World::World(FileSystem kind) : disk_(kind), canary_(disk_.path() / "canary") {
  static_cast<void>(read_store(places()));  // from here on times are new
  fs::create_directory(disk_.path() / "states");
  fs::create_directory(source());
  make_source(source());
}

void World::run_or_throw(const std::string& what, const Command& command) const {
  const Ending ending = run_trial(disk_, paths(), command);
  if (ending.complaint.empty() && ending.told && ending.answer.outcome == Outcome::done) return;
  throw std::runtime_error(what + ": " + ending.answer.why + ending.complaint);
}

void World::make(const std::string& state) {
  if (state == "nothing") {
    remove_whole_tree(places().vservers);
    remove_whole_tree(places().etc);
  } else if (state == "skel") {
    lay_down("nothing");
    run_or_throw(state, [this](const Store& store) { return built(*this, store); });
  } else if (state == "fleet") {
    lay_down("skel");
    run_or_throw(
        state, [](const Store& store) { return created(store, {member("web1", 1)}, Share::hardlink, RunPlugins::no); });
    run_or_throw(state,
                 [](const Store& store) { return created(store, {member("copy", 5)}, Share::copy, RunPlugins::no); });
    change_vservers(places().vservers);
  } else if (state == "with-plugin") {
    lay_down("fleet");
    const fs::path scripts = places().vservers / ".skel/base/scripts/post-create-vs";
    fs::create_directories(scripts);
    write(scripts / "10-note", "#!/bin/sh\necho noted > etc/noted\necho note >&3\n", kMade);
    fs::permissions(scripts / "10-note", fs::perms(0755));
  } else if (state == "merged") {
    lay_down("fleet");
    run_or_throw(state,
                 [](const Store& store) { return told(merge_skel(store, base(), MergeStatic::accounts, engine())); });
    upgrade(places().vservers / "tmp_skel_base");
  } else if (state == "next") {
    lay_down("merged");
    run_or_throw(state, [](const Store& store) { return told(split_skel(store, next_generation(store))); });
  } else if (state == "relinked") {
    lay_down("next");
    run_or_throw(state, [](const Store& store) { return relinked(store, {}, How::acknowledge); });
  } else if (state == "foreign") {
    lay_down("fleet");
    make_foreign_vserver(*this);
  } else if (state == "adopted") {
    lay_down("foreign");
    run_or_throw(state, [](const Store& store) { return adopted(store); });
  } else {
    throw std::logic_error("no state " + state);
  }
  keep_as(state);
}

void World::keep_as(const std::string& state) {
  remove_whole_tree(kept(state));
  fs::create_directory(kept(state));
  if (fs::exists(places().vservers)) copy_whole_tree(places().vservers, kept(state) / "vservers");
  if (fs::exists(places().etc)) copy_whole_tree(places().etc, kept(state) / "etc");
}

void World::lay_down(const std::string& state) {
  if (!fs::exists(kept(state))) {
    make(state);
    return;
  }
  remove_whole_tree(places().vservers);
  remove_whole_tree(places().etc);
  if (fs::exists(kept(state) / "vservers")) copy_whole_tree(kept(state) / "vservers", places().vservers);
  if (fs::exists(kept(state) / "etc")) copy_whole_tree(kept(state) / "etc", places().etc);
}

Ending World::run(const Scenario& scenario, Fault fault) const {
  fault.opening = scenario.opening;
  return run_trial(
      disk_, paths(), [&](const Store& store) { return scenario.command(*this, store); }, fault);
}

Ending World::run_again(const Scenario& scenario) const {
  return run_trial(disk_, paths(), [&](const Store& store) {
    return scenario.again ? scenario.again(*this, store) : scenario.command(*this, store);
  });
}

Ending World::recover(const Fault& fault) const { return run_trial(disk_, paths(), recovered, fault); }

Ending World::recover_idly() const { return run_trial(disk_, paths(), recovered_idly); }

Ending World::recover_twice() const {
  return run_trial(disk_, paths(), [](const Store& store) {
    const Told first = recovered(store);
    return first.outcome == Outcome::done ? recovered_idly(store) : first;
  });
}

std::size_t World::mounts() const {
  std::ifstream lines("/proc/self/mountinfo");
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);)
    if (line.find(disk_.path().string()) != line.npos) ++count;
  return count;
}

}  // namespace vskel::test
