// A store is one, by whatever path it is called: contexts, locks and records mean the same through a symbolic link.
#include <unistd.h>

#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

class OneStoreTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    fs::create_directory_symlink(vservers(), link());
    fs::create_directory_symlink("vservers", mount() / "relative");
    build_base();
  }

  [[nodiscard]] fs::path link() const { return mount() / "link"; }
  /// The program, with VSERVERS called by another path.
  [[nodiscard]] ProcessResult called(const fs::path& by, const Arguments& arguments) const {
    return run(command_by(by, arguments));
  }
  [[nodiscard]] Arguments command_by(const fs::path& by, const Arguments& arguments) const {
    Arguments all = {VSKEL_PROGRAM, "--vservers", by.string(), "--etc", etc().string()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
  void expect_well(const fs::path& by) const {
    const ProcessResult verified = called(by, {"verify"});
    EXPECT_EQ(verified.code, 0) << by << verified;
    EXPECT_EQ(verified.out, "") << by;
  }
};

TEST_P(OneStoreTest, ContextsAreTheSame) {
  const Arguments web1 = {"create-vs", "base", "web1", "web1.example.com", "192.0.2.1"};
  const Arguments web2 = {"create-vs", "base", "web2", "web2.example.com", "192.0.2.2"};
  ASSERT_EQ(called(link(), web1).code, 0);
  ASSERT_EQ(called(mount() / "relative/", web2).code, 0);
  for (const fs::path& by : {vservers(), link(), mount() / "relative", fs::path(link().string() + "/")})
    expect_well(by);
  for (const std::string name : {"web1", "web2"}) {
    const ProcessResult removed = vskel({"remove-vs", "--yes", name});
    EXPECT_EQ(removed.code, 0) << removed;
  }
  EXPECT_EQ(names_in(etc() / "contexts"), std::set<std::string>{"nextid"});
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(OneStoreTest, AnAdoptedVserverKeepsItsContext) {
  create("web1", "192.0.2.1");
  fs::remove(record("web1"));
  ASSERT_EQ(called(link(), {"adopt", "base", "web1"}).code, 0);
  EXPECT_EQ(vskel_json({"show", "web1"}).at("context"), 50);
  for (const fs::path& by : {vservers(), link()}) expect_well(by);
}

TEST_P(OneStoreTest, ALinkToElsewhereIsAnothersStill) {
  create("web1", "192.0.2.1");
  const fs::path context = etc() / "contexts/50", other = mount() / "other";
  fs::create_directories(other / "web1");
  fs::remove(context);
  fs::create_directory_symlink(other / "web1", context);
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 1) << verified;
  EXPECT_NE(verified.out.find("does not lead to"), std::string::npos) << verified;
  EXPECT_EQ(vskel({"remove-vs", "--yes", "web1"}).code, 0);
  EXPECT_TRUE(fs::is_symlink(context));
}

TEST_P(OneStoreTest, LocksAreTheSame) {
  ProcessOptions options;
  options.input = "no archive";  // which comes when somebody waits for the process
  Process first(command_by(link(), {"build-skel", "second", "--from", "-"}), options);
  for (int tries = 0; names_in(vservers() / ".vskel/journal").empty() && tries < 500; ++tries) ::usleep(10'000);
  const ProcessResult second = vskel({"--no-wait", "build-skel", "second", "--from", source().string()});
  EXPECT_EQ(second.code, 1) << second;
  EXPECT_NE(second.err.find("lock skel.second: held by"), std::string::npos) << second;
  (void)first.wait();
}

INSTANTIATE_TEST_SUITE_P(On, OneStoreTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
