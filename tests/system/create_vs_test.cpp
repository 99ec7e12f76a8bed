// create-vs: a vserver is its source again, shares what may be shared, and has its own name, address, context and
// configuration.
#include <sys/stat.h>

#include "tests/support/inode_extras.h"
#include "tests/support/odd_root.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

class CreateVsTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    build_base();
  }
};

TEST_P(CreateVsTest, HardlinkedTreeEqualsTheSource) {
  create("web1", "192.0.2.1");
  EXPECT_EQ(differences_from_source("web1"), "");
}

TEST_P(CreateVsTest, CopiedTreeEqualsTheSourceAndSharesNothing) {
  create("web1", "192.0.2.1", {"--share", "copy"});
  EXPECT_EQ(differences_from_source("web1"), "");
  for (const std::string& path : odd_root::kLinkable) {
    EXPECT_NE(inode_of(vserver("web1") / path), inode_of(skel() / "global" / path)) << path;
    EXPECT_FALSE(is_immutable(vserver("web1") / path)) << path;
  }
}

TEST_P(CreateVsTest, ReflinkedTreeEqualsTheSourceOrIsRefused) {
  if (has_reflinks(GetParam())) {
    create("web1", "192.0.2.1", {"--share", "reflink"});
    EXPECT_EQ(differences_from_source("web1"), "");
    EXPECT_NE(inode_of(vserver("web1") / "usr/bin/tool"), inode_of(skel() / "global/usr/bin/tool"));
    EXPECT_FALSE(is_immutable(vserver("web1") / "usr/bin/tool"));
    const Json made = vskel_json({"create-vs", "base", "web2", "web2.example.com", "192.0.2.2", "--share", "reflink"});
    EXPECT_GT(made["vservers"][0]["cloned"].get<int>(), 0);
    return;
  }
  const StoreSnapshot before = snapshot_store();
  const ProcessResult result =
      vskel({"create-vs", "base", "web1", "web1.example.com", "192.0.2.1", "--share", "reflink"});
  EXPECT_TRUE(result.code == 1 || result.code == 2) << result;
  EXPECT_NE(result.err.find("reflink"), std::string::npos) << result;
  EXPECT_EQ(changes_since(before), "");
}

TEST_P(CreateVsTest, SharesAndSealsWhatIsLinkable) {
  create("web1", "192.0.2.1", {"--seal", "immutable"});
  for (const std::string& path : odd_root::kLinkable) {
    EXPECT_EQ(inode_of(vserver("web1") / path), inode_of(skel() / "global" / path)) << path;
    EXPECT_TRUE(is_immutable(vserver("web1") / path)) << path;
  }
}

TEST_P(CreateVsTest, NeverSharesWhatAPackageManagerWouldChange) {
  create("web1", "192.0.2.1");
  for (const std::string& path : odd_root::kNotLinkable) {
    EXPECT_NE(inode_of(vserver("web1") / path), inode_of(skel() / "global" / path)) << path;
    if (path != "usr/bin/empty") {
      EXPECT_FALSE(is_immutable(vserver("web1") / path)) << path;
    }
  }
}

TEST_P(CreateVsTest, LocalFilesAreItsOwn) {
  create("web1", "192.0.2.1");
  create("web2", "192.0.2.2");
  write_file(vserver("web1") / "etc/os-release", "changed");
  EXPECT_EQ(read_file(vserver("web2") / "etc/os-release"), "ID=odd\n");
  EXPECT_EQ(read_file(skel() / "local/etc/os-release"), "ID=odd\n");
}

class CreateVsFromOwnSkelTest : public VskelTest {};

TEST_P(CreateVsFromOwnSkelTest, SmallLocalFilesAreClonesWhereTheFileSystemClones) {
  const std::string content(8192, 's');  // btrfs keeps smaller ones in the inode
  write_file(source() / "etc/small", content);
  build_base();
  create("web1", "192.0.2.1");
  EXPECT_EQ(read_file(vserver("web1") / "etc/small"), content);
  if (has_reflinks(GetParam())) {
    EXPECT_TRUE(has_shared_extents(vserver("web1") / "etc/small"));
  }
  EXPECT_EQ(differences_from_source("web1"), "");
}

TEST_P(CreateVsTest, ASealedFileRefusesToBeChanged) {
  create("web1", "192.0.2.1", {"--seal", "immutable"});
  EXPECT_NE(::chmod((vserver("web1") / "usr/bin/tool").c_str(), 0600), 0);
  std::error_code refused;
  fs::resize_file(vserver("web1") / "usr/bin/tool", 0, refused);
  EXPECT_TRUE(refused);
}

