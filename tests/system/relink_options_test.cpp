// What relink is told: which vservers, how much, and how; and what it says.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "tests/support/inode_extras.h"
#include "tests/support/requirement.h"
#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

using Kept = std::map<std::string, std::string>;

const Thing kOldFile = file("the old content"), kNewFile = file("the new content"), kOwnFile = file("the tenant's own");
constexpr const char* kDpkgStatus = "var/lib/dpkg/status";

/// One vserver, web1, of a skel with a few global and local files; what each test changes is its own.
class RelinkOptionsTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (const char* name : {"a", "b", "c", "d"}) {
      put(root() / "usr/share" / name, kOldFile);
      put(root() / "srv" / name, kOldFile);
    }
    put(root() / kDpkgStatus, file("version 1\n"));
    build();
    create_vserver("web1");
  }

  [[nodiscard]] std::string is(const Thing& thing, const std::string& path, const std::string& name = "web1") const {
    return differences_from(thing, vserver(name) / path);
  }
  [[nodiscard]] bool shares(const std::string& path, const std::string& name = "web1") const {
    return inode_of(vserver(name) / path) == inode_of(skel() / "global" / path);
  }
  [[nodiscard]] Json recorded(const std::string& name = "web1") const {
    return Json::parse(read_file(record(name)), nullptr, false);
  }
};

TEST_P(RelinkOptionsTest, CountsWhatItDid) {
  change("web1", {{"usr/share/c", kOldFile}});
  update_skel({{"usr/share/a", kNewFile}, {"srv/a", kNewFile}, {"usr/share/b", absent()}, {"usr/share/new", kNewFile}});
  const std::uint64_t before = shared_files("web1");
  const Relinked relinked = relink();
  const Json web1 = relinked.of("web1");
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  EXPECT_EQ(web1["from_generation"], 1);
  EXPECT_EQ(relinked.report["generation"], 2);
  EXPECT_EQ(relinked.report["command"], "relink");
  EXPECT_EQ(relinked.report["skel"], "base");
  EXPECT_EQ(web1["status"], "done");
  EXPECT_EQ(web1["updated"], 2);
  EXPECT_EQ(web1["added"], 1);
  EXPECT_EQ(web1["removed"], 1);
  EXPECT_EQ(web1["kept"], Json::array());
  EXPECT_EQ(web1["error"], "");
  EXPECT_GE(web1["bytes_saved"], kOldFile.text.size());
  EXPECT_LE(web1["shared_before"], before);
  EXPECT_EQ(web1["shared_now"], shared_files("web1"));
  EXPECT_EQ(recorded()["generation"], 2);
}

TEST_P(RelinkOptionsTest, OneLineAVserverAndOneAPathWhenAsked) {
  update_skel({{"usr/share/a", kNewFile}, {"usr/share/new", kNewFile}, {"usr/share/b", absent()}});
  const ProcessResult brief = vskel({"relink", "base", "--dry-run"});
  EXPECT_EQ(std::count(brief.out.begin(), brief.out.end(), '\n'), 1) << brief;
  EXPECT_TRUE(brief.out.starts_with("web1: ")) << brief;
  const ProcessResult verbose = vskel({"relink", "base", "-v"});
  for (const char* line : {"updated /usr/share/a", "added /usr/share/new", "removed /usr/share/b"})
    EXPECT_NE(verbose.out.find(line), std::string::npos) << verbose;
}

TEST_P(RelinkOptionsTest, RelinksOnlyTheVserversThatAreNamed) {
  create_vserver("web2");
  update_skel({{"usr/share/a", kNewFile}});
  const Relinked relinked = relink({"web2"});
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  EXPECT_EQ(relinked.report["vservers"].size(), 1U);
  EXPECT_EQ(is(kOldFile, "usr/share/a", "web1"), "");
  EXPECT_EQ(is(kNewFile, "usr/share/a", "web2"), "");
  EXPECT_EQ(recorded("web1")["generation"], 1);
}

TEST_P(RelinkOptionsTest, RefusesAVserverThatIsNotTheSkels) {
  update_skel({{"usr/share/a", kNewFile}});
  const StoreSnapshot before = snapshot_store();
  for (const char* name : {"web9", "../web1", "tmp_skel_base"}) {
    const ProcessResult result = vskel({"relink", "base", "web1", name});
    EXPECT_EQ(result.code, 2) << result;
    EXPECT_NE(result.err.find(name), std::string::npos) << result;
  }
  EXPECT_EQ(vskel({"relink", "nosuch"}).code, 2);
  EXPECT_EQ(changes_since(before), "");
}

