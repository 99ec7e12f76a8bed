// The whole cycle with real package managers: a package is installed in a skel, vservers are made, tenants change
// things, the package is upgraded in the merged skel, and relink brings the vservers along.
#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "tests/support/inode_extras.h"
#include "tests/support/packages.h"
#include "tests/support/requirement.h"
#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

using KeptPaths = std::map<std::string, std::string>;

const Thing kEdited = file("edited by the tenant\n"), kTenantsOwn = file("the tenant's own\n");

// What differs between two vservers of one state: their own addresses, and times, which do not count.
const std::vector<Exception> kOwnOfEach = {{"etc/hosts", Aspects::all()}, {"**", Aspect::mtime}, {"", Aspect::mtime}};

class UpdateCycleTest : public RelinkTest {
 protected:
  /// A skel that has version 1, installed by `manager`.
  void install_and_build(PackageManager manager) {
    VSKEL_REQUIRE(missing_for_packages(manager));
    manager_ = manager;
    fs::create_directory(mount() / "packages");
    first_ = odd_tool::version(manager, 1).build(manager, mount() / "packages");
    second_ = odd_tool::version(manager, 2).build(manager, mount() / "packages");
    make_package_database(manager, root());
    install(root(), first_);
    build();
  }

  void install(const fs::path& directory, const fs::path& package) const {
    const ProcessResult result = install_package(manager_, directory, package);
    ASSERT_EQ(result.code, 0) << result;
  }

  void upgrade_skel() const {
    merge();
    if (HasFatalFailure()) return;
    install(merged(), second_);
    split();
  }

  [[nodiscard]] std::vector<std::string> ways_of_sharing() const {
    if (has_reflinks(GetParam())) return {"hardlink", "copy", "reflink"};
    return {"hardlink", "copy"};
  }

  [[nodiscard]] std::string version_in(const std::string& name) const {
    return installed_version(manager_, vserver(name), odd_tool::kName);
  }

  /// Differences between two vservers but for what is each one's own.
  [[nodiscard]] std::string differences(const std::string& expected, const std::string& actual,
                                        const std::vector<Exception>& more = {}) const {
    std::vector<Exception> exceptions = kOwnOfEach;
    exceptions.push_back(readers_traces());
    exceptions.insert(exceptions.end(), more.begin(), more.end());
    return joined(compare_trees(vserver(expected), vserver(actual), exceptions));
  }

  /// What rpm's readers write beside the database: nobody's to follow.
  [[nodiscard]] Exception readers_traces() const {
    return {package_database(manager_) + "/rpmdb.sqlite-shm", Aspects::all()};
  }
  [[nodiscard]] Exception database() const { return {package_database(manager_) + "/**", Aspects::all()}; }

  /// Global files of the skel that vservers may have as inodes.
  [[nodiscard]] std::vector<fs::path> linkable_files() const {
    std::vector<fs::path> files;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(skel() / "global")) {
      struct stat status {};
      if (entry.is_symlink() || !entry.is_regular_file() || ::stat(entry.path().c_str(), &status) != 0) continue;
      if (status.st_size > 0 && (status.st_mode & 07000) == 0) files.push_back(entry.path());
    }
    return files;
  }

  void expect_skel_sealed() const {
    for (const fs::path& path : linkable_files()) ASSERT_TRUE(is_immutable(path)) << path;
  }

  PackageManager manager_ = PackageManager::dpkg;
  fs::path first_, second_;
};

/// What five tenants did, in each way of sharing; then the upgrade, and what relink made of it.
class TenantsAndUpgradeTest : public UpdateCycleTest {
 protected:
  void run_cycle(PackageManager manager) {
    install_and_build(manager);
    if (IsSkipped() || HasFatalFailure()) return;
    for (const std::string& share : ways_of_sharing()) {
      for (const char* tenant : {"untouched", "edits", "installs", "upgrades", "moves"})
        create_vserver(share + "-" + tenant, {"--share", share});
      if (HasFatalFailure()) return;
      edit(share + "-edits");
      install_own_package(share + "-installs");
      upgrade_by_itself(share + "-upgrades");
      move_things(share + "-moves");
      if (HasFatalFailure()) return;
    }
    upgrade_skel();
    if (HasFatalFailure()) return;
    create_vserver("fresh");
    relink_all();
    for (const std::string& share : ways_of_sharing()) {
      SCOPED_TRACE("share " + share);
      expect_untouched_follows(share + "-untouched");
      expect_edits_kept(share + "-edits");
      expect_skipped(share + "-installs");
      expect_folded_in(share + "-upgrades");
      expect_moves_kept(share + "-moves");
    }
    expect_skel_sealed();
    EXPECT_EQ(inconsistencies(), "");
    const ProcessResult verified = vskel({"verify"});
    EXPECT_EQ(verified.code, 0) << verified;
    expect_second_run_changes_nothing();
    expect_forced();
    expect_versions();
  }

