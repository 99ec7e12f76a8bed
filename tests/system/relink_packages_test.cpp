// The gate by package (upgrade.md): what a tenant said to dpkg stays said, and is no reason to leave him behind; other
// packages than the skel's are, and are named.
#include <sstream>

#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

constexpr const char* kStatus = "var/lib/dpkg/status";
constexpr const char* kOverrides = "var/lib/dpkg/statoverride";
constexpr const char* kDiversions = "var/lib/dpkg/diversions";
constexpr const char* kStates = "var/lib/apt/extended_states";

std::string package(const std::string& name, const std::string& version, const std::string& want = "install") {
  return "Package: " + name + "\nStatus: " + want + " ok installed\nArchitecture: all\nVersion: " + version + "\n\n";
}

std::string automatic(const std::string& name) {
  return "Package: " + name + "\nArchitecture: all\nAuto-Installed: 1\n\n";
}

/// What update-alternatives says of an alternative in a vserver: "manual /usr/bin/two".
std::string chosen_in(const fs::path& root) {
  const std::string links = (root / "etc/alternatives").string(), files = (root / "var/lib/dpkg/alternatives").string();
  std::istringstream said(
      run_or_throw({"update-alternatives", "--altdir", links, "--admindir", files, "--query", "pick"}));
  std::string status, value;
  for (std::string line; std::getline(said, line);) {
    if (line.starts_with("Status: ")) status = line.substr(8);
    if (line.starts_with("Value: ")) value = line.substr(7);
  }
  return status + " " + value;
}

class RelinkPackagesTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    put(root() / kStatus, file(package("one", "1") + package("two", "1")));
    put(root() / kOverrides, file("root root 4711 /usr/bin/one\n"));
    put(root() / kDiversions, file(""));
    put(root() / kStates, file(automatic("one")));
    put(root() / "var/lib/dpkg/info/one.list", file("/.\n/usr\n/usr/bin\n/usr/bin/one\n"));
    put(root() / "var/lib/dpkg/alternatives/editor", file("auto\n/usr/bin/editor\n"));
    put(root() / "usr/bin/one", file("one 1", 0755));
    build();
    for (const char* name : {"his", "copy"})
      create_vserver(name, {"--share", name == std::string("copy") ? "copy" : "hardlink"});
  }

  void upgrade() const {
    update_skel({{kStatus, file(new_status())},
                 {kOverrides, file("root root 4711 /usr/bin/one\nredis redis 640 /etc/redis\n")},
                 {kDiversions, file("/bin/three\n/bin/three.distrib\nthree\n")},
                 {kStates, file(automatic("one") + automatic("three"))},
                 {"var/lib/dpkg/info/three.list", file("/.\n")},
                 {"usr/bin/one", file("one 2", 0755)}});
  }
  static std::string new_status(const std::string& want_of_two = "install") {
    return package("one", "2") + package("two", "1", want_of_two) + package("three", "1");
  }

  void expect_done(const std::map<std::string, std::string>& kept = {}) const {
    const Relinked relinked = relink();
    EXPECT_EQ(relinked.process.code, 0) << relinked.process;
    for (const char* name : {"his", "copy"}) {
      EXPECT_EQ(relinked.kept(name), kept) << name;
      EXPECT_EQ(read_file(vserver(name) / "usr/bin/one"), "one 2");
    }
    const StoreSnapshot before = snapshot_store();
    EXPECT_EQ(relink().process.code, 0);
    EXPECT_EQ(changes_since(before), "");
  }

  void change_both(const std::map<std::string, Thing>& things) const {
    for (const char* name : {"his", "copy"}) change(name, things);
  }
  void expect_both(const char* path, const std::string& content) const {
    for (const char* name : {"his", "copy"}) EXPECT_EQ(read_file(vserver(name) / path), content) << name;
  }

  void expect_alternatives(const std::map<std::string, std::string>& chosen) const {
    const Relinked relinked = relink();
    EXPECT_EQ(relinked.process.code, 0) << relinked.process;
    for (const auto& [name, what] : chosen) {
      EXPECT_EQ(relinked.kept(name), (std::map<std::string, std::string>{})) << name;
      EXPECT_EQ(chosen_in(vserver(name)), what) << name;
      const std::string choice = what.substr(what.rfind('/') + 1);
      EXPECT_EQ(fs::read_symlink(vserver(name) / "etc/alternatives/pick"), "/usr/bin/" + choice);
      EXPECT_EQ(fs::read_symlink(vserver(name) / "etc/alternatives/pick.1"), "/usr/share/man/" + choice);
      EXPECT_TRUE(fs::exists(vserver(name) / "usr/bin" / choice)) << choice;
    }
    const StoreSnapshot before = snapshot_store();
    EXPECT_EQ(relink().process.code, 0);
    EXPECT_EQ(changes_since(before), "");
  }

  /// Neither is changed by the upgrade, and what is told names `what`.
  void expect_left(const std::string& what) const {
    std::map<std::string, TreeSnapshot> before;
    for (const char* name : {"his", "copy"}) before[name] = snapshot_tree(vserver(name));
    const Relinked relinked = relink();
    EXPECT_EQ(relinked.process.code, 3) << relinked.process;
    for (const auto& [name, tree] : before) {
      EXPECT_NE(relinked.of(name)["error"].get<std::string>().find(what), std::string::npos) << relinked.of(name);
      EXPECT_EQ(joined(compare_snapshots(tree, snapshot_tree(vserver(name)), {}, Identity::compared)), "");
    }
  }
};