TEST_P(CreateVsTest, LeavesTheSkelAsItWas) {
  const std::vector<Exception> record_is_new = {{"instances/**", Aspects::all()}, {"instances", Aspect::mtime}};
  const TreeSnapshot before = snapshot_tree(skel());
  create("web1", "192.0.2.1");
  EXPECT_EQ(joined(compare_snapshots(before, snapshot_tree(skel()), record_is_new, Identity::compared)), "");
  for (const std::string& path : odd_root::kLinkable) EXPECT_TRUE(is_immutable(skel() / "global" / path)) << path;
}

TEST_P(CreateVsTest, HundredAtOnce) {
  const Json report = vskel_json({"create-vs", "base", "--count", "100", "--name", "web%03d", "--fqdn",
                                  "%s.example.com", "--ip-from", "10.1.0.1"});
  ASSERT_EQ(report["vservers"].size(), 100U);
  std::set<int> contexts;
  for (const Json& made : report["vservers"]) {
    EXPECT_EQ(made["status"], "created") << made;
    contexts.insert(made["context"].get<int>());
  }
  EXPECT_EQ(contexts.size(), 100U);
  for (const char* name : {"web001", "web050", "web100"}) EXPECT_EQ(differences_from_source(name), "") << name;
  EXPECT_EQ(read_file(config("web100")).find("10.1.0.100") == std::string::npos, false);
  EXPECT_EQ(inconsistencies(), "");
  struct stat status {};
  ASSERT_EQ(::stat((skel() / "global/usr/share/big").c_str(), &status), 0);
  EXPECT_EQ(status.st_nlink, 101U);
  EXPECT_EQ(vskel({"verify"}).code, 0);
}

INSTANTIATE_TEST_SUITE_P(On, CreateVsFromOwnSkelTest, kAllFileSystems, kParameterName);
INSTANTIATE_TEST_SUITE_P(On, CreateVsTest, kAllFileSystems, kParameterName);

class CreateVsRequestTest : public CreateVsTest {};

TEST_P(CreateVsRequestTest, ReportsAsJson) {
  const Json report = vskel_json({"create-vs", "base", "web1", "web1.example.com", "192.0.2.1"});
  EXPECT_EQ(keys_of(report), (std::set<std::string>{"command", "skel", "elapsed_s", "vservers"}));
  ASSERT_EQ(report["vservers"].size(), 1U);
  const Json& made = report["vservers"][0];
  EXPECT_EQ(keys_of(made),
            (std::set<std::string>{"name", "fqdn", "ip", "context", "path", "config", "generation", "status", "linked",
                                   "cloned", "copied", "bytes_copied", "plugins", "error"}));
  EXPECT_EQ(report["command"], "create-vs");
  EXPECT_EQ(made["name"], "web1");
  EXPECT_EQ(made["fqdn"], "web1.example.com");
  EXPECT_EQ(made["ip"], "192.0.2.1");
  EXPECT_EQ(made["context"], 50);
  EXPECT_EQ(made["path"], vserver("web1").string());
  EXPECT_EQ(made["config"], config("web1").string());
  EXPECT_EQ(made["generation"], 1);
  EXPECT_EQ(made["status"], "created");
  EXPECT_GT(made["linked"].get<int>(), 0);
  EXPECT_EQ(made["cloned"].get<int>(), 0);
  EXPECT_GT(made["copied"].get<int>(), 0);
}

TEST_P(CreateVsRequestTest, FillsTokensInStaticFilesAndConfiguration) {
  write_file(skel() / "static/etc/motd",
             "%%VS_NAME%% %%VS_FQDN%% %%VS_IP%% %%VS_CONTEXT%% %%VS_SKEL%% %%VS_UNKNOWN%% %%VS_DIR%%\n");
  const ProcessResult result = vskel({"create-vs", "base", "web1", "web1.example.com", "192.0.2.1"});
  ASSERT_EQ(result.code, 0) << result;
  EXPECT_EQ(read_file(vserver("web1") / "etc/motd"),
            "web1 web1.example.com 192.0.2.1 50 base %%VS_UNKNOWN%% " + vserver("web1").string() + "\n");
  EXPECT_NE(result.err.find("VS_UNKNOWN"), std::string::npos) << result;
  const std::string hosts = read_file(vserver("web1") / "etc/hosts");
  EXPECT_NE(hosts.find("192.0.2.1"), std::string::npos) << hosts;
  EXPECT_NE(hosts.find("web1.example.com"), std::string::npos) << hosts;
  EXPECT_EQ(hosts.find("%%"), std::string::npos) << hosts;
  const std::string configuration = read_file(config("web1"));
  EXPECT_NE(configuration.find("S_HOSTNAME=\"web1.example.com\""), std::string::npos) << configuration;
  EXPECT_NE(configuration.find("IPROOT=\"192.0.2.1\""), std::string::npos) << configuration;
  EXPECT_NE(configuration.find("S_CONTEXT=50"), std::string::npos) << configuration;
}