 private:
  void edit(const std::string& name) const {
    change(name, {{"etc/odd/odd.conf", kEdited},
                  {"etc/odd/same.conf", kEdited},
                  {"usr/share/odd/data", absent()},
                  {"usr/share/odd/same/a", absent()},
                  {"usr/share/odd/own", kTenantsOwn},
                  {"usr/bin/own", kTenantsOwn},
                  {"usr/share/odd/gone/own", kTenantsOwn},
                  {"usr/share/odd/new/file", kTenantsOwn}});
  }

  void install_own_package(const std::string& name) const {
    Package package("tenants-tool", "1");
    package.file("usr/bin/tenants-tool", "the tenant's own package", 0755);
    const fs::path built = package.build(manager_, mount() / "packages");
    const TenantAtWork tenant(vserver(name), skel());
    install(vserver(name), built);
  }

  void upgrade_by_itself(const std::string& name) const {
    const TenantAtWork tenant(vserver(name), skel());
    install(vserver(name), second_);
  }

  void move_things(const std::string& name) const {
    const std::string same = read_file(vserver(name) / "usr/share/odd/same/b");
    library_ = read_file(vserver(name) / "usr/lib/odd/libodd.so.1");
    data_ = read_file(vserver(name) / "var/lib/odd/data");
    change(name, {{"usr/share/odd/same/b", file(same, 0600)},
                  {"usr/lib/odd/libodd.so.1", file(library_, 0600)},
                  {"srv/odd", directory({{"data", file(data_)}})},
                  {"var/lib/odd", symlink_to("/srv/odd")}});
  }

  void relink_all() {
    const StoreSnapshot before = snapshot_store();
    const Relinked dry = relink({"--dry-run"});
    EXPECT_EQ(changes_since(before), "") << "by the dry run";
    relinked_ = relink();
    EXPECT_EQ(relinked_.process.code, 3) << "vservers were skipped: " << relinked_.process.err;
    Json planned = dry.report, done = relinked_.report;
    planned.erase("elapsed_s");
    done.erase("elapsed_s");
    EXPECT_EQ(planned, done) << "a dry run reports what the run does";
  }

  void expect_all_linkable_shared(const std::string& name) const {
    if (!name.starts_with("hardlink")) return;
    for (const fs::path& path : linkable_files())
      EXPECT_EQ(inode_of(vserver(name) / path.lexically_relative(skel() / "global")), inode_of(path)) << path;
  }

  void expect_untouched_follows(const std::string& name) const {
    EXPECT_EQ(relinked_.of(name)["status"], "done");
    EXPECT_EQ(relinked_.kept(name), KeptPaths{});
    EXPECT_EQ(differences("fresh", name), "") << "it is as one that is made now";
    expect_all_linkable_shared(name);
    for (const std::string& path : odd_tool::kAdded) EXPECT_TRUE(fs::is_regular_file(vserver(name) / path)) << path;
    for (const std::string& path : odd_tool::kRemoved) EXPECT_FALSE(fs::is_regular_file(vserver(name) / path)) << path;
    EXPECT_EQ(inode_of(vserver(name) / odd_tool::kHardLinks[0]), inode_of(vserver(name) / odd_tool::kHardLinks[1]));
  }