TEST_P(RelinkPackagesTest, WhatTheTenantSaidStaysAndTheUpdateComes) {
  change_both({{kStatus, file(package("one", "1") + package("two", "1", "hold"))},
               {kOverrides, file("root root 4711 /usr/bin/one\nroot root 700 /srv/own\n")},
               {kDiversions, file("/bin/own\n/bin/own.distrib\n:\n")},
               {kStates, file(automatic("two"))},
               {"var/lib/dpkg/alternatives/editor", file("manual\n/usr/bin/editor\n")},
               {"var/lib/dpkg/status-old", file("whatever")}});
  upgrade();
  expect_done();
  expect_both(kStatus, new_status("hold"));
  expect_both(kOverrides, "root root 4711 /usr/bin/one\nroot root 700 /srv/own\nredis redis 640 /etc/redis\n");
  expect_both(kDiversions, "/bin/own\n/bin/own.distrib\n:\n/bin/three\n/bin/three.distrib\nthree\n");
  expect_both(kStates, automatic("two") + automatic("three"));
  expect_both("var/lib/dpkg/alternatives/editor", "manual\n/usr/bin/editor\n");
}

/// A choice stays while there is such a thing; one that the update takes away is no link to nowhere.
TEST_P(RelinkPackagesTest, AnAlternativeLeadsToWhatIsThere) {
  const auto alternative = [](const std::string& mode, const std::vector<std::string>& choices) {
    std::string text = mode + "\n/usr/bin/pick\npick.1\n/usr/share/man/pick.1\n\n";
    for (const std::string& name : choices)
      text += "/usr/bin/" + name + "\n" + std::to_string(10 * choices.size() + name.size()) + "\n/usr/share/man/" +
              name + "\n";
    return file(text + "\n");
  };
  constexpr const char *kFile = "var/lib/dpkg/alternatives/pick", *kLink = "etc/alternatives/pick",
                       *kAlong = "etc/alternatives/pick.1";
  const auto leads_to = [](const std::string& name) { return symlink_to("/usr/bin/" + name); };
  const auto along_to = [](const std::string& name) { return symlink_to("/usr/share/man/" + name); };
  std::map<std::string, Thing> first = {
      {kFile, alternative("auto", {"alpha", "beta"})}, {kLink, leads_to("alpha")}, {kAlong, along_to("alpha")}};
  for (const char* name : {"alpha", "beta"}) {
    first["usr/bin/" + std::string(name)] = file(name, 0755);
    first["usr/share/man/" + std::string(name)] = file(name);
  }
  update_skel(first);
  ASSERT_EQ(relink().process.code, 0);
  const auto choose = [&](const char* name, const std::string& what) {
    change(name,
           {{kFile, alternative("manual", {"alpha", "beta"})}, {kLink, leads_to(what)}, {kAlong, along_to(what)}});
  };
  choose("his", "alpha");
  choose("copy", "beta");
  std::map<std::string, Thing> second = {{kFile, alternative("auto", {"beta", "gamma", "longest"})},
                                         {kLink, leads_to("longest")},
                                         {kAlong, along_to("longest")},
                                         {"usr/bin/alpha", absent()},
                                         {"usr/share/man/alpha", absent()}};
  for (const char* name : {"gamma", "longest"}) {
    second["usr/bin/" + std::string(name)] = file(name, 0755);
    second["usr/share/man/" + std::string(name)] = file(name);
  }
  update_skel(second);
  expect_alternatives({{"his", "auto /usr/bin/longest"}, {"copy", "manual /usr/bin/beta"}});
  // All but the link itself stays as it is: what leads there is the tenant's alone.
  update_skel({{kFile, alternative("auto", {"gamma", "longest"})},
               {"usr/bin/beta", absent()},
               {"usr/share/man/beta", absent()}});
  expect_alternatives({{"his", "auto /usr/bin/longest"}, {"copy", "auto /usr/bin/longest"}});
  choose("copy", "none");  // by hand, to nowhere that update-alternatives knows
  update_skel({{kFile, absent()}, {kLink, absent()}, {kAlong, absent()}, {"usr/bin/gamma", absent()}});
  const Relinked last = relink();
  ASSERT_EQ(last.process.code, 0) << last.process;
  EXPECT_FALSE(fs::exists(fs::symlink_status(vserver("his") / kLink)));
  EXPECT_TRUE(fs::is_symlink(vserver("copy") / kLink)) << "led there by hand";
}

