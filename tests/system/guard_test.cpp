// guard where none is loaded: what is said, and that nothing is made under a seal that is not there. A guard that works
// is tried on a kernel of its own, by tests/vm.

#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

class GuardTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    build_base();
    status_ = vskel({"--json", "guard", "status"});
    state_ = Json::parse(status_.out);
    // Who has loaded one here relies on it: his is not ours to stop.
    if (state_.at("loaded") == true) GTEST_SKIP() << "a guard is loaded on this machine";
  }

  ProcessResult status_;
  Json state_;
};

TEST_P(GuardTest, StatusSaysInOneLineWhetherThisKernelCan) {
  EXPECT_EQ(status_.code, 1);
  EXPECT_EQ(state_.at("inodes"), 0);
  EXPECT_EQ(state_.at("supported"), state_.at("why_not") == "");
  const ProcessResult text = vskel({"guard", "status"});
  EXPECT_EQ(text.code, 1);
  EXPECT_TRUE(text.out.starts_with("the guard is not loaded")) << text;
  EXPECT_NE(text.out.find(state_.at("why_not").get<std::string>()), std::string::npos) << text;
}

TEST_P(GuardTest, WhereTheKernelCannotStartSaysWhy) {
  if (state_.at("supported") == true) GTEST_SKIP() << "this kernel can, and is not ours to load programs into";
  const ProcessResult result = vskel({"guard", "start"});
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.err, "vskel: start guard: " + state_.at("why_not").get<std::string>() + "\n");
}