  void expect_edits_kept(const std::string& name) const {
    EXPECT_EQ(relinked_.of(name)["status"], "done");
    EXPECT_EQ(relinked_.kept(name), (KeptPaths{{"/etc/odd/odd.conf", "changed on both sides"},
                                               {"/usr/share/odd/data", "deleted here, changed in the skel"},
                                               {"/usr/share/odd/gone", "not empty"},
                                               {"/usr/share/odd/new/file", "added on both sides"}}));
    const std::map<std::string, Thing> after = {{"etc/odd/odd.conf", kEdited},
                                                {"etc/odd/same.conf", kEdited},
                                                {"usr/share/odd/data", absent()},
                                                {"usr/share/odd/same/a", absent()},
                                                {"usr/share/odd/own", kTenantsOwn},
                                                {"usr/bin/own", kTenantsOwn},
                                                {"usr/share/odd/gone", directory({{"own", kTenantsOwn}})},
                                                {"usr/share/odd/new/file", kTenantsOwn}};
    std::vector<Exception> own;
    for (const auto& [path, thing] : after) {
      EXPECT_EQ(differences_from(thing, vserver(name) / path), "");
      own.push_back({path, Aspects::all()});
      own.push_back({path + "/**", Aspects::all()});
    }
    EXPECT_EQ(differences("fresh", name, own), "") << "all else is new";
  }

  void expect_skipped(const std::string& name) const {
    EXPECT_EQ(relinked_.of(name)["status"], "skipped");
    EXPECT_NE(relinked_.of(name)["error"], "");
    EXPECT_FALSE(fs::exists(vserver(name) / "usr/bin/odd-new"));
    EXPECT_TRUE(fs::exists(vserver(name) / "usr/bin/odd-old"));
    EXPECT_EQ(read_file(vserver(name) / "usr/bin/tenants-tool"), "the tenant's own package");
  }

  void expect_folded_in(const std::string& name) const {
    EXPECT_EQ(relinked_.of(name)["status"], "done") << "nothing waits behind its changed database";
    // rpm writes into its database when it installed: there, and only there, the two differ.
    KeptPaths kept = relinked_.kept(name);
    std::erase_if(kept,
                  [&](const auto& path) { return path.first.starts_with("/" + package_database(manager_) + "/"); });
    EXPECT_EQ(kept, KeptPaths{});
    EXPECT_EQ(differences("fresh", name, {database()}), "");
    expect_all_linkable_shared(name);
  }

  void expect_moves_kept(const std::string& name) const {
    EXPECT_EQ(relinked_.of(name)["status"], "done");
    EXPECT_EQ(relinked_.kept(name), (KeptPaths{{"/usr/lib/odd/libodd.so.1", "changed on both sides"},
                                               {"/var/lib/odd", "in use by the tenant, changed in the skel"}}));
    EXPECT_EQ(differences_from(file(library_, 0600), vserver(name) / "usr/lib/odd/libodd.so.1"), "");
    EXPECT_EQ(differences_from(directory({{"data", file(data_)}}), vserver(name) / "srv/odd"), "");
    EXPECT_EQ(differences_from(symlink_to("/srv/odd"), vserver(name) / "var/lib/odd"), "");
  }

  void expect_second_run_changes_nothing() const {
    const StoreSnapshot before = snapshot_store();
    const Relinked second = relink();
    EXPECT_EQ(second.process.code, 3) << "the skipped ones still are";
    EXPECT_EQ(changes_since(before), "") << "by a second run";
    for (const Json& entry : relinked_.report["vservers"]) {
      const std::string name = entry["name"];
      EXPECT_EQ(second.kept(name), relinked_.kept(name)) << name;
      EXPECT_EQ(second.of(name)["updated"], 0) << name;
    }
  }

  void expect_forced() const {
    for (const std::string& share : ways_of_sharing()) {
      SCOPED_TRACE("share " + share);
      const std::string name = share + "-installs";
      const TreeSnapshot before = snapshot_tree(vserver(name) / package_database(manager_));
      const Relinked forced = relink({"--pkgdb", "force", name});
      EXPECT_EQ(forced.process.code, 0) << forced.process;
      EXPECT_EQ(forced.kept(name), KeptPaths{});
      const std::vector<Exception> own = {database(), {"usr/bin/tenants-tool", Aspects::all()}};
      EXPECT_EQ(differences("fresh", name, own), "");
      EXPECT_EQ(read_file(vserver(name) / "usr/bin/tenants-tool"), "the tenant's own package");
      EXPECT_EQ(joined(compare_snapshots(before, snapshot_tree(vserver(name) / package_database(manager_)))), "")
          << "its database is its own";
    }
  }

