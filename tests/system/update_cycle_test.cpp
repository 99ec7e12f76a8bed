// The whole cycle with real package managers: a package is upgraded in the merged skel, and every vserver follows as
// far as its tenant left it alone.
#include <algorithm>

#include "tests/support/inode_extras.h"
#include "tests/support/packages.h"
#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

PackageContent version_one() {
  PackageContent one;
  one.version = "1";
  one.files = {{"/usr/share/app/data", std::string(9000, 'd')},
               {"/usr/share/app/gone", "goes away"},
               {"/usr/share/app/moved-from", std::string(5000, 'm')},
               {"/usr/share/app/becomes-directory", "a file"},
               {"/usr/lib/libapp.so.1", "library one"}};
  one.programs = {{"/usr/bin/app", "#!/bin/sh\necho one\n"}, {"/usr/bin/app-helper", "helper one"}};
  one.set_id = {{"/usr/bin/app-su", "set-id one"}};
  one.conffiles = {{"/etc/app/app.conf", "colour = blue\n"}};
  one.symlinks = {{"/usr/lib/libapp.so", "libapp.so.1"}};
  one.hard_links = {{"/usr/bin/app-alias", "/usr/bin/app"}};
  one.directories = {"/var/lib/app/empty"};
  return one;
}

PackageContent version_two(PackageManager manager) {
  PackageContent two = version_one();
  two.version = "2";
  two.files.erase("/usr/share/app/gone");
  two.files.erase("/usr/share/app/moved-from");
  two.files["/usr/share/app/moved-to"] = std::string(5000, 'm');
  if (manager == PackageManager::dpkg) {  // rpm refuses to put a directory in a file's place
    two.files.erase("/usr/share/app/becomes-directory");
    two.files["/usr/share/app/becomes-directory/inside"] = "a file in a directory";
  }
  two.files["/usr/share/app/new"] = "is new";
  two.files["/usr/lib/libapp.so.1"] = "library two, longer";
  two.programs["/usr/bin/app"] = "#!/bin/sh\necho two\n";
  two.set_id["/usr/bin/app-su"] = "set-id two";
  two.conffiles["/etc/app/app.conf"] = "colour = green\n";
  return two;
}

/// Files, links and the version of one root as `manager` and the file system see it.
class UpdateCycleTest : public VskelTest {
 protected:
  void SetUp() override {
    for (const PackageManager manager : {PackageManager::dpkg, PackageManager::rpm})
      VSKEL_REQUIRE(missing_for_packages(manager));
    VskelTest::SetUp();
  }

  static std::vector<std::string> shares() {
    std::vector<std::string> shares = {"hardlink", "copy"};
    if (has_reflinks(GetParam())) shares.emplace_back("reflink");
    return shares;
  }