TEST_P(RelinkOptionsTest, IsRefusedWhileTheSkelIsMerged) {
  merge();
  const ProcessResult result = vskel({"relink", "base"});
  EXPECT_TRUE(result.code == 1 || result.code == 2) << result;
  EXPECT_NE(result.err.find("merge"), std::string::npos) << result;
}

TEST_P(RelinkOptionsTest, ShareOnlySharesAndDoesNothingElse) {
  change("web1", {{"usr/share/a", kNewFile}, {"usr/share/b", kOldFile}, {"usr/share/d", kOwnFile}});
  update_skel({{"usr/share/a", kNewFile},
               {"usr/share/c", kNewFile},
               {"usr/share/d", kNewFile},
               {"usr/share/new", kNewFile},
               {"srv/a", kNewFile},
               {"srv/b", absent()}});
  const Relinked relinked = relink({"--share-only"});
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  EXPECT_TRUE(shares("usr/share/a")) << "row 6";
  EXPECT_TRUE(shares("usr/share/b")) << "row 2";
  EXPECT_EQ(is(kOldFile, "usr/share/c"), "");
  EXPECT_EQ(is(kOwnFile, "usr/share/d"), "");
  EXPECT_EQ(is(absent(), "usr/share/new"), "");
  EXPECT_EQ(is(kOldFile, "srv/a"), "");
  EXPECT_EQ(is(kOldFile, "srv/b"), "");
  EXPECT_EQ(relinked.of("web1")["updated"], 0);
  EXPECT_EQ(relinked.of("web1")["added"], 0);

  const Relinked later = relink();
  EXPECT_EQ(later.process.code, 0) << later.process;
  EXPECT_EQ(is(kNewFile, "usr/share/c"), "") << "what was left out is done by the next run";
  EXPECT_EQ(is(kNewFile, "usr/share/new"), "");
  EXPECT_EQ(is(kNewFile, "srv/a"), "");
  EXPECT_EQ(is(absent(), "srv/b"), "");
  EXPECT_EQ(later.kept("web1"), (Kept{{"/usr/share/d", "changed on both sides"}}));
}

TEST_P(RelinkOptionsTest, GlobalOnlyLeavesTheLocalPartForLater) {
  update_skel({{"usr/share/a", kNewFile}, {"srv/a", kNewFile}, {"srv/new", kNewFile}});
  EXPECT_EQ(relink({"--global-only"}).process.code, 0);
  EXPECT_EQ(is(kNewFile, "usr/share/a"), "");
  EXPECT_EQ(is(kOldFile, "srv/a"), "");
  EXPECT_EQ(is(absent(), "srv/new"), "");
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_EQ(is(kNewFile, "srv/a"), "");
  EXPECT_EQ(is(kNewFile, "srv/new"), "");
}

TEST_P(RelinkOptionsTest, AnywhereSharesWhatStandsElsewhereInTheSkel) {
  const Thing big = file(std::string(100'000, 'g')), other = file(std::string(100'000, 'h'));
  update_skel({{"usr/share/big", big}});
  change("web1",
         {{"usr/share/own/copy", big}, {"usr/share/own/other", other}, {"usr/share/own/mode", file(big.text, 0600)}});
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_NE(inode_of(vserver("web1") / "usr/share/own/copy"), inode_of(skel() / "global/usr/share/big"));
  const Relinked relinked = relink({"--anywhere"});
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  EXPECT_EQ(inode_of(vserver("web1") / "usr/share/own/copy"), inode_of(skel() / "global/usr/share/big"));
  EXPECT_EQ(is(other, "usr/share/own/other"), "");
  EXPECT_EQ(is(file(big.text, 0600), "usr/share/own/mode"), "");
  EXPECT_GE(relinked.of("web1")["bytes_saved"], big.text.size());
  EXPECT_EQ(relink({"--anywhere"}).process.code, 0);
  EXPECT_EQ(inode_of(vserver("web1") / "usr/share/own/copy"), inode_of(skel() / "global/usr/share/big"));
}

TEST_P(RelinkOptionsTest, AnywhereIsNotDeceivedByAHash) {
  const auto collision = [](const std::string& name) {
    return file(read_file(fs::path(VSKEL_TEST_DATA) / "xxh3-collision" / (name + ".bin")));
  };
  update_skel({{"usr/share/a-32", collision("a-32")}, {"usr/share/a-4096", collision("a-4096")}});
  change("web1", {{"usr/share/own/b-32", collision("b-32")}, {"usr/share/own/b-4096", collision("b-4096")}});
  const Relinked relinked = relink({"--anywhere"});
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  EXPECT_EQ(is(collision("b-32"), "usr/share/own/b-32"), "");
  EXPECT_EQ(is(collision("b-4096"), "usr/share/own/b-4096"), "");
}