  // Last, because rpm writes beside its database even when it only looks.
  void expect_versions() const {
    for (const std::string& share : ways_of_sharing()) {
      for (const char* tenant : {"-untouched", "-edits", "-moves", "-upgrades"})
        EXPECT_EQ(version_in(share + tenant), "2") << share << tenant;
      EXPECT_EQ(version_in(share + "-installs"), "1") << "only the files were forced";
      EXPECT_EQ(installed_version(manager_, vserver(share + "-installs"), "tenants-tool"), "1");
    }
  }

  Relinked relinked_;
  mutable std::string library_, data_;
};

TEST_P(TenantsAndUpgradeTest, ByDpkg) { run_cycle(PackageManager::dpkg); }
TEST_P(TenantsAndUpgradeTest, ByRpm) { run_cycle(PackageManager::rpm); }

INSTANTIATE_TEST_SUITE_P(On, TenantsAndUpgradeTest, kAllFileSystems, kParameterName);

class QuietRelinkTest : public UpdateCycleTest {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
    UpdateCycleTest::SetUp();
  }

  /// The lines of a trace of `relink base`.
  [[nodiscard]] std::vector<std::string> traced_relink() const {
    const fs::path trace = mount() / "trace";
    Arguments all = {"strace", "-f", "-qqq", "-y", "-s", "4096", "-o", trace.string(), "-e", "trace=" + traced_calls()};
    const Arguments own = command({"relink", "base", "--backend", "syscall"});
    all.insert(all.end(), own.begin(), own.end());
    ProcessOptions options;
    options.environment["ASAN_OPTIONS"] = "detect_leaks=0";  // the leak checker cannot work under a tracer
    const ProcessResult result = run(all, options);
    EXPECT_EQ(result.code, 0) << result;
    return take_trace(trace);
  }

  static constexpr const char* kReadingCalls = "read,pread64,readv,preadv,preadv2,mmap,copy_file_range,sendfile";
  static constexpr const char* kChangingCallsOfAll =
      "write,pwrite64,writev,pwritev,mkdir,mkdirat,link,linkat,symlink,symlinkat,mknod,mknodat,rename,renameat,"
      "renameat2,unlink,unlinkat,rmdir,fchown,fchownat,lchown,fchmod,fchmodat,truncate,ftruncate,fallocate,utimensat,"
      "setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,fremovexattr,syncfs,fsync,fdatasync";
  static std::string traced_calls() {
    return std::string(kReadingCalls) + "," + kChangingCallsOfAll + ",ioctl,open,openat,openat2,creat";
  }

  static bool is_one_of(const std::string& calls, const std::string& call) {
    return ("," + calls + ",").find("," + call + ",") != std::string::npos;
  }

  /// "12345 openat2(...": the call.
  static std::string call_of(const std::string& line) {
    const std::size_t start = line.find_first_not_of("0123456789 ");
    return start == line.npos ? "" : line.substr(start, line.find('(') - start);
  }

  [[nodiscard]] bool reads_content(const std::string& line) const {
    const bool of_skel = line.find("<" + (skel() / "global/").string()) != line.npos ||
                         line.find("<" + (skel() / "local/").string()) != line.npos;
    const bool of_vserver = line.find("<" + (vservers() / "web").string()) != line.npos;
    if (!of_skel && !of_vserver) return false;
    return is_one_of(kReadingCalls, call_of(line)) || line.find("FIDEDUPERANGE") != line.npos;
  }

  [[nodiscard]] bool changes_something(const std::string& line) const {
    if (line.find(vservers().string()) == line.npos) return false;
    if (is_one_of(kChangingCallsOfAll, call_of(line))) return true;
    if (line.find("/.vskel/locks") != line.npos) return false;  // opened for writing, as a write lock asks for
    for (const char* word :
         {"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "FS_IOC_SETFLAGS", "FICLONE", "FS_IOC_FSSETXATTR"})
      if (line.find(word) != line.npos) return true;
    return false;
  }
};

TEST_P(QuietRelinkTest, NothingToDoReadsNoContentAndWritesNothing) {
  install_and_build(PackageManager::dpkg);
  if (IsSkipped() || HasFatalFailure()) return;
  for (const std::string& share : ways_of_sharing()) {
    create_vserver("web-untouched-" + share, {"--share", share});
    create_vserver("web-edited-" + share, {"--share", share});
    change("web-edited-" + share, {{"etc/odd/odd.conf", kEdited}, {"usr/share/odd/data", absent()}});
  }
  upgrade_skel();
  if (HasFatalFailure()) return;
  ASSERT_EQ(relink().process.code, 0);
  const StoreSnapshot before = snapshot_store();
  const std::vector<std::string> lines = traced_relink();
  EXPECT_GT(lines.size(), 20U) << "the trace is empty";
  EXPECT_EQ(changes_since(before), "");
  std::string reading, changing;
  for (const std::string& line : lines) {
    if (reads_content(line)) reading += line.substr(0, 400) + "\n";
    if (changes_something(line)) changing += line.substr(0, 400) + "\n";
  }
  EXPECT_EQ(reading, "");
  EXPECT_EQ(changing, "");
}

TEST_P(QuietRelinkTest, TheTraceOfARealUpdateShowsReadingAndChanging) {
  // Else the test above could not fail.
  install_and_build(PackageManager::dpkg);
  if (IsSkipped() || HasFatalFailure()) return;
  create_vserver("web1", {"--share", "copy"});
  upgrade_skel();
  if (HasFatalFailure()) return;
  bool reading = false, changing = false;
  for (const std::string& line : traced_relink()) {
    reading = reading || reads_content(line);
    changing = changing || changes_something(line);
  }
  EXPECT_TRUE(reading);
  EXPECT_TRUE(changing);
}

INSTANTIATE_TEST_SUITE_P(On, QuietRelinkTest, kAllFileSystems, kParameterName);

/// Relinks of vservers k1, k2, ..., each killed at another call.
class KilledRelinkTest : public UpdateCycleTest {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
    UpdateCycleTest::SetUp();
  }

  // All points on the file system where most depends on order, a few on the others.
  [[nodiscard]] static std::vector<KillPoint> points() {
    const bool all = GetParam() == FileSystem::ext4;
    std::vector<KillPoint> points;
    const std::vector<std::string> many = {
        "mkdirat",   "linkat", "symlinkat",      "openat2,openat", "renameat,renameat2", "ioctl",          "syncfs",
        "fdatasync", "fsync",  "write,pwrite64", "unlinkat",       "fchown,fchownat",    "fchmodat,fchmod"};
    const std::vector<std::string> few = {"linkat,ioctl", "renameat,renameat2", "syncfs", "unlinkat"};
    for (const std::string& system_call : all ? many : few)
      for (const int when : all ? std::vector<int>{1, 2, 4, 9, 25} : std::vector<int>{1, 6})
        points.push_back({system_call, when});
    return points;
  }

  /// Each file system has another way of sharing.
  [[nodiscard]] static std::string share() {
    if (has_reflinks(GetParam())) return "reflink";
    return GetParam() == FileSystem::ext4 ? "hardlink" : "copy";
  }

  [[nodiscard]] static bool was_killed(const ProcessResult& result) { return result.signal == 9 || result.code == 137; }

  void create_all(std::size_t count) const {
    const ProcessResult made = vskel({"create-vs", "base", "--count", std::to_string(count), "--name", "k%d", "--fqdn",
                                      "%s.example.com", "--ip-from", "10.0.0.1", "--share", share()});
    ASSERT_EQ(made.code, 0) << made;
    for (const char* name : {"before", "after"}) create_vserver(name, {"--share", share()});
    for (const std::string& name : names_in(vservers()))
      if (!name.starts_with(".")) put(vserver(name) / "etc/odd/odd.conf", kEdited);
  }

  void expect_whole(const std::string& name) const {
    const ProcessResult recovered = vskel({"recover"});
    ASSERT_EQ(recovered.code, 0) << recovered;
    const StoreSnapshot once = snapshot_store();
    ASSERT_EQ(vskel({"recover"}).code, 0);
    ASSERT_EQ(changes_since(once), "") << "recover changed something the second time";
    ASSERT_EQ(inconsistencies(), "") << recovered;
    const ProcessResult verified = vskel({"verify", name});
    ASSERT_EQ(verified.code, 0) << verified;
    const std::string from_before = differences("before", name), from_after = differences("after", name);
    ASSERT_TRUE(from_before.empty() || from_after.empty()) << "between:\nfrom before it differs in\n"
                                                           << from_before << "from after in\n"
                                                           << from_after;
    expect_skel_sealed();
  }
};