  /// A skel "base" with version one installed, from a root of its own.
  void build_with_package(PackageManager manager) {
    manager_ = manager;
    fs::remove_all(root());
    fs::create_directories(root() / "etc");
    write_file(root() / "etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    make_package_database(manager, root());
    install_package(manager, build_package(manager, "app", version_one(), mount() / "build"), root());
    const ProcessResult built = vskel({"build-skel", "base", "--from", root().string()});
    ASSERT_EQ(built.code, 0) << built;
  }

  void upgrade_in_the_skel() {
    const ProcessResult merged = vskel({"merge-skel", "base"});
    ASSERT_EQ(merged.code, 0) << merged;
    install_package(manager_, build_package(manager_, "app", version_two(manager_), mount() / "build"),
                    vservers() / "tmp_skel_base");
    const ProcessResult split = vskel({"split-skel", "base"});
    ASSERT_EQ(split.code, 0) << split;
    EXPECT_EQ(installed_version(manager_, "app", skel() / "local"), "2");
  }

  void remove_everything() const {
    Arguments arguments = {"remove-vs", "--yes"};
    for (const std::string& name : names_in(vservers()))
      if (!name.starts_with(".")) arguments.push_back(name);
    ASSERT_EQ(vskel(arguments).code, 0);
    ASSERT_EQ(vskel({"remove-skel", "base", "--yes"}).code, 0);
  }

  /// Regular files of the skel's global part that a hard-link vserver shares.
  void expect_shared(const std::string& name) const {
    for (const auto& entry : fs::recursive_directory_iterator(skel() / "global")) {
      if (!entry.is_regular_file() || entry.is_symlink() || fs::file_size(entry.path()) == 0) continue;
      const fs::path own = vserver(name) / fs::relative(entry.path(), skel() / "global");
      const bool set_id = (entry.status().permissions() & fs::perms::set_uid) != fs::perms::none;
      EXPECT_EQ(inode_of(own) == inode_of(entry.path()), !set_id) << own;
      EXPECT_EQ(is_immutable(own), !set_id) << own;
    }
  }

  /// The vserver has all of the skel, content and metadata.
  void expect_as_the_skel(const std::string& name) const {
    for (const char* part : {"global", "local"}) {
      const std::vector<std::string> differences = compare_trees(
          skel() / part, vserver(name), std::vector<Exception>{{"**", Aspect::mtime | Aspect::links | Aspect::holes}});
      std::vector<std::string> missing;
      std::ranges::copy_if(differences, std::back_inserter(missing), [](const std::string& line) {
        // The shared memory of who asked a database is nobody's to follow.
        return line.find("should not be there") == std::string::npos &&
               line.find("rpmdb.sqlite-shm") == std::string::npos;
      });
      EXPECT_EQ(joined(missing), "") << name << " against " << part;
    }
  }

  /// What a tenant on a kernel with iunlink seals could do with a shared file: take the name away from it.
  void delete_shared(const std::string& name, const std::string& path) const {
    const bool sealed = is_immutable(vserver(name) / path);
    if (sealed) clear_immutable(vserver(name) / path);
    fs::remove(vserver(name) / path);
    if (sealed) set_immutable(skel() / "global" / path);
  }

  /// Every shared file below `path` becomes the vserver's own, as if its tenant had copied it over itself.
  void make_private(const std::string& name, const std::string& path) const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(vserver(name) / path))
      if (entry.is_regular_file() && !entry.is_symlink() && is_immutable(entry.path())) files.push_back(entry.path());
    for (const fs::path& file : files) {
      const std::string relative = fs::relative(file, vserver(name)).string();
      const ProcessResult copied = run({"cp", "-a", file.string(), file.string() + ".own"});
      ASSERT_EQ(copied.code, 0) << copied;
      delete_shared(name, relative);
      fs::rename(file.string() + ".own", file);
    }
  }

  [[nodiscard]] fs::path root() const { return mount() / "root"; }
  PackageManager manager_ = PackageManager::dpkg;
};

Json named(const Json& document, const std::string& name) {
  for (const Json& vserver : document.at("vservers"))
    if (vserver.at("name") == name) return vserver;
  ADD_FAILURE() << "no " << name << " in " << document;
  return {};
}