TEST_P(GuardTest, StopWithoutOneIsContent) {
  const ProcessResult result = vskel({"guard", "stop"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.out, "the guard is not loaded\n");
}

TEST_P(GuardTest, NoVserverIsMadeUnderAGuardThatIsNotLoaded) {
  const StoreSnapshot before = snapshot_store();
  const ProcessResult result = vskel({"create-vs", "base", "web1", "web1.example.com", "192.0.2.1", "--seal", "guard"});
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_EQ(result.err, "vskel: seal guard: the guard is not loaded; vskel guard start\n");
  EXPECT_EQ(changes_since(before), "");
}

/// Of those lines that warn of the seal.
std::size_t warnings_in(const std::string& text) {
  std::size_t count = 0;
  for (std::size_t at = text.find("vskel: seal immutable: "); at != text.npos;
       at = text.find("vskel: seal immutable: ", at + 1))
    ++count;
  return count;
}

TEST_P(GuardTest, WhoGetsImmutableWithoutAskingIsToldOnceOfTheGuard) {
  const ProcessResult copies =
      vskel({"create-vs", "base", "copied", "copied.example.com", "192.0.2.1", "--share", "copy"});
  EXPECT_EQ(copies.err, "") << copies;
  const Arguments fleet = {"create-vs", "base",   "--count",        "3",         "--name",
                           "web%d",     "--fqdn", "%s.example.com", "--ip-from", "192.0.2.2"};
  Arguments dry = fleet, json = fleet;
  dry.insert(dry.begin(), "-n");
  json.insert(json.begin(), "--json");
  EXPECT_EQ(vskel(dry).err, "");
  const ProcessResult made = vskel(json);
  EXPECT_EQ(made.code, 0) << made;
  EXPECT_EQ(Json::parse(made.out).at("vservers").size(), 3U);
  EXPECT_EQ(warnings_in(made.err), 1U) << made;
  const std::string why_not = state_.at("why_not");
  EXPECT_NE(made.err.find(why_not.empty() ? "better: vskel guard start" : why_not), std::string::npos) << made;
  // From now on it is the skel's seal, as for whoever asks for it.
  EXPECT_EQ(vskel({"create-vs", "base", "next", "next.example.com", "192.0.2.9"}).err, "");
}

TEST_P(GuardTest, WhoAsksForImmutableIsNotTold) {
  const ProcessResult made =
      vskel({"create-vs", "base", "web1", "web1.example.com", "192.0.2.1", "--seal", "immutable"});
  EXPECT_EQ(made.code, 0) << made;
  EXPECT_EQ(made.err, "");
}

TEST_P(GuardTest, WhoReliesOnItIsToldWithoutIt) {
  create("web1", "192.0.2.1");
  std::string text = read_file(record("web1"));
  const std::string seal = R"("seal": "immutable")";
  ASSERT_NE(text.find(seal), std::string::npos) << text;
  write_file(record("web1"), text.replace(text.find(seal), seal.size(), R"("seal": "guard")"));
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 1) << verified;
  EXPECT_NE(verified.out.find("rely on the guard"), std::string::npos) << verified;
  EXPECT_NE(vskel({"guard", "status"}).out.find("unprotected: web1"), std::string::npos);
  // Nothing more is shared, but whoever is there may go.
  for (const Arguments& command :
       {Arguments{"create-vs", "base", "web2", "web2.example.com", "192.0.2.2"},
        Arguments{"create-vs", "base", "web2", "web2.example.com", "192.0.2.2", "--seal", "immutable"},
        Arguments{"relink", "base"}}) {
    const ProcessResult refused = vskel(command);
    EXPECT_NE(refused.code, 0) << refused;
    EXPECT_NE(refused.err.find("guard"), std::string::npos) << refused;
  }
  const ProcessResult removed = vskel({"remove-vs", "web1", "--yes"});
  EXPECT_EQ(removed.code, 0) << removed;
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(GuardTest, StatusListsWhoSharesByWhicheverSeal) {
  create("web1", "192.0.2.1");
  create("web2", "192.0.2.2");
  create("copied", "192.0.2.3", {"--share", "copy"});
  const auto skels_of = [](const ProcessResult& result) { return Json::parse(result.out).at("skels"); };
  const Json flags = skels_of(vskel({"--json", "guard", "status"}));
  ASSERT_EQ(flags.size(), 1U) << flags;
  EXPECT_EQ(flags[0].at("seal"), "immutable");
  EXPECT_EQ(flags[0].at("vservers"), Json({"web1", "web2"}));
  // Without the guard nobody is open to changes who does not rely on it.
  EXPECT_EQ(vskel({"guard", "status"}).out.find("unprotected"), std::string::npos);
  // As a version before left it: one record says what seals the inodes of both.
  std::string text = read_file(record("web2"));
  const std::string seal = R"("seal": "immutable")";
  ASSERT_NE(text.find(seal), std::string::npos) << text;
  write_file(record("web2"), text.replace(text.find(seal), seal.size(), R"("seal": "guard")"));
  const Json moved = skels_of(vskel({"--json", "guard", "status"}));
  EXPECT_EQ(moved[0].at("seal"), "guard");
  EXPECT_EQ(moved[0].at("vservers"), Json({"web1", "web2"}));
  EXPECT_NE(vskel({"guard", "status"}).out.find("unprotected: web1 web2"), std::string::npos);
}

TEST_P(GuardTest, WithoutVserversItDoesNotStart) {
  for (const Arguments& options : {Arguments{}, Arguments{"-n"}}) {
    Arguments all = {VSKEL_PROGRAM, "--vservers", (mount() / "elsewhere").string(), "--etc", etc().string()};
    all.insert(all.end(), options.begin(), options.end());
    all.insert(all.end(), {"guard", "start"});
    const ProcessResult result = run(all);
    EXPECT_EQ(result.code, 2) << result;
    EXPECT_EQ(result.err, "vskel: guard start " + (mount() / "elsewhere").string() +
                              ": no such directory; mount it first, or have build-skel make it\n");
    EXPECT_EQ(result.out, "");
  }
}

TEST(GuardServiceTest, WaitsForVserversAndStartsWhatIsInstalled) {
  VSKEL_REQUIRE(has_program("cmake") ? std::nullopt : std::optional<std::string>("needs cmake"));
  const fs::path build = fs::path(VSKEL_PROGRAM).parent_path().parent_path();
  const TemporaryDirectory scratch;
  ProcessOptions options;
  options.environment["DESTDIR"] = scratch.path().string();
  for (const std::string prefix : {"/usr", "/opt/vskel"}) {
    (void)run_or_throw({"cmake", "--install", build.string(), "--prefix", prefix, "--component", "service"}, options);
    const fs::path unit = scratch.path() / prefix.substr(1) / "lib/systemd/system/vskel-guard.service";
    if (!fs::exists(unit)) GTEST_SKIP() << "built without the guard";
    const std::string text = read_file(unit);
    EXPECT_NE(text.find("\nExecStart=" + prefix + "/bin/vskel guard start\n"), std::string::npos) << text;
    EXPECT_NE(text.find("\nRequiresMountsFor=/vservers " + prefix + "/bin/vskel\n"), std::string::npos) << text;
  }
}

TEST_P(GuardTest, WrongActionsAreRefused) {
  for (const Arguments& command : {Arguments{"guard"}, Arguments{"guard", "restart"}, Arguments{"guard", "start", "x"}})
    EXPECT_EQ(vskel(command).code, 2);
}

INSTANTIATE_TEST_SUITE_P(, GuardTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
