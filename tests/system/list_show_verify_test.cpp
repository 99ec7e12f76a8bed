// list, show and verify: they say what is there, change nothing, and verify finds every kind of damage.
#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>
#include <functional>
#include <sstream>

#include "tests/support/inode_extras.h"
#include "tests/system/relink_fixture.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

class InspectTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    build_base();
    create("web1", "192.0.2.1");
    create("web2", "192.0.2.2");
  }

  // verify must be clean, then say something that names `path` after `damage`.
  void expect_found(const std::string& path, const std::function<void()>& damage) const {
    const ProcessResult before = vskel({"verify"});
    ASSERT_EQ(before.code, 0) << before;
    damage();
    const ProcessResult after = vskel({"verify"});
    EXPECT_EQ(after.code, 1) << after;
    EXPECT_NE((after.out + after.err).find(path), std::string::npos) << after;
  }
};

TEST_P(InspectTest, ListNamesSkelsAndVservers) {
  const ProcessResult result = vskel({"list"});
  ASSERT_EQ(result.code, 0) << result;
  for (const char* word : {"base", "web1", "web2", "web1.example.com", "192.0.2.2", "50", "51"}) {
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result;
  }
  EXPECT_EQ(result.err, "");
}

TEST_P(InspectTest, ListAndShowGiveJson) {
  const std::string list = vskel_json({"list"}).dump();
  for (const char* word : {"\"base\"", "\"web1\"", "\"web2\""}) EXPECT_NE(list.find(word), std::string::npos) << list;
  const std::string show = vskel_json({"show", "web1"}).dump();
  EXPECT_NE(show.find("192.0.2.1"), std::string::npos) << show;
  EXPECT_EQ(show.find("192.0.2.2"), std::string::npos) << show;
}

TEST_P(InspectTest, ShowNamesWhatBelongsToAVserver) {
  const ProcessResult result = vskel({"show", "web1"});
  ASSERT_EQ(result.code, 0) << result;
  for (const std::string& word :
       {std::string("web1.example.com"), std::string("192.0.2.1"), config("web1").string(), std::string("base")}) {
    EXPECT_NE(result.out.find(word), std::string::npos) << word << "\n" << result;
  }
}

TEST_P(InspectTest, LookingChangesNothing) {
  const StoreSnapshot before = snapshot_store();
  for (const Arguments& arguments :
       {Arguments{"list"}, Arguments{"show", "web1"}, Arguments{"verify"}, Arguments{"verify", "web1"}}) {
    EXPECT_EQ(vskel(arguments).code, 0) << arguments[0];
  }
  EXPECT_EQ(changes_since(before), "");
}

TEST_P(InspectTest, VerifyFindsAChangedByte) {
  expect_found("usr/bin/tool", [&] {
    const fs::path path = skel() / "global/usr/bin/tool";
    clear_immutable(path);
    struct stat before {};
    ASSERT_EQ(::stat(path.c_str(), &before), 0);
    write_file(path, "#!/bin/sh\necho evil\n");
    const timespec times[2] = {before.st_mtim, before.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
    set_immutable(path);
  });
}

TEST_P(InspectTest, VerifyFindsALostSeal) {
  expect_found("usr/share/big", [&] { clear_immutable(skel() / "global/usr/share/big"); });
}

TEST_P(InspectTest, VerifyFindsAChangedMode) {
  expect_found("etc/os-release", [&] { fs::permissions(skel() / "local/etc/os-release", fs::perms::owner_read); });
}

TEST_P(InspectTest, VerifyFindsAMissingFile) {
  expect_found("etc/os-release", [&] { fs::remove(skel() / "local/etc/os-release"); });
}

TEST_P(InspectTest, VerifyFindsAnAddedFile) {
  expect_found("etc/added", [&] { write_file(skel() / "local/etc/added", "x"); });
}

TEST_P(InspectTest, VerifyFindsAFurtherNameOfALocalFile) {
  expect_found("etc/os-release", [&] { fs::create_hard_link(skel() / "local/etc/os-release", vservers() / "name"); });
}
/// A tree that waits there for its tenant to end may share the inodes of what stayed.
TEST_P(InspectTest, VerifyKnowsOfNamesInTheTrash) {
  const fs::path waiting = vservers() / ".vskel/trash/tree/etc";
  fs::create_directories(waiting);
  for (const char* name : {"one", "two"}) fs::create_hard_link(skel() / "local/etc/os-release", waiting / name);
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 0) << verified;
}
TEST_P(InspectTest, VerifyFindsALostCapability) {
  expect_found("usr/bin/ping", [&] {
    run_or_throw({"setfattr", "-x", "security.capability", (skel() / "global/usr/bin/ping").string()});
  });
}