TEST_P(KilledRelinkTest, IsBeforeOrAfterAndGoesOnWhereItStopped) {
  install_and_build(PackageManager::dpkg);
  if (IsSkipped() || HasFatalFailure()) return;
  const std::vector<KillPoint> all = points();
  create_all(all.size());
  if (HasFatalFailure()) return;
  upgrade_skel();
  if (HasFatalFailure()) return;
  ASSERT_EQ(relink({"after"}).process.code, 0);
  ASSERT_EQ(version_in("after"), "2");
  const KeptPaths kept = {{"/etc/odd/odd.conf", "changed on both sides"}};
  int killed = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string name = "k" + std::to_string(i + 1);
    SCOPED_TRACE(name + " at " + all[i].system_call + " number " + std::to_string(all[i].when));
    const ProcessResult result = vskel_killed_at(all[i], {"relink", "base", name});
    killed += was_killed(result) ? 1 : 0;
    ASSERT_TRUE(was_killed(result) || result.code == 0) << result;
    expect_whole(name);
    const Relinked again = relink({name});
    ASSERT_EQ(again.process.code, 0) << again.process;
    ASSERT_EQ(differences("after", name), "");
    ASSERT_EQ(again.kept(name), kept);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(killed, 4);
}

INSTANTIATE_TEST_SUITE_P(On, KilledRelinkTest, kAllFileSystems, kParameterName);