TEST_P(RelinkPackagesTest, AnErrorNamesItsVserverWhateverThatIsCalled) {
  for (const char* name : {"force", "upgrade", "t"}) {
    create_vserver(name);
    change(name, {{kStatus, file(package("one", "1") + package("two", "1") + package("own", "1"))}});
  }
  upgrade();
  const ProcessResult relinked = vskel({"relink", "base"});
  EXPECT_EQ(relinked.code, 3) << relinked;
  for (const std::string name : {"force", "upgrade", "t"})
    EXPECT_NE(("\n" + relinked.err).find("\nvskel: " + name + ": the tenant changed"), std::string::npos) << relinked;
}

/// What is told of a vserver that failed stands below its own line.
TEST_P(RelinkPackagesTest, AVserverThatFailsHasALine) {
  update_skel({{"etc/passwd", file("root:x:0:0::/root:/bin/sh\n")}, {"etc/group", file("root:x:0:\n")}});
  ASSERT_EQ(relink().process.code, 0);
  run_or_throw({"chattr", "+i", (vserver("his") / "etc/passwd").string()});
  merge();
  for (const auto& [path, line] :
       {std::pair("etc/passwd", "new:x:104:104::/:/bin/false\n"), {"etc/group", "new:x:104:\n"}})
    write_file(merged() / path, read_file(merged() / path) + line);
  split();
  const ProcessResult relinked = vskel({"relink", "base"});
  run_or_throw({"chattr", "-i", (vserver("his") / "etc/passwd").string()});
  EXPECT_EQ(relinked.code, 3) << relinked;
  EXPECT_NE(relinked.out.find("his: failed\n  kept /etc/passwd"), std::string::npos) << relinked;
}

/// A package under another name that has its directory is no package that goes.
TEST_P(RelinkPackagesTest, AStateThatARenamedPackageTookOverTearsNothing) {
  constexpr const char *kState = "var/lib/state", *kList = "/.\n/var\n/var/lib\n/var/lib/state\n";
  const std::string others = package("two", "1");
  update_skel({{kStatus, file(package("one", "1") + others + package("before", "1"))},
               {"var/lib/dpkg/info/before.list", file(kList)},
               {kState, directory({{"data", file("1")}})}});
  ASSERT_EQ(relink().process.code, 0);
  change_both({{std::string(kState) + "/data", file("the tenant's")}});
  update_skel({{kStatus, file(package("one", "1") + others + package("after", "2"))},
               {"var/lib/dpkg/info/before.list", absent()},
               {"var/lib/dpkg/info/after.list", file(kList)},
               {"usr/bin/one", file("one 2", 0755)},
               {std::string(kState) + "/data", file("2")}});
  expect_done({{"/var/lib/state", "in use by the tenant, changed in the skel"}});
}

TEST_P(RelinkPackagesTest, WhoUpgradedInsideToTheSkelsVersionsIsBack) {
  const std::string own = package("three", "1") + package("two", "1") + package("one", "2");
  change_both(
      {{kStatus, file(own)}, {"var/lib/dpkg/info/three.list", file("/.\n")}, {"usr/bin/one", file("one 2", 0755)}});
  upgrade();
  expect_done();
  expect_both(kStatus, own);
  EXPECT_EQ(inode_of(vserver("his") / "usr/bin/one"), inode_of(theirs("usr/bin/one"))) << "folded";
}

TEST_P(RelinkPackagesTest, APackageOfHisOwnIsNamed) {
  change_both({{kStatus, file(package("one", "1") + package("two", "1") + package("own", "7"))}});
  upgrade();
  expect_left("/var/lib/dpkg/status: own");
}

TEST_P(RelinkPackagesTest, APackageThatHeRemovedIsNamed) {
  change_both({{kStatus, file(package("one", "1"))}});
  upgrade();
  expect_left("/var/lib/dpkg/status: two");
}

TEST_P(RelinkPackagesTest, WithoutAListOfFilesNothingIsUpdated) {
  change_both({{"var/lib/dpkg/info/one.list", absent()}});
  upgrade();
  expect_left("/var/lib/dpkg/info/one.list");
}

TEST_P(RelinkPackagesTest, AStatusThatIsNoneClosesTheGateByItsLine) {
  change_both({{kStatus, file(package("one", "1") + "Package: two\nnonsense\n")}});
  upgrade();
  expect_left("/var/lib/dpkg/status:7");
}

TEST_P(RelinkPackagesTest, WhatBothSaidOtherwiseIsHisAndTold) {
  change_both({{kOverrides, file("root root 755 /usr/bin/one\n")}});
  update_skel({{kOverrides, file("root root 4755 /usr/bin/one\n")}, {"usr/bin/one", file("one 2", 0755)}});
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  const std::map<std::string, std::string> kept{{"/var/lib/dpkg/statoverride", "/usr/bin/one: changed on both sides"}};
  EXPECT_EQ(relinked.kept("his"), kept);
  expect_both(kOverrides, "root root 755 /usr/bin/one\n");
}

INSTANTIATE_TEST_SUITE_P(On, RelinkPackagesTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