TEST_P(InspectTest, VerifyFindsALostConfiguration) {
  expect_found("web1", [&] { fs::remove(config("web1")); });
}
TEST_P(InspectTest, VerifyFindsALostRecord) {
  expect_found("web1", [&] { fs::remove(record("web1")); });
}
TEST_P(InspectTest, VerifyFindsALostContext) {
  expect_found("web1", [&] { fs::remove(etc() / "contexts/50"); });
}

TEST_P(InspectTest, VerifyFindsTheContextOfAVserverThatIsGone) {
  expect_found("contexts/77", [&] { fs::create_symlink(vserver("gone"), etc() / "contexts/77"); });
}

TEST_P(InspectTest, VerifyFindsASecondContext) {
  expect_found("contexts/77", [&] { fs::create_symlink(vserver("web1"), etc() / "contexts/77"); });
}

TEST_P(InspectTest, VerifyLeavesContextsOfOthersAlone) {
  fs::create_symlink("/srv/elsewhere/web1", etc() / "contexts/77");
  EXPECT_EQ(vskel({"verify"}).code, 0);
}

TEST_P(InspectTest, VerifyFindsALostRoot) {
  expect_found("web1", [&] { fs::rename(vserver("web1"), mount() / "elsewhere"); });
}

TEST_P(InspectTest, VerifyFindsANextIdThatIsInUse) {
  expect_found("nextid", [&] { write_file(etc() / "contexts/nextid", "50\n"); });
}

TEST_P(InspectTest, VerifyOfOneVserverLooksAtNoOther) {
  fs::remove(config("web2"));
  EXPECT_EQ(vskel({"verify", "web1"}).code, 0);
  EXPECT_EQ(vskel({"verify", "web2"}).code, 1);
}

INSTANTIATE_TEST_SUITE_P(On, InspectTest, kOneFileSystem, kParameterName);

// verify NAME: what a vserver shares with its skel, path by path.
class VerifyFilesTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    put(root() / "usr/bin/ls", file("list", 0755));
    put(root() / "usr/bin/su", file("rise", 04755));
    put(root() / "usr/bin/link", symlink_to("ls"));
    put(root() / "usr/share/data", directory({{"a", file("a")}, {"b", file("b")}, {"c", file("c")}}));
    put(root() / "usr/local/bin/own", file("own", 0755));
    put(root() / "etc/conf", file("conf"));
    build();
    create_vserver("links");
    create_vserver("copies", {"--share", "copy"});
  }

  /// What verify says of a name, a line each; its code must fit.
  [[nodiscard]] std::vector<std::string> said_of(const Arguments& names) const {
    Arguments arguments{"verify"};
    arguments.insert(arguments.end(), names.begin(), names.end());
    const ProcessResult result = vskel(arguments);
    std::vector<std::string> lines;
    std::istringstream stream(result.out);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    EXPECT_EQ(result.code, lines.empty() ? 0 : 1) << result;
    return lines;
  }
  using Lines = std::vector<std::string>;
};

TEST_P(VerifyFilesTest, NothingIsSaidOfWhatIsAsTheSkelHasIt) {
  EXPECT_EQ(said_of({"links"}), Lines{});
  EXPECT_EQ(said_of({"copies"}), Lines{});
  EXPECT_EQ(said_of({"base"}), Lines{});
  EXPECT_EQ(said_of({"base", "links", "copies", "links"}), Lines{});
}

TEST_P(VerifyFilesTest, ASharedInodeThatWasWrittenToIsFoundInEveryVserverThatHasIt) {
  clear_immutable(skel() / "global/usr/bin/ls");
  std::ofstream(vserver("links") / "usr/bin/ls") << "evil";
  set_immutable(skel() / "global/usr/bin/ls");
  EXPECT_EQ(said_of({"links"}), Lines{"vserver links /usr/bin/ls: content differs"});
  EXPECT_EQ(said_of({"copies"}), Lines{});
  const Lines of_skel = said_of({"base"});
  ASSERT_FALSE(of_skel.empty());
  EXPECT_EQ(of_skel.front(), "skel base global/usr/bin/ls: content differs");
  EXPECT_EQ(said_of({}).front(), of_skel.front());
}

TEST_P(VerifyFilesTest, ALostSealIsFound) {
  clear_immutable(skel() / "global/usr/bin/ls");
  EXPECT_EQ(said_of({"links"}), Lines{"vserver links /usr/bin/ls: not sealed"});
  EXPECT_EQ(said_of({"copies"}), Lines{});
}