TEST_P(UpdateCycleTest, UntouchedVserversRunTheNewVersionAndTenantsKeepTheirChanges) {
  for (const PackageManager manager : {PackageManager::dpkg, PackageManager::rpm}) {
    for (const std::string& share : shares()) {
      SCOPED_TRACE(package_manager_name(manager) + ", " + share);
      build_with_package(manager);
      if (HasFatalFailure()) return;
      for (int number = 1; number <= 5; ++number)
        create("web" + std::to_string(number), "192.0.2." + std::to_string(number), {"--share", share});
      // web2: a conffile edited, a file of the package deleted, own files in its directories.
      write_file(vserver("web2") / "etc/app/app.conf", "colour = mine\n");
      delete_shared("web2", "usr/lib/libapp.so.1");
      write_file(vserver("web2") / "usr/share/app/own", "the tenant's");
      // web3: its own database.
      write_file(vserver("web3") / package_database(manager) / "tenants-own", "x");
      // web4: upgraded by itself.
      make_private("web4", "");
      install_package(manager, build_package(manager, "app", version_two(manager), mount() / "build"), vserver("web4"));
      // web5: mode changed, a directory moved away behind a symlink.
      fs::permissions(vserver("web5") / "etc/app/app.conf", fs::perms::owner_read);
      make_private("web5", "usr/share/app");
      fs::rename(vserver("web5") / "usr/share/app", vserver("web5") / "srv-app");
      fs::create_symlink("/srv-app", vserver("web5") / "usr/share/app");
      const TreeSnapshot behind_link = snapshot_tree(vserver("web5") / "srv-app");

      upgrade_in_the_skel();
      if (HasFatalFailure()) return;
      const ProcessResult dry = vskel({"relink", "base", "--dry-run", "--json"});
      const ProcessResult real = vskel({"relink", "base", "--json"});
      EXPECT_EQ(real.code, 3) << real;  // web3 is skipped
      EXPECT_EQ(dry.code, 3) << dry;
      Json planned = Json::parse(dry.out), done = Json::parse(real.out);
      planned.erase("elapsed_s");
      done.erase("elapsed_s");
      EXPECT_EQ(planned, done);

      EXPECT_EQ(named(done, "web1").at("status"), "done");
      EXPECT_TRUE(named(done, "web1").at("kept").empty()) << named(done, "web1");
      EXPECT_EQ(installed_version(manager, "app", vserver("web1")), "2");
      EXPECT_EQ(read_file(vserver("web1") / "usr/bin/app"), "#!/bin/sh\necho two\n");
      EXPECT_FALSE(fs::exists(vserver("web1") / "usr/share/app/gone"));
      expect_as_the_skel("web1");
      if (share == "hardlink") expect_shared("web1");

      EXPECT_EQ(installed_version(manager, "app", vserver("web2")), "2");
      const std::map<std::string, std::string> web2 = {{"/etc/app/app.conf", "changed on both sides"},
                                                       {"/usr/lib/libapp.so.1", "deleted here, changed in the skel"}};
      EXPECT_EQ(kept_of(named(done, "web2")), web2);
      EXPECT_EQ(read_file(vserver("web2") / "etc/app/app.conf"), "colour = mine\n");
      EXPECT_EQ(read_file(vserver("web2") / "usr/share/app/own"), "the tenant's");
      EXPECT_FALSE(fs::exists(vserver("web2") / "usr/lib/libapp.so.1"));

      EXPECT_EQ(named(done, "web3").at("status"), "skipped");
      EXPECT_EQ(installed_version(manager, "app", vserver("web3")), "1");
      EXPECT_EQ(read_file(vserver("web3") / "usr/bin/app"), "#!/bin/sh\necho one\n");

      EXPECT_EQ(named(done, "web4").at("status"), "done") << named(done, "web4");
      EXPECT_EQ(installed_version(manager, "app", vserver("web4")), "2");
      const bool shared = inode_of(vserver("web4") / "usr/bin/app") == inode_of(skel() / "global/usr/bin/app");
      EXPECT_EQ(shared, share == "hardlink");

      EXPECT_EQ(kept_of(named(done, "web5")).at("/usr/share/app"), "blocked");
      EXPECT_EQ(kept_of(named(done, "web5")).at("/etc/app/app.conf"), "changed on both sides");
      EXPECT_EQ(
          joined(compare_snapshots(behind_link, snapshot_tree(vserver("web5") / "srv-app"), {}, Identity::compared)),
          "");

      const StoreSnapshot before = snapshot_store();
      const ProcessResult again = vskel({"relink", "base", "--json"});
      EXPECT_EQ(again.code, 3) << again;
      EXPECT_EQ(changes_since(before), "");
      EXPECT_EQ(kept_of(named(Json::parse(again.out), "web2")), web2);

      const ProcessResult forced = vskel({"relink", "base", "web3", "--pkgdb", "force"});
      EXPECT_EQ(forced.code, 0) << forced;
      EXPECT_EQ(read_file(vserver("web3") / "usr/bin/app"), "#!/bin/sh\necho two\n");
      EXPECT_EQ(installed_version(manager, "app", vserver("web3")), "1");
      EXPECT_EQ(inconsistencies(), "");
      const ProcessResult verified = vskel({"verify"});
      EXPECT_EQ(verified.code, 0) << verified;
      remove_everything();
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(UpdateCycleTest, WhatWasWrittenAnewWithoutAChangeKeepsItsInode) {
  build_with_package(PackageManager::dpkg);
  if (HasFatalFailure()) return;
  create("web1", "192.0.2.1");
  const std::uint64_t data = inode_of(skel() / "global/usr/share/app/data");
  const std::uint64_t moved = inode_of(skel() / "global/usr/share/app/moved-from");
  const std::uint64_t app = inode_of(skel() / "global/usr/bin/app");
  upgrade_in_the_skel();
  EXPECT_EQ(inode_of(skel() / "global/usr/share/app/data"), data);
  EXPECT_EQ(inode_of(skel() / "global/usr/share/app/moved-to"), moved);
  EXPECT_NE(inode_of(skel() / "global/usr/bin/app"), app);
  EXPECT_EQ(inode_of(skel() / "generations/0001.files/global/usr/bin/app"), app);
  EXPECT_EQ(inode_of(vserver("web1") / "usr/bin/app"), app);
}

TEST_P(UpdateCycleTest, ARelinkWithNothingToDoReadsNoContentAndWritesNothing) {
  VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
  for (const std::string& share : shares()) {
    SCOPED_TRACE(share);
    build_with_package(PackageManager::dpkg);
    if (HasFatalFailure()) return;
    create("web1", "192.0.2.1", {"--share", share});
    create("web2", "192.0.2.2", {"--share", share});
    upgrade_in_the_skel();
    ASSERT_EQ(vskel({"relink", "base"}).code, 0);
    const fs::path trace = mount() / "trace";
    Arguments traced = {"strace",
                        "-f",
                        "-y",
                        "-o",
                        trace.string(),
                        "-e",
                        "trace=read,pread64,write,pwrite64,renameat,renameat2,linkat,unlinkat,mkdirat,fchmod,fchmodat,"
                        "fchown,fchownat,utimensat,setxattr,fsetxattr,ioctl,syncfs,fsync,fdatasync"};
    for (const std::string& argument : command({"relink", "base", "-j", "1"})) traced.push_back(argument);
    const StoreSnapshot before = snapshot_store();
    const ProcessResult result = run(traced);
    ASSERT_EQ(result.code, 0) << result;
    EXPECT_EQ(changes_since(before), "");
    std::istringstream lines(read_file(trace));
    for (std::string line; std::getline(lines, line);) {
      const bool in_vserver = line.find(vservers().string() + "/web") != std::string::npos;
      const bool reads = line.find(" read(") != std::string::npos || line.find("pread64(") != std::string::npos;
      EXPECT_FALSE(in_vserver && line.find("FIEMAP") == std::string::npos) << line;
      const bool writes =
          !reads && line.find(" write(1<") == std::string::npos && line.find(" write(2<") == std::string::npos &&
          line.find("/.vskel/locks/") == std::string::npos && line.find("FIEMAP") == std::string::npos &&
          line.find("+++") == std::string::npos && line.find("---") == std::string::npos &&
          line.find("TCGETS") == std::string::npos && line.find(" = -1 E") == std::string::npos;
      EXPECT_FALSE(writes) << line;
    }
    remove_everything();
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(On, UpdateCycleTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