class MergedSkelTest : public UpdateCycleTest {};

TEST_P(MergedSkelTest, APackageManagerThatWritesInPlaceReachesNoVserverBeforeRelink) {
  install_and_build(PackageManager::dpkg);
  if (IsSkipped() || HasFatalFailure()) return;
  for (const std::string& share : ways_of_sharing()) create_vserver(share, {"--share", share});
  std::map<std::string, TreeSnapshot> before;
  for (const std::string& share : ways_of_sharing()) before[share] = snapshot_tree(vserver(share));
  merge();
  if (HasFatalFailure()) return;
  const std::vector<std::string> in_place = {"usr/bin/odd", "usr/lib/odd/libsame.so", "usr/share/odd/hard-a",
                                             "etc/odd/same.conf"};
  for (const std::string& path : in_place) {
    write_file(merged() / path, "written in place");
    ASSERT_EQ(::chmod((merged() / path).c_str(), 0711), 0);
  }
  const auto expect_unreached = [&] {
    for (const std::string& share : ways_of_sharing())
      EXPECT_EQ(joined(compare_snapshots(before[share], snapshot_tree(vserver(share)), {}, Identity::compared)), "");
  };
  expect_unreached();
  split();
  if (HasFatalFailure()) return;
  expect_unreached();
  ASSERT_EQ(relink().process.code, 0);
  for (const std::string& share : ways_of_sharing())
    for (const std::string& path : in_place)
      EXPECT_EQ(differences_from(file("written in place", 0711), vserver(share) / path), "");
}

TEST_P(MergedSkelTest, FilesThatTheUpgradeWroteAnewUnchangedKeepTheirInodes) {
  install_and_build(PackageManager::dpkg);
  if (IsSkipped() || HasFatalFailure()) return;
  create_vserver("web1");
  const fs::path global = skel() / "global";
  const std::uint64_t same = inode_of(global / "usr/bin/odd-same"), moved = inode_of(global / "usr/share/odd/moves"),
                      changed = inode_of(global / "usr/bin/odd");
  upgrade_skel();
  if (HasFatalFailure()) return;
  EXPECT_EQ(inode_of(global / "usr/bin/odd-same"), same);
  EXPECT_EQ(inode_of(global / "usr/share/odd/moved/here"), moved);
  EXPECT_EQ(inode_of(skel() / "generations/0001.files/global/usr/bin/odd"), changed);
  EXPECT_EQ(inode_of(vserver("web1") / "usr/bin/odd"), changed) << "until it is relinked";
}

TEST_P(MergedSkelTest, AskingRpmInAVserverDoesNotCloseItsGate) {
  install_and_build(PackageManager::rpm);
  if (IsSkipped() || HasFatalFailure()) return;
  create_vserver("web1");
  ASSERT_EQ(version_in("web1"), "1");
  upgrade_skel();
  if (HasFatalFailure()) return;
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  EXPECT_EQ(relinked.of("web1")["status"], "done");
  EXPECT_EQ(version_in("web1"), "2");
}

INSTANTIATE_TEST_SUITE_P(On, MergedSkelTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
