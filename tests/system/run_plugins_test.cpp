// Plugins: what they are told, what becomes of a vserver whose plugin fails, and run-plugins.
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

class RunPluginsTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    build_base();
  }

  void add_plugin(const std::string& name, const std::string& script) const {
    const fs::path path = skel() / "scripts/post-create-vs" / name;
    write_file(path, "#!/bin/sh\n" + script);
    fs::permissions(path, fs::perms(0755));
  }
};

constexpr int kPartly = 3;
const Arguments kCreateWeb1 = {"create-vs", "base", "web1", "web1.example.com", "192.0.2.1"};

Arguments with(Arguments arguments, const std::string& option) {
  arguments.push_back(option);
  return arguments;
}

TEST_P(RunPluginsTest, ToldNameAndAddressAndNothingElse) {
  add_plugin(
      "10-tell",
      "echo \"$@\" > told; env | sed 's/=.*//' | sort | tr '\\n' ' ' > environment; pwd > directory; cat > input\n");
  create("web1", "192.0.2.1");
  EXPECT_EQ(read_file(vserver("web1") / "told"), "web1 web1.example.com 192.0.2.1\n");
  EXPECT_EQ(read_file(vserver("web1") / "input"), "");
  std::string environment = read_file(vserver("web1") / "environment");
  for (const char* shells_own : {"PWD ", "OLDPWD ", "SHLVL ", "_ "}) {
    const std::size_t at = environment.find(shells_own);
    if (at == 0 || (at != std::string::npos && environment[at - 1] == ' '))
      environment.erase(at, std::string(shells_own).size());
  }
  EXPECT_EQ(environment, "LANG PATH VS_CONTEXT VS_DIR VS_FQDN VS_IP VS_NAME VS_SKEL ");
}

TEST_P(RunPluginsTest, RunInTheOrderOfTheirNames) {
  add_plugin("20-second", "echo second >> order\n");
  add_plugin("10-first", "echo first >> order\n");
  add_plugin("30-left-over~", "echo never >> order\n");
  const Json report = vskel_json(kCreateWeb1);
  EXPECT_EQ(read_file(vserver("web1") / "order"), "first\nsecond\n");
  const Json& plugins = report["vservers"][0]["plugins"];
  ASSERT_EQ(plugins.size(), 2U);
  EXPECT_EQ(keys_of(plugins[0]), (std::set<std::string>{"name", "status"}));
  EXPECT_EQ(plugins[0]["name"], "10-first");
  EXPECT_EQ(plugins[0]["status"], "ok");
}

TEST_P(RunPluginsTest, AFailureLeavesTheVserverAndIsRunAgain) {
  add_plugin("10-fails", "test -e allowed\n");
  const ProcessResult result = vskel(kCreateWeb1);
  EXPECT_EQ(result.code, kPartly) << result;
  EXPECT_NE(result.err.find("10-fails"), std::string::npos) << result;
  EXPECT_EQ(inconsistencies(), "");
  EXPECT_NE(vskel({"run-plugins", "web1"}).code, 0);
  write_file(vserver("web1") / "allowed", "");
  const ProcessResult again = vskel({"run-plugins", "web1"});
  EXPECT_EQ(again.code, 0) << again;
}

TEST_P(RunPluginsTest, StrictUndoesTheVserver) {
  add_plugin("10-fails", "exit 7\n");
  const ProcessResult result = vskel(with(kCreateWeb1, "--strict-plugins"));
  EXPECT_TRUE(result.code == 1 || result.code == kPartly) << result;
  EXPECT_FALSE(fs::exists(vserver("web1")));
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(RunPluginsTest, NoPluginsRunsNone) {
  add_plugin("10-touch", "echo > touched\n");
  create("web1", "192.0.2.1", {"--no-plugins"});
  EXPECT_FALSE(fs::exists(vserver("web1") / "touched"));
}

TEST_P(RunPluginsTest, RefusesAPluginThatOthersCanWrite) {
  add_plugin("10-open", "echo > touched\n");
  fs::permissions(skel() / "scripts/post-create-vs/10-open", fs::perms(0777));
  const ProcessResult result = vskel(kCreateWeb1);
  EXPECT_EQ(result.code, kPartly) << result;
  EXPECT_FALSE(fs::exists(vserver("web1") / "touched"));
}

TEST_P(RunPluginsTest, EndsAPluginThatHangs) {
  write_file(etc() / "vskel/vskel.toml", "[plugins]\ntimeout = 1\n");
  add_plugin("10-hangs", "sleep 300 & sleep 300\n");
  const ProcessResult result = vskel(kCreateWeb1);
  EXPECT_EQ(result.code, kPartly) << result;
  EXPECT_NE(result.err.find("10-hangs"), std::string::npos) << result;
}

TEST_P(RunPluginsTest, SurvivesAPluginThatFloods) {
  add_plugin("10-floods", "head -c 50000000 /dev/zero; head -c 5000000 /dev/zero >&2\n");
  const ProcessResult result = vskel(kCreateWeb1);
  EXPECT_TRUE(result.code == 0 || result.code == kPartly) << result;
  std::uintmax_t logged = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(vservers() / ".vskel")) {
    if (entry.is_regular_file()) logged += entry.file_size();
  }
  EXPECT_LT(logged, 4U << 20);
}

INSTANTIATE_TEST_SUITE_P(On, RunPluginsTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