TEST_P(CreateVsRequestTest, LeavesLocalFilesWithTokensAlone) {
  create("web1", "192.0.2.1");
  EXPECT_EQ(read_file(vserver("web1") / "etc/alternatives/README"), "tokens stay outside static: %%VS_NAME%%\n");
}

TEST_P(CreateVsRequestTest, LeavesStaticFilesWithZeroBytesAlone) {
  const std::string binary("%%VS_NAME%%\0binary", 18);
  write_file(skel() / "static/etc/binary", binary);
  create("web1", "192.0.2.1");
  EXPECT_EQ(read_file(vserver("web1") / "etc/binary"), binary);
}

TEST_P(CreateVsRequestTest, GivesEachAContextAndKeepsTheNextOne) {
  create("web1", "192.0.2.1");
  create("web2", "192.0.2.2");
  EXPECT_EQ(fs::read_symlink(etc() / "contexts/50"), vserver("web1"));
  EXPECT_EQ(fs::read_symlink(etc() / "contexts/51"), vserver("web2"));
  EXPECT_EQ(read_file(etc() / "contexts/nextid"), "52\n");
}

TEST_P(CreateVsRequestTest, NeverGivesAContextTwice) {
  create("web1", "192.0.2.1");
  ASSERT_EQ(vskel({"remove-vs", "web1", "--yes"}).code, 0);
  create("web2", "192.0.2.2");
  EXPECT_EQ(fs::read_symlink(etc() / "contexts/51"), vserver("web2"));
}

TEST_P(CreateVsRequestTest, TakesAnAskedContextAndSkipsItLater) {
  create("web1", "192.0.2.1", {"--context", "51"});
  create("web2", "192.0.2.2");
  create("web3", "192.0.2.3");
  EXPECT_EQ(fs::read_symlink(etc() / "contexts/51"), vserver("web1"));
  std::set<std::string> ids = names_in(etc() / "contexts");
  ids.erase("nextid");
  EXPECT_EQ(ids.size(), 3U);
}

TEST_P(CreateVsRequestTest, MakesProcAndSys) {
  create("web1", "192.0.2.1");
  EXPECT_EQ(names_in(vserver("web1") / "proc"), std::set<std::string>{});
  EXPECT_TRUE(fs::is_directory(vserver("web1") / "proc"));
  EXPECT_TRUE(fs::is_directory(vserver("web1") / "sys"));
}

TEST_P(CreateVsRequestTest, ReadsAFleetWithColumnsFromAFile) {
  write_file(skel() / "static/etc/motd", "%%VS_COLOUR%%\n");
  write_file(mount() / "fleet.csv",
             "name,fqdn,ip,context,colour\nweb1,web1.example.com,192.0.2.1,,\"dark, "
             "red\"\nweb2,web2.example.com,2001:db8::2,77,blue\n");
  const Json report = vskel_json({"create-vs", "base", "--fleet", (mount() / "fleet.csv").string()});
  ASSERT_EQ(report["vservers"].size(), 2U);
  EXPECT_EQ(read_file(vserver("web1") / "etc/motd"), "dark, red\n");
  EXPECT_EQ(read_file(vserver("web2") / "etc/motd"), "blue\n");
  EXPECT_EQ(fs::read_symlink(etc() / "contexts/77"), vserver("web2"));
}

TEST_P(CreateVsRequestTest, ReadsAFleetFromStandardInput) {
  const ProcessResult result =
      vskel({"create-vs", "base", "--fleet", "-"}, "name,fqdn,ip\nweb1,web1.example.com,192.0.2.1\n");
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(CreateVsRequestTest, AnswersToTheSpellingOf2003) {
  const ProcessResult result = vskel({"--create-vs", "base", "testvs", "test.example.com", "192.168.1.10"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_TRUE(fs::is_directory(vserver("testvs") / "usr/bin"));
}

TEST_P(CreateVsRequestTest, ADryRunChangesNothing) {
  const StoreSnapshot before = snapshot_store();
  const ProcessResult result = vskel({"create-vs", "base", "web1", "web1.example.com", "192.0.2.1", "-n"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(changes_since(before), "");
}

TEST_P(CreateVsRequestTest, FollowsNoSymlinkThatTheSkelPlantedInStatic) {
  write_file(mount() / "victim", "untouched %%VS_NAME%%");
  fs::create_symlink(mount() / "victim", skel() / "static/etc/planted");
  fs::create_directory_symlink(mount(), skel() / "static/etc/planted-dir");
  create("web1", "192.0.2.1");
  EXPECT_EQ(read_file(mount() / "victim"), "untouched %%VS_NAME%%");
  EXPECT_TRUE(fs::is_symlink(vserver("web1") / "etc/planted"));
  EXPECT_TRUE(fs::is_symlink(vserver("web1") / "etc/planted-dir"));
}

INSTANTIATE_TEST_SUITE_P(On, CreateVsRequestTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