TEST_P(RelinkOptionsTest, SplittingIsNotDeceivedByAHash) {
  const auto bytes = [](const std::string& name) {
    return read_file(fs::path(VSKEL_TEST_DATA) / "xxh3-collision" / (name + ".bin"));
  };
  for (const char* size : {"32", "4096"}) {
    SCOPED_TRACE(size);
    const std::string a = bytes("a-" + std::string(size)), b = bytes("b-" + std::string(size));
    update_skel({{"usr/share/a", file(a)}, {"srv/a", file(a)}});
    update_skel({{"usr/share/a", file(b)}, {"srv/a", file(b)}});
    EXPECT_EQ(read_file(skel() / "global/usr/share/a"), b);
    EXPECT_EQ(read_file(skel() / "local/srv/a"), b);
    const Json diff = vskel_json({"diff", "base"});
    EXPECT_EQ(diff.at("changed").get<std::set<std::string>>(),
              (std::set<std::string>{"global/usr/share/a", "local/srv/a"}));
  }
}

TEST_P(RelinkOptionsTest, ToHardlinkSharesWhatWasCopied) {
  create_vserver("copy1", {"--share", "copy"});
  EXPECT_FALSE(shares("usr/share/a", "copy1"));
  const Relinked relinked = relink({"--to", "hardlink", "copy1"});
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  EXPECT_TRUE(shares("usr/share/a", "copy1"));
  EXPECT_TRUE(is_immutable(vserver("copy1") / "usr/share/a"));
  EXPECT_EQ(recorded("copy1")["share"], "hardlink");
  EXPECT_EQ(relinked.of("copy1")["shared_now"], shared_files("copy1"));
  EXPECT_EQ(vskel({"verify"}).code, 0);
}

TEST_P(RelinkOptionsTest, ToCopyMakesAllPrivateAndUpdatesFromThenOn) {
  EXPECT_EQ(relink({"--to", "copy"}).process.code, 0);
  EXPECT_EQ(shared_files("web1"), 0U);
  EXPECT_FALSE(is_immutable(vserver("web1") / "usr/share/b"));
  EXPECT_EQ(recorded()["share"], "copy");
  update_skel({{"usr/share/a", kNewFile}});
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_EQ(is(kNewFile, "usr/share/a"), "");
  EXPECT_FALSE(shares("usr/share/a"));
  EXPECT_FALSE(is_immutable(vserver("web1") / "usr/share/a"));
  EXPECT_EQ(vskel({"verify"}).code, 0);
}