TEST_P(VerifyFilesTest, WhatATenantChangedIsToldAndWhatIsHisOwnIsNot) {
  for (const std::string name : {"links", "copies"}) {
    SCOPED_TRACE(name);
    change(name, {{"usr/bin/ls", file("LIST", 0755)},
                  {"usr/bin/link", symlink_to("elsewhere")},
                  {"usr/share/data/a", absent()},
                  {"usr/share/data/b", file("b", 0600).owned_by(7)},
                  {"usr/share/data/c", file("c").with_xattr("user.note", "mine")},
                  {"usr/share/data/d", file("own")},
                  {"usr/local/bin/own", file("changed")},
                  {"etc/conf", file("changed")}});
    const std::string of = "vserver " + name + " ";
    EXPECT_EQ(said_of({name}),
              (Lines{of + "/usr/bin/link: link target differs", of + "/usr/bin/ls: content differs",
                     of + "/usr/share/data/a: missing", of + "/usr/share/data/b: mode differs",
                     of + "/usr/share/data/b: owner differs", of + "/usr/share/data/c: extended attributes differ"}));
  }
  EXPECT_EQ(said_of({}), Lines{}) << "that tenants work is no fault of the fleet's";
}

TEST_P(VerifyFilesTest, APrivateCopyOfTheSameIsNoDifference) {
  change("links", {{"usr/bin/ls", file("list", 0755)}, {"usr/share/data/a", file("a")}});
  EXPECT_EQ(said_of({"links"}), Lines{});
}

TEST_P(VerifyFilesTest, SetIdFilesComeFirstAndLoudly) {
  change("copies", {{"usr/bin/ls", file("LIST", 0755)}, {"usr/bin/su", file("RISE", 04755)}});
  EXPECT_EQ(said_of({"copies"}), (Lines{"vserver copies /usr/bin/su: SET-ID FILE: content differs",
                                        "vserver copies /usr/bin/ls: content differs"}));
}

TEST_P(VerifyFilesTest, OtherTypesAndWholeDirectoriesAreOneLine) {
  change("copies",
         {{"usr/bin/ls", fifo()}, {"usr/bin/su", directory({{"x", file("x")}})}, {"usr/share/data", absent()}});
  EXPECT_EQ(said_of({"copies"}),
            (Lines{"vserver copies /usr/bin/su: SET-ID FILE: another type", "vserver copies /usr/bin/ls: another type",
                   "vserver copies /usr/share/data: missing"}));
}

TEST_P(VerifyFilesTest, ADirectoryThatIsALinkNowIsNotFollowed) {
  change("copies", {{"usr/share/data", symlink_to("/")}});
  EXPECT_EQ(said_of({"copies"}), Lines{"vserver copies /usr/share/data: another type"});
}

TEST_P(VerifyFilesTest, AVserverIsComparedWithTheGenerationThatItsRecordNames) {
  update_skel({{"usr/bin/ls", file("newer", 0755)}, {"usr/share/data/a", absent()}, {"usr/share/new", file("new")}});
  EXPECT_EQ(said_of({"links", "copies"}), Lines{}) << "behind, and whole";
  change("copies", {{"usr/bin/ls", file("newer", 0755)}, {"usr/share/data/a", file("mine")}});
  EXPECT_EQ(said_of({"copies"}), Lines{"vserver copies /usr/share/data/a: size differs"});
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_EQ(said_of({"links"}), Lines{});
  EXPECT_EQ(said_of({"copies"}), Lines{"vserver copies /usr/share/data/a: size differs"}) << "kept, and told still";
}

TEST_P(VerifyFilesTest, WhatIsKeptForVserversThatAreBehindIsReadToo) {
  update_skel({{"usr/bin/ls", file("newer", 0755)}});
  const fs::path kept = skel() / "generations/0001.files/global/usr/bin/ls";
  clear_immutable(kept);
  std::ofstream(kept) << "evil";
  set_immutable(kept);
  EXPECT_EQ(said_of({"links"}), Lines{"vserver links /usr/bin/ls: content differs"});
  EXPECT_EQ(said_of({}), Lines{"skel base generations/0001.files/global/usr/bin/ls: content differs"});
}

TEST_P(VerifyFilesTest, NamesThatAreNobodysAreRefused) {
  const ProcessResult refused = vskel({"verify", "links", "nobody"});
  EXPECT_EQ(refused.code, 2) << refused;
  EXPECT_NE(refused.err.find("nobody"), std::string::npos) << refused;
}

INSTANTIATE_TEST_SUITE_P(On, VerifyFilesTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
