// list, show and verify: they say what is there, change nothing, and verify finds every kind of damage.
#include <fcntl.h>
#include <sys/stat.h>

#include <functional>

#include "tests/support/inode_extras.h"
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

}  // namespace
}  // namespace vskel::test