TEST_P(RelinkOptionsTest, ToReflinkSharesExtentsOrIsRefused) {
  const Thing big = file(std::string(200'000, 'r'));
  update_skel({{"usr/share/big", big}});
  create_vserver("copy1", {"--share", "copy"});
  change("copy1", {{"usr/share/big", big}});
  if (has_reflinks(GetParam())) {
    ASSERT_FALSE(has_shared_extents(vserver("copy1") / "usr/share/big"));
  }
  const StoreSnapshot before = snapshot_store();
  const Relinked relinked = relink({"--to", "reflink", "copy1"});
  if (!has_reflinks(GetParam())) {
    EXPECT_TRUE(relinked.process.code == 1 || relinked.process.code == 2) << relinked.process;
    EXPECT_EQ(changes_since(before), "");
    return;
  }
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  EXPECT_TRUE(has_shared_extents(vserver("copy1") / "usr/share/big"));
  EXPECT_FALSE(shares("usr/share/big", "copy1"));
  EXPECT_EQ(recorded("copy1")["share"], "reflink");
  EXPECT_GE(relinked.of("copy1")["bytes_saved"], 200'000);
}

TEST_P(RelinkOptionsTest, ExportNewWritesTheSkelsSideOutsideAndNothingInside) {
  change("web1", {{"usr/share/a", kOwnFile}, {"srv/a", kOwnFile}, {"srv/b", absent()}});
  update_skel({{"usr/share/a", kNewFile}, {"srv/a", kNewFile}, {"srv/b", kNewFile}, {"usr/share/c", kNewFile}});
  fs::create_directory(mount() / "export");
  const std::set<std::string> before = names_in(vserver("web1") / "srv");
  EXPECT_EQ(relink({"--export-new", (mount() / "export").string()}).process.code, 0);
  for (const char* path : {"usr/share/a", "srv/a", "srv/b"})
    EXPECT_EQ(read_file(mount() / "export/web1" / path), kNewFile.text) << path;
  EXPECT_FALSE(fs::exists(mount() / "export/web1/usr/share/c")) << "no conflict";
  EXPECT_EQ(is(kOwnFile, "usr/share/a"), "");
  EXPECT_EQ(names_in(vserver("web1") / "srv"), before);
}

TEST_P(RelinkOptionsTest, AckSilencesWhatWasSeenUntilTheSkelChangesAgain) {
  change("web1", {{"srv/a", kOwnFile}, {"srv/b", kOwnFile}});
  update_skel({{"srv/a", kNewFile}, {"srv/b", absent()}});
  const Kept conflicts = {{"/srv/a", "changed on both sides"}, {"/srv/b", "removed in the skel, changed here"}};
  EXPECT_EQ(relink().kept("web1"), conflicts);
  EXPECT_EQ(relink().kept("web1"), conflicts) << "reported until it is acknowledged";
  EXPECT_EQ(relink({"--ack"}).process.code, 0);
  EXPECT_EQ(relink().kept("web1"), Kept{});
  EXPECT_EQ(is(kOwnFile, "srv/a"), "");
  update_skel({{"srv/a", file("a third content")}});
  EXPECT_EQ(relink().kept("web1"), (Kept{{"/srv/a", "changed on both sides"}}));
}

TEST_P(RelinkOptionsTest, AConflictThatWasSolvedIsForgotten) {
  change("web1", {{"srv/a", kOwnFile}, {"usr/share/a", kOwnFile}});
  update_skel({{"srv/a", kNewFile}, {"usr/share/a", kNewFile}});
  EXPECT_EQ(relink().kept("web1").size(), 2U);
  change("web1", {{"srv/a", kNewFile}, {"usr/share/a", kNewFile}});
  EXPECT_EQ(relink().kept("web1"), Kept{});
  EXPECT_TRUE(shares("usr/share/a"));
  EXPECT_EQ(recorded().value("bases", Json::object()), Json::object());
}

TEST_P(RelinkOptionsTest, AKeptConflictIsJudgedByItsOwnBaseGenerationsLater) {
  change("web1", {{"usr/share/a", kOwnFile}});
  update_skel({{"usr/share/a", kNewFile}});
  EXPECT_EQ(relink().kept("web1").size(), 1U);
  update_skel({{"usr/share/b", kNewFile}});
  change("web1", {{"usr/share/a", kOldFile}});
  EXPECT_EQ(relink().kept("web1"), Kept{}) << "the tenant took his change back: mine is base of generation 1";
  EXPECT_EQ(is(kNewFile, "usr/share/a"), "");
  EXPECT_EQ(is(kNewFile, "usr/share/b"), "");
}

TEST_P(RelinkOptionsTest, SeveralGenerationsAreCaughtUpInOneRun) {
  create_vserver("copy1", {"--share", "copy"});
  update_skel({{"usr/share/a", kNewFile}, {"srv/a", kNewFile}});
  update_skel(
      {{"usr/share/a", file("a third content")}, {"srv/a", file("a third content")}, {"usr/share/b", absent()}});
  update_skel({{"usr/share/b", kOldFile}, {"usr/share/c", kNewFile}});
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.report["generation"], 4);
  for (const char* name : {"web1", "copy1"}) {
    EXPECT_EQ(is(file("a third content"), "usr/share/a", name), "");
    EXPECT_EQ(is(file("a third content"), "srv/a", name), "");
    EXPECT_EQ(is(kOldFile, "usr/share/b", name), "");
    EXPECT_EQ(is(kNewFile, "usr/share/c", name), "");
    EXPECT_EQ(relinked.kept(name), Kept{}) << name;
    EXPECT_EQ(recorded(name)["generation"], 4);
  }
  EXPECT_EQ(shared_files("web1"), relinked.of("web1")["shared_now"]);
}

TEST_P(RelinkOptionsTest, AClosedPackageGateSharesWhatIsEqualAndSkipsTheRest) {
  change("web1", {{kDpkgStatus, file("the tenant's")},
                  {"usr/share/a", kNewFile},
                  {"usr/share/b", kOldFile},
                  {"usr/share/new", kNewFile}});
  update_skel({{"usr/share/a", kNewFile},
               {"usr/share/new", kNewFile},
               {"usr/share/added", kNewFile},
               {"usr/share/c", kNewFile},
               {"usr/share/d", absent()},
               {"srv/a", kNewFile},
               {kDpkgStatus, file("version 2\n")}});
  const Relinked skipped = relink();
  EXPECT_EQ(skipped.process.code, 3) << skipped.process;
  EXPECT_EQ(skipped.of("web1")["status"], "skipped");
  EXPECT_NE(skipped.process.err.find("--pkgdb"), std::string::npos) << skipped.process;
  for (const char* path : {"usr/share/a", "usr/share/b", "usr/share/new"}) EXPECT_TRUE(shares(path)) << path;
  for (const char* path : {"usr/share/c", "usr/share/d", "srv/a"}) EXPECT_EQ(is(kOldFile, path), "") << path;
  EXPECT_EQ(is(absent(), "usr/share/added"), "");

  const StoreSnapshot after = snapshot_store();
  EXPECT_EQ(relink().process.code, 3) << "it stays so";
  EXPECT_EQ(changes_since(after), "");

  const Relinked forced = relink({"--pkgdb", "force"});
  EXPECT_EQ(forced.process.code, 0) << forced.process;
  EXPECT_EQ(is(kNewFile, "usr/share/c"), "");
  EXPECT_EQ(is(absent(), "usr/share/d"), "");
  EXPECT_EQ(is(kNewFile, "usr/share/added"), "");
  EXPECT_EQ(is(kNewFile, "srv/a"), "");
  EXPECT_EQ(is(file("the tenant's"), kDpkgStatus), "") << "without the database";
}

TEST_P(RelinkOptionsTest, ASkippedVserverDoesNotHoldUpTheOthers) {
  create_vserver("web2");
  change("web1", {{kDpkgStatus, file("the tenant's")}});
  update_skel({{"usr/share/a", kNewFile}, {kDpkgStatus, file("version 2\n")}});
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 3) << relinked.process;
  EXPECT_EQ(relinked.of("web2")["status"], "done");
  EXPECT_EQ(is(kNewFile, "usr/share/a", "web2"), "");
}

TEST_P(RelinkOptionsTest, FurtherPackageDatabasesAreNamedInTheConfiguration) {
  const std::string configuration = config_file("[relink]\npkgdb = [\"/srv/packages\"]\n");
  update_skel({{"srv/packages/list", kOldFile}});
  EXPECT_EQ(relink().process.code, 0);
  change("web1", {{"srv/packages/list", kOwnFile}});
  update_skel({{"srv/packages/list", kNewFile}, {"usr/share/a", kNewFile}});
  const Relinked closed = relink({"--config", configuration});
  EXPECT_EQ(closed.process.code, 3) << closed.process;
  EXPECT_EQ(closed.of("web1")["status"], "skipped");
  EXPECT_EQ(is(kOldFile, "usr/share/a"), "");
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_EQ(is(kNewFile, "usr/share/a"), "") << "not named, it is a file as others";
}

TEST_P(RelinkOptionsTest, FrozenPathsAreReportedByNoRunAndThawed) {
  const std::string configuration = config_file("[relink]\nfreeze = [\"/usr/share/a\", \"/srv\"]\n");
  update_skel({{"usr/share/a", kNewFile}, {"srv/a", kNewFile}, {"srv/new/deep", kNewFile}, {"usr/share/b", kNewFile}});
  EXPECT_EQ(relink({"--config", configuration}).kept("web1"), Kept{});
  EXPECT_EQ(is(kOldFile, "usr/share/a"), "");
  EXPECT_EQ(is(kOldFile, "srv/a"), "");
  EXPECT_EQ(is(absent(), "srv/new"), "");
  EXPECT_EQ(is(kNewFile, "usr/share/b"), "");
  EXPECT_EQ(relink().kept("web1"), Kept{});
  EXPECT_EQ(is(kNewFile, "usr/share/a"), "");
  EXPECT_EQ(is(kNewFile, "srv/a"), "");
  EXPECT_EQ(is(kNewFile, "srv/new/deep"), "");
}

TEST_P(RelinkOptionsTest, RefusesASettingThatNoPathCanMatch) {
  const ProcessResult result =
      vskel({"relink", "base", "--config", config_file("[relink]\nfreeze = [\"/usr/../etc\"]\n")});
  EXPECT_EQ(result.code, 2) << result;
  EXPECT_NE(result.err.find("freeze"), std::string::npos) << result;
}

TEST_P(RelinkOptionsTest, AFileThatIsOpenForWritingIsNotSharedUntilItIsClosed) {
  change("web1", {{"usr/share/a", kOldFile}});
  const int writer = ::open((vserver("web1") / "usr/share/a").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(writer, 0);
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  EXPECT_EQ(relinked.kept("web1"), (Kept{{"/usr/share/a", "in use"}}));
  EXPECT_FALSE(shares("usr/share/a"));
  ::close(writer);
  EXPECT_EQ(relink().kept("web1"), Kept{});
  EXPECT_TRUE(shares("usr/share/a"));
}

TEST_P(RelinkOptionsTest, ASetIdFileThatStaysOldIsNamedEvenWhenAskedToBeQuiet) {
  update_skel({{"usr/bin/su", file("a hole", 04755)}});
  EXPECT_EQ(relink().process.code, 0);
  change("web1", {{"usr/bin/su", file("a hole, patched by the tenant", 04755)}});
  update_skel({{"usr/bin/su", file("the hole is closed", 04755)}});
  const ProcessResult result = vskel({"relink", "base", "-q"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_NE(result.err.find("/usr/bin/su"), std::string::npos) << result;
  EXPECT_NE(result.err.find("SET-ID"), std::string::npos) << result;
}

TEST_P(RelinkOptionsTest, StaticFilesAreEachVserversOwn) {
  const std::string hosts = read_file(vserver("web1") / "etc/hosts");
  write_file(skel() / "static/etc/hosts", "changed in static\n");
  update_skel({{"etc/passwd", file("root:x:0:0:of the tree:/:/bin/sh\n")}, {"usr/share/a", kNewFile}});
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_EQ(read_file(vserver("web1") / "etc/hosts"), hosts);
  // But for users and groups, which follow entry by entry.
  EXPECT_EQ(read_file(vserver("web1") / "etc/passwd"), "root:x:0:0:of the tree:/:/bin/sh\n");
}

TEST_P(RelinkOptionsTest, TheTenantsOwnFilesAreNeverOpened) {
  VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
  change("web1", {{"usr/share/very-own", kOwnFile}, {"srv/very-own", directory({{"inside", kOwnFile}})}});
  update_skel({{"usr/share/a", kNewFile}, {"srv/new", kNewFile}});
  const fs::path trace = mount() / "trace";
  Arguments traced = {"strace", "-f", "-qqq", "-o", trace.string(), "-e", "trace=open,openat,openat2,creat"};
  const Arguments own = command({"relink", "base"});
  traced.insert(traced.end(), own.begin(), own.end());
  ProcessOptions options;
  options.environment["ASAN_OPTIONS"] = "detect_leaks=0";
  const ProcessResult result = run(traced, options);
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(is(kNewFile, "usr/share/a"), "");
  EXPECT_EQ(read_file(trace).find("very-own"), std::string::npos);
}

TEST_P(RelinkOptionsTest, AProcessThatStillUsesAReplacedFileIsNamed) {
  const fs::path sleep = fs::canonical("/bin/sleep");
  update_skel({{"usr/bin/daemon", file(read_file(sleep), 0755)}});
  EXPECT_EQ(relink().process.code, 0);
  std::istringstream libraries(run_or_throw({"ldd", sleep.string()}));
  for (std::string word; libraries >> word;) {
    if (!word.starts_with('/')) continue;
    const fs::path copy = vserver("web1") / word.substr(1);
    fs::create_directories(copy.parent_path());
    fs::copy_file(word, copy);
  }
  update_skel({{"usr/bin/daemon", file(read_file(sleep) + "newer", 0755)}});
  Process daemon({"chroot", vserver("web1").string(), "/usr/bin/daemon", "100"});
  const std::string comm = "/proc/" + std::to_string(daemon.pid()) + "/comm";
  for (int wait = 0; wait < 100 && read_file(comm) != "daemon\n"; ++wait) ::usleep(20'000);
  ASSERT_EQ(read_file(comm), "daemon\n");
  const ProcessResult result = vskel({"relink", "base", "--quiesce", "off"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_NE(result.err.find("daemon (" + std::to_string(daemon.pid()) + ")"), std::string::npos) << result;
}

class NewBesideTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (const char* name : {"both", "mine", "theirs", "standing"}) put(root() / "etc/conf" / name, file("old"));
    put(root() / "srv.conf", file("old"));
    put(root() / "usr/bin/tool", file("old", 0755));
  }
  void start(const std::string& database) const {
    put(root() / database, file("packages 1"));
    build();
    create_vserver("web1");
    create_vserver("web2", {"--share", "copy"});
    for (const char* name : {"web1", "web2"})
      change(name, {{"etc/conf/both", file("mine")},
                    {"etc/conf/mine", file("mine")},
                    {"etc/conf/standing", file("mine")},
                    {"etc/conf/standing.dpkg-dist", file("stands")},
                    {"etc/conf/standing.rpmnew", symlink_to("/etc/passwd")},
                    {"etc/conf/added", file("mine")},
                    {"srv.conf", file("mine")},
                    {"usr/bin/tool", file("mine", 0755)}});
    const Thing newer = file("newer", 0640).owned_by(7);
    update_skel({{"etc/conf/both", newer},
                 {"etc/conf/theirs", newer},
                 {"etc/conf/standing", newer},
                 {"etc/conf/added", newer},
                 {"srv.conf", newer},
                 {"usr/bin/tool", file("newer", 0755)}});
  }
  void expect_laid(const std::string& ending) const {
    const Thing newer = file("newer", 0640).owned_by(7);
    const Relinked dry = relink({"--new-beside", "--dry-run"});
    const Relinked relinked = relink({"--new-beside"});
    EXPECT_EQ(relinked.process.code, 0) << relinked.process;
    for (const char* name : {"web1", "web2"}) {
      SCOPED_TRACE(name);
      const std::vector<std::string> laid{"/etc/conf/added" + ending, "/etc/conf/both" + ending};
      EXPECT_EQ(dry.of(name)["beside"], Json(laid));
      EXPECT_EQ(relinked.of(name)["beside"], Json(laid));
      EXPECT_EQ(relinked.of(name)["added"], 0);
      for (const std::string& path : laid) EXPECT_EQ(differences_from(newer, vserver(name) / path.substr(1)), "");
      EXPECT_EQ(names_in(vserver(name) / "etc/conf"),
                (std::set<std::string>{"both", "both" + ending, "mine", "theirs", "standing", "standing.dpkg-dist",
                                       "standing.rpmnew", "added", "added" + ending}));
      EXPECT_EQ(read_file(vserver(name) / "etc/conf/both"), "mine");
      EXPECT_EQ(read_file(vserver(name) / "etc/conf/standing.dpkg-dist"), "stands");
      EXPECT_TRUE(fs::is_symlink(vserver(name) / "etc/conf/standing.rpmnew"));
      EXPECT_EQ(names_in(vserver(name)).count("srv.conf" + ending), 0U);
      EXPECT_EQ(names_in(vserver(name) / "usr/bin").count("tool" + ending), 0U);
    }
    const StoreSnapshot before = snapshot_store();
    const Relinked again = relink({"--new-beside"});
    EXPECT_EQ(again.of("web1")["beside"], Json::array()) << "it stands there already";
    EXPECT_EQ(changes_since(before), "");
    EXPECT_EQ(inconsistencies(), "");
  }
};

TEST_P(NewBesideTest, TheSkelsVersionIsLaidAsDpkgWouldNameIt) {
  start("var/lib/dpkg/status");
  expect_laid(".dpkg-dist");
}

TEST_P(NewBesideTest, OrAsRpmWould) {
  start("usr/lib/sysimage/rpm/rpmdb.sqlite");
  expect_laid(".rpmnew");
}

TEST_P(NewBesideTest, WhatStandsThereInAnotherVersionIsToldOf) {
  start("var/lib/dpkg/status");
  EXPECT_EQ(relink({"--new-beside"}).process.code, 0);
  const Thing newest = file("newest", 0640).owned_by(7);
  update_skel({{"etc/conf/both", newest}, {"etc/conf/standing", newest}});
  const Relinked relinked = relink({"--new-beside"});
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  for (const char* name : {"web1", "web2"}) {
    const std::map<std::string, std::string> kept = relinked.kept(name);
    for (const char* path : {"/etc/conf/both.dpkg-dist", "/etc/conf/standing.dpkg-dist"}) {
      ASSERT_TRUE(kept.contains(path)) << path << relinked.process;
      EXPECT_NE(kept.at(path).find("remove it"), std::string::npos) << relinked.process;
    }
    EXPECT_FALSE(kept.contains("/etc/conf/added.dpkg-dist")) << "the skel's, as it is";
    EXPECT_EQ(read_file(vserver(name) / "etc/conf/both.dpkg-dist"), "newer");
    EXPECT_EQ(read_file(vserver(name) / "etc/conf/standing.dpkg-dist"), "stands");
    change(name, {{"etc/conf/both.dpkg-dist", absent()}});
  }
  const std::vector<std::string> laid{"/etc/conf/both.dpkg-dist"};
  EXPECT_EQ(relink({"--new-beside"}).of("web1")["beside"], Json(laid));
  EXPECT_EQ(read_file(vserver("web1") / "etc/conf/both.dpkg-dist"), "newest");
}

TEST_P(NewBesideTest, NothingIsLaidThatNobodyAskedFor) {
  start("var/lib/dpkg/status");
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  EXPECT_EQ(relinked.of("web1")["beside"], Json::array());
  EXPECT_FALSE(fs::exists(vserver("web1") / "etc/conf/both.dpkg-dist"));
}

TEST_P(NewBesideTest, NothingIsLaidInAVserverWhoseTenantChangedItsPackages) {
  start("var/lib/dpkg/status");
  change("web1", {{"var/lib/dpkg/status", file("own packages")}});
  const Relinked relinked = relink({"--new-beside"});
  EXPECT_EQ(relinked.process.code, 3) << relinked.process;
  EXPECT_NE(relinked.of("web1")["error"].get<std::string>().find("/var/lib/dpkg/status"), std::string::npos);
  EXPECT_FALSE(fs::exists(vserver("web1") / "etc/conf/both.dpkg-dist"));
  EXPECT_TRUE(fs::exists(vserver("web2") / "etc/conf/both.dpkg-dist"));
}

INSTANTIATE_TEST_SUITE_P(On, NewBesideTest, kOneFileSystem, kParameterName);

INSTANTIATE_TEST_SUITE_P(On, RelinkOptionsTest, kAllFileSystems, kParameterName);

class RelinkLinkLimitTest : public RelinkOptionsTest {
 protected:
  void exhaust(const fs::path& path) const { use_up_links(path, mount() / "links"); }
};

TEST_P(RelinkLinkLimitTest, AnInodeWithoutRoomForNamesIsFollowedByASecondOne) {
  change("web1", {{"usr/share/a", kOldFile}});
  create_vserver("web2");
  change("web2", {{"usr/share/a", kOldFile}});
  exhaust(skel() / "global/usr/share/a");
  const Relinked relinked = relink();
  EXPECT_EQ(relinked.process.code, 0) << relinked.process;
  for (const char* name : {"web1", "web2"}) {
    EXPECT_EQ(relinked.of(name)["status"], "done") << relinked.process;
    EXPECT_EQ(is(kOldFile, "usr/share/a", name), "");
    EXPECT_TRUE(is_immutable(vserver(name) / "usr/share/a")) << name;
  }
  EXPECT_EQ(inode_of(vserver("web1") / "usr/share/a"), inode_of(vserver("web2") / "usr/share/a"));
  EXPECT_EQ(inconsistencies(), "");
  EXPECT_EQ(vskel({"verify"}).code, 0);
}

TEST_P(RelinkLinkLimitTest, ThoseWhoHaveTheFullInodeFollowToTheNewOne) {
  create_vserver("late", {"--share", "copy"});
  exhaust(skel() / "global/usr/share/a");
  const std::uint64_t full = inode_of(skel() / "global/usr/share/a");
  EXPECT_EQ(relink({"--to", "hardlink", "late"}).process.code, 0);
  EXPECT_EQ(inode_of(vserver("web1") / "usr/share/a"), full) << "it was not named";
  EXPECT_NE(inode_of(skel() / "global/usr/share/a"), full);
  EXPECT_TRUE(shares("usr/share/a", "late"));
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_TRUE(shares("usr/share/a", "web1"));
  EXPECT_EQ(vskel({"verify"}).code, 0);
}

TEST_P(RelinkLinkLimitTest, AnUpdateIsDeliveredAlthoughItsInodeIsFull) {
  create_vserver("web2");
  update_skel({{"usr/share/a", kNewFile}});
  exhaust(skel() / "global/usr/share/a");
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_EQ(is(kNewFile, "usr/share/a", "web1"), "");
  EXPECT_EQ(is(kNewFile, "usr/share/a", "web2"), "");
  EXPECT_EQ(inode_of(vserver("web1") / "usr/share/a"), inode_of(vserver("web2") / "usr/share/a"));
  EXPECT_EQ(inconsistencies(), "");
}

INSTANTIATE_TEST_SUITE_P(On, RelinkLinkLimitTest, ::testing::Values(FileSystem::ext4), kParameterName);

}  // namespace
}  // namespace vskel::test
