// Plugins: what they are told, what becomes of a vserver whose plugin fails, and run-plugins.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

/// A process that lives in a vserver and does nothing.
class Inhabitant {
 public:
  explicit Inhabitant(const fs::path& root) : pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::chroot(root.c_str()) != 0 || ::chdir("/") != 0) ::_exit(1);
    for (;;) ::pause();
  }
  ~Inhabitant() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Inhabitant(const Inhabitant&) = delete;
  Inhabitant& operator=(const Inhabitant&) = delete;
  void wait_until_inside(const fs::path& root) const {
    const fs::path link = "/proc/" + std::to_string(pid_) + "/root";
    for (int tries = 0; fs::read_symlink(link) != root && tries < 500; ++tries) ::usleep(10'000);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

/// All that the plugins which come along make in a vserver, temporary names included.
const std::vector<std::string> kWritten = {"etc/shadow",
                                           "etc/.shadow.vskel-new",
                                           "etc/ssh/.vskel-new",
                                           "etc/ssh/ssh_host_ed25519_key",
                                           "etc/ssh/ssh_host_ed25519_key.pub",
                                           "etc/ssh/ssh_host_ecdsa_key",
                                           "etc/ssh/ssh_host_ecdsa_key.pub",
                                           "etc/ssh/ssh_host_rsa_key",
                                           "etc/ssh/ssh_host_rsa_key.pub",
                                           "etc/ssl/private/.vskel-new",
                                           "etc/ssl/private/ssl-cert-snakeoil.key",
                                           "etc/ssl/certs/.vskel-new",
                                           "etc/ssl/certs/ssl-cert-snakeoil.pem",
                                           "etc/motd"};

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

TEST_P(RunPluginsTest, NotWhereSomebodyRuns) {
  add_plugin("10-touch", "echo > touched\n");
  create("web1", "192.0.2.1", {"--no-plugins"});
  {
    const Inhabitant tenant(vserver("web1"));
    tenant.wait_until_inside(vserver("web1"));
    for (const Arguments& arguments : {Arguments{"run-plugins", "web1"}, Arguments{"run-plugins", "-n", "web1"}}) {
      const ProcessResult refused = vskel(arguments);
      EXPECT_EQ(refused.code, 2) << refused;
      EXPECT_NE(refused.err.find("(" + std::to_string(tenant.pid()) + ") runs inside; stop the vserver"),
                std::string::npos)
          << refused;
    }
    EXPECT_FALSE(fs::exists(vserver("web1") / "touched"));
  }
  const ProcessResult result = vskel({"run-plugins", "web1"});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_TRUE(fs::exists(vserver("web1") / "touched"));
}

/// A vserver that its tenant has had, and a file of the host's that his links lead to.
class PlantedLinksTest : public RunPluginsTest {
 protected:
  void SetUp() override {
    RunPluginsTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    create("web1", "192.0.2.1", {"--no-plugins"});
    fs::create_directory(host());
    write_file(host() / "file", "of the host\n");
    before_ = snapshot_tree(host());
  }

  [[nodiscard]] fs::path host() const { return mount() / "host"; }
  void plant(const std::string& name, const fs::path& target) const {
    const fs::path path = vserver("web1") / name;
    fs::create_directories(path.parent_path());
    fs::remove_all(path);
    fs::create_symlink(target, path);
  }
  /// Runs the plugins, which must fail and leave the host alone.
  void expect_host_untouched(const std::string& what) const {
    const ProcessResult result = vskel({"run-plugins", "web1"});
    EXPECT_EQ(result.code, 1) << what << result;
    EXPECT_EQ(joined(compare_snapshots(before_, snapshot_tree(host()))), "") << what;
  }

 private:
  TreeSnapshot before_;
};

/// MOUNT/host/NAME as a link in MOUNT/vservers/web1/DIRECTORY/LINK says it.
fs::path upwards_to_host(const fs::path& link, const fs::path& name) {
  fs::path out = "../..";
  for (fs::path above = link.parent_path(); !above.empty(); above = above.parent_path()) out /= "..";
  return out / "host" / name;
}

TEST_P(PlantedLinksTest, AreFollowedByNoPlugin) {
  for (const std::string& name : kWritten) {
    add_plugin("10-write", "status=0\necho x > " + name + " || status=1\necho x > \"$VS_DIR/" + name +
                               "\" || status=1\nexit $status\n");
    for (const char* target : {"file", "new"})
      for (const fs::path& way : {host() / target, upwards_to_host(name, target)}) {
        plant(name, way);
        expect_host_untouched(name + " -> " + way.string());
        fs::remove(vserver("web1") / name);
      }
  }
}

TEST_P(PlantedLinksTest, AreFollowedByNoPluginWhereADirectoryWas) {
  for (const std::string name : {"etc/ssh", "etc"}) {
    add_plugin("10-write", "echo x > " + name + "/file\n");
    for (const fs::path& way : {host(), upwards_to_host(name, "")}) {
      plant(name, way);
      expect_host_untouched(name + " -> " + way.string());
    }
  }
}

TEST_P(PlantedLinksTest, AreFollowedByNoneOfThePluginsThatComeAlong) {
  for (const std::string name : {"passwd", "identity"}) {
    const fs::path plugin = fs::path(VSKEL_PROGRAM).parent_path() / "../tools/plugins" / name;
    ASSERT_TRUE(fs::exists(plugin)) << plugin << ": build the targets passwd_plugin and identity_plugin";
    fs::copy_file(plugin, skel() / "scripts/post-create-vs" / name);
  }
  const TreeSnapshot before = snapshot_tree(host());
  for (const std::string& name : kWritten)
    for (const char* target : {"file", "new"})
      for (const fs::path& way : {host() / target, upwards_to_host(name, target)}) {
        plant(name, way);
        const ProcessResult result = vskel({"run-plugins", "web1"});
        EXPECT_EQ(joined(compare_snapshots(before, snapshot_tree(host()))), "") << name << way << result;
      }
}

TEST_P(PlantedLinksTest, NorAreDevicesOpenedOrProgramsRun) {
  const fs::path device = vserver("web1") / "device";
  ASSERT_EQ(::mknod(device.c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  add_plugin("10-write", "echo x > device\n");
  expect_host_untouched("device");
  fs::copy_file("/bin/true", vserver("web1") / "program");
  add_plugin("10-write", "./program\n");
  expect_host_untouched("program");
  add_plugin("10-write", "pwd -P > where && test \"$(pwd -P)\" = \"$VS_DIR\" && echo more >> \"$VS_DIR/where\"\n");
  EXPECT_EQ(vskel({"run-plugins", "web1"}).code, 0);
  EXPECT_EQ(read_file(vserver("web1") / "where"), vserver("web1").string() + "\nmore\n");
}

TEST_P(PlantedLinksTest, WithoutAMountThatFollowsNoneNothingRuns) {
  VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
  add_plugin("10-touch", "echo > touched\n");
  for (const std::string error : {"EINVAL", "ENOSYS", "EPERM"}) {
    const ProcessResult result = vskel_injecting(":error=" + error, "mount_setattr", {"run-plugins", "web1"});
    EXPECT_EQ(result.code, 1) << result;
    EXPECT_NE(result.err.find("vskel: run plugins web1: a tenant's links would be followed"), std::string::npos)
        << result;
    EXPECT_FALSE(fs::exists(vserver("web1") / "touched"));
  }
}

INSTANTIATE_TEST_SUITE_P(On, PlantedLinksTest, kOneFileSystem, kParameterName);
INSTANTIATE_TEST_SUITE_P(On, RunPluginsTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
