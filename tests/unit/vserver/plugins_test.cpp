#include "engine/vserver/plugins.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/sys/kernel.h"
#include "engine/sys/process.h"
#include "tests/support/requirement.h"

namespace vskel {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

class PluginsTest : public testing::Test {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(::geteuid() == 0 ? std::nullopt : std::optional<std::string>("needs root"));
    std::string pattern = "/var/tmp/vskel-plugins.XXXXXX";
    top_ = ::mkdtemp(pattern.data());
    fs::permissions(top_, fs::perms(0755));
    for (const char* name : {"scripts", "vserver"}) fs::create_directory(top_ / name);
    log_ = *sys::open_or_create(*sys::open_root(top_), "log", 0600);
  }
  void TearDown() override {
    if (!top_.empty()) fs::remove_all(top_);
  }

  [[nodiscard]] fs::path add(const std::string& name, const std::string& script, unsigned mode = 0755) const {
    const fs::path path = top_ / "scripts" / name;
    std::ofstream(path) << script;
    fs::permissions(path, fs::perms(mode));
    return path;
  }

  [[nodiscard]] PluginOutcome run(const std::string& name) const {
    const PluginContext context{"web1",
                                "web1.example.com",
                                "192.0.2.1",
                                {{"VS_NAME", "web1"}, {"VS_FQDN", "web1.example.com"}, {"VS_IP", "192.0.2.1"}}};
    return run_plugin(*sys::open_root(top_ / "scripts"), name, *sys::open_root(top_ / "vserver"), Tenancy::none_yet,
                      context, settings_, log_);
  }

  [[nodiscard]] PluginOutcome run_script(const std::string& body) const {
    static_cast<void>(add("plugin", "#!/bin/sh\n" + body));
    return run("plugin");
  }

  [[nodiscard]] std::string log() const { return read(top_ / "log"); }

  void expect_refused(const std::string& name, const std::string& why) const {
    const PluginOutcome outcome = run(name);
    EXPECT_EQ(outcome.status, PluginStatus::failed) << name;
    EXPECT_TRUE(outcome.reason.starts_with("refused: ")) << outcome.reason;
    EXPECT_NE(outcome.reason.find(why), std::string::npos) << outcome.reason;
    EXPECT_FALSE(fs::exists(top_ / "vserver/ran")) << name;
  }

  fs::path top_;
  Fd log_;
  PluginSettings settings_;
};

constexpr const char* kTouch = "#!/bin/sh\n: > ran\n";

bool gone(int pid) {
  for (int tries = 0; tries < 100; ++tries, ::usleep(20'000)) {
    const std::string stat = read("/proc/" + std::to_string(pid) + "/stat");
    if (stat.empty() || stat.find(") Z ") != stat.npos) return true;
  }
  return false;
}

TEST_F(PluginsTest, AreListedByNameWithoutLeftovers) {
  for (const char* name :
       {"20-b", "10-a", "passwd.pl", "x~", ".hidden", "a.bak", "a.dpkg-old", "a.rpmnew", "#a#", "a b"})
    static_cast<void>(add(name, kTouch));
  fs::create_directory(top_ / "scripts/directory");
  fs::create_symlink("10-a", top_ / "scripts/15-link");
  EXPECT_EQ(*plugin_names(*sys::open_root(top_ / "scripts")),
            (std::vector<std::string>{"10-a", "15-link", "20-b", "passwd.pl"}));
}

TEST_F(PluginsTest, GetTheArgumentsAndTheVserverAsWorkingDirectory) {
  EXPECT_EQ(run_script("echo \"$# $*\"; pwd -P\n").reason, "");
  EXPECT_EQ(log(), "== plugin\n3 web1 web1.example.com 192.0.2.1\n" + (top_ / "vserver").string() + "\n");
}

TEST_F(PluginsTest, GetExactlyTheStatedEnvironment) {
  ::setenv("VSKEL_TEST_PASSED", "on", 1);
  ::setenv("LD_BIND_NOW", "1", 1);
  settings_.environment = {"VSKEL_TEST_PASSED", "VSKEL_TEST_MISSING", "SET=a=b", "LANG=C"};
  EXPECT_EQ(run_script("tr '\\0' '\\n' < /proc/$$/environ\n").reason, "");
  EXPECT_EQ(log(),
            "== plugin\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nVS_NAME=web1\n"
            "VS_FQDN=web1.example.com\nVS_IP=192.0.2.1\nVSKEL_TEST_PASSED=on\nSET=a=b\nLANG=C\n");
}

TEST_F(PluginsTest, GetNoDescriptorButTheirFourAndAScriptItsOwn) {
  const Fd leaked(::dup(0));
  const Fd high(::fcntl(0, F_DUPFD, 900));
  EXPECT_EQ(run_script("for fd in /proc/$$/fd/*; do at=$(readlink $fd) && echo \"${fd##*/} $at\"; done | "
                       "grep -v '^1[0-9] ' | sed 's/\\[.*//; s,/.*/scripts/,,'\n")
                .reason,
            "");
  EXPECT_EQ(log(), "== plugin\n0 /dev/null\n1 pipe:\n2 pipe:\n3 pipe:\n4 plugin\n");
}

TEST_F(PluginsTest, ThatAreBinariesGetNoDescriptorButTheirFour) {
  fs::copy_file("/bin/ls", top_ / "scripts/list");
  // The arguments are the vserver's names: made directories, so that ls has something to list.
  fs::create_directory(top_ / "vserver/web1");
  for (const char* name : {"web1.example.com", "192.0.2.1"})
    fs::create_directory_symlink("/proc/self/fd", top_ / "vserver" / name);
  EXPECT_EQ(run("list").reason, "");
  // ls itself opens the directory it lists, which becomes 4.
  EXPECT_NE(log().find("192.0.2.1:\n0\n1\n2\n3\n4\n\nweb1"), std::string::npos) << log();
}

TEST_F(PluginsTest, HaveDefaultSignalsUmaskAndASessionOfTheirOwn) {
  sigset_t some;
  sigset_t before;
  ::sigemptyset(&some);
  ::sigaddset(&some, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &some, &before);
  const auto pipe_before = ::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(run_script("grep -E 'Sig(Blk|Ign)' /proc/self/status; umask; ulimit -c; ulimit -n\n"
                       "test \"$(cut -d' ' -f6 /proc/$$/stat)\" = $$ && echo leader\n")
                .reason,
            "");
  ::signal(SIGPIPE, pipe_before);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(log(), "== plugin\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0022\n0\n1024\nleader\n");
}

TEST_F(PluginsTest, ReadNothingFromStandardInput) {
  EXPECT_EQ(run_script("cat; echo end\n").reason, "");
  EXPECT_EQ(log(), "== plugin\nend\n");
}

TEST_F(PluginsTest, TellTheAdministratorOnDescriptorThreeAndNotTheLog) {
  const PluginOutcome outcome = run_script("echo secret >&3; echo out; echo err >&2\n");
  EXPECT_EQ(outcome.message, "secret\n");
  EXPECT_EQ(log(), "== plugin\nout\nerr\n");
}

TEST_F(PluginsTest, AddToTheLog) {
  EXPECT_EQ(run_script("printf one\n").reason, "");
  EXPECT_EQ(run_script("echo two\n").reason, "");
  EXPECT_EQ(log(), "== plugin\none\n== plugin\ntwo\n");
}

TEST_F(PluginsTest, FailWithTheirStatusOrSignal) {
  EXPECT_EQ(run_script("exit 3\n").reason, "exit status 3");
  EXPECT_EQ(run_script("kill -9 $$\n").reason, "killed by signal 9");
  EXPECT_EQ(run_script("kill -9 0\n").reason, "killed by signal 9");
  EXPECT_EQ(run_script("exit 3\n").status, PluginStatus::failed);
}

TEST_F(PluginsTest, FailWithTheReasonIfTheyCannotBeExecuted) {
  static_cast<void>(add("nothing", "#!/no/such/interpreter\n"));
  EXPECT_NE(run("nothing").reason.find("No such file or directory"), std::string::npos) << run("nothing").reason;
  static_cast<void>(add("text", "no program at all\n"));
  EXPECT_NE(run("text").reason.find("Exec format error"), std::string::npos) << run("text").reason;
}

TEST_F(PluginsTest, ThatHangAreKilledWithAllTheyStarted) {
  settings_.timeout = std::chrono::seconds(1);
  const auto begin = std::chrono::steady_clock::now();
  const PluginOutcome outcome = run_script("trap '' TERM INT; sleep 300 & echo $! > child; sleep 300\n");
  EXPECT_EQ(outcome.reason, "timed out after 1 s");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_TRUE(gone(std::stoi(read(top_ / "vserver/child"))));
}

TEST_F(PluginsTest, ThatLeaveSomethingRunningHoldNobodyUp) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(run_script("sleep 300 & echo $! > child; echo done\n").reason, "");
  EXPECT_TRUE(gone(std::stoi(read(top_ / "vserver/child"))));
  // One that floods from a session of its own is out of reach, but not waited for.
  EXPECT_EQ(run_script("setsid sh -c 'echo $$ > daemon; exec yes' & while ! test -s daemon; do :; done\n").reason, "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_TRUE(gone(std::stoi(read(top_ / "vserver/daemon"))));  // of SIGPIPE
}

TEST_F(PluginsTest, ThatFloodAreCutOffAndNotHeldUp) {
  const PluginOutcome outcome = run_script("head -c 20000000 /dev/zero; head -c 1000000 /dev/zero >&3; echo > ran\n");
  EXPECT_EQ(outcome.reason, "");
  EXPECT_TRUE(fs::exists(top_ / "vserver/ran"));
  EXPECT_EQ(outcome.message.size(), 64U * 1024);
  EXPECT_LE(log().size(), (1U << 20) + 100);
  EXPECT_GE(log().size(), 1U << 20);
}

TEST_F(PluginsTest, ThatOthersCouldHaveWrittenAreRefused) {
  for (const unsigned mode : {0775U, 0757U}) {
    static_cast<void>(add("open", kTouch, mode));
    expect_refused("open", "writable by others");
  }
  ASSERT_EQ(::chown(add("foreign", kTouch).c_str(), 65534, 0), 0);
  expect_refused("foreign", "not root's");
  fs::permissions(top_ / "scripts", fs::perms(0777));
  static_cast<void>(add("good", kTouch));
  expect_refused("good", "writable by others");
  fs::permissions(top_ / "scripts", fs::perms(0755));
  ASSERT_EQ(::chown(top_.c_str(), 65534, 0), 0);
  expect_refused("good", "not root's");
}

TEST_F(PluginsTest, ThatAreNoProgramsAreRefused) {
  static_cast<void>(add("plain", kTouch, 0644));
  expect_refused("plain", "not executable");
  static_cast<void>(add("set-id", kTouch, 04755));
  expect_refused("set-id", "set-id");
  ASSERT_EQ(::mkfifo((top_ / "scripts/fifo").c_str(), 0755), 0);
  expect_refused("fifo", "not a regular file");
  fs::create_directory(top_ / "scripts/directory");
  expect_refused("directory", "not a regular file");
  expect_refused("missing", "No such file");
  expect_refused("../scripts/plain", "not a plugin's name");
  expect_refused("plain~", "not a plugin's name");
}

TEST_F(PluginsTest, MayBeLinksToTrustedFiles) {
  fs::create_directory(top_ / "elsewhere");
  std::ofstream(top_ / "elsewhere/real") << kTouch;
  fs::permissions(top_ / "elsewhere/real", fs::perms(0755));
  fs::create_symlink("../elsewhere/real", top_ / "scripts/relative");
  fs::create_symlink(top_ / "elsewhere/real", top_ / "scripts/absolute");
  fs::create_symlink("absolute", top_ / "scripts/twice");
  for (const char* name : {"relative", "absolute", "twice"}) {
    EXPECT_EQ(run(name).reason, "") << name;
    EXPECT_TRUE(fs::remove(top_ / "vserver/ran")) << name;
  }
}

TEST_F(PluginsTest, ThatAreLinksThroughWhatOthersCouldChangeAreRefused) {
  fs::create_directory(top_ / "open");
  std::ofstream(top_ / "open/real") << kTouch;
  fs::permissions(top_ / "open/real", fs::perms(0755));
  fs::permissions(top_ / "open", fs::perms(0777));
  fs::create_symlink("../open/real", top_ / "scripts/through-open");
  expect_refused("through-open", "writable by others");
  // The end of the way is trusted, a link on it is not.
  const fs::path good = add("good", kTouch);
  fs::create_symlink(good, top_ / "open/way");
  fs::create_symlink("../open/way", top_ / "scripts/by-way");
  expect_refused("by-way", "writable by others");
  fs::create_symlink(good, top_ / "scripts/foreign-link");
  ASSERT_EQ(::lchown((top_ / "scripts/foreign-link").c_str(), 65534, 0), 0);
  expect_refused("foreign-link", "not root's");
  fs::create_symlink("loop", top_ / "scripts/loop");
  expect_refused("loop", "symbolic links");
  fs::create_symlink("nowhere", top_ / "scripts/dangling");
  expect_refused("dangling", "No such file");
}

TEST_F(PluginsTest, AreRunAsTheyWereWhenTheyWereChecked) {
  const DirFd scripts = *sys::open_root(top_ / "scripts"), vserver = *sys::open_root(top_ / "vserver");
  static_cast<void>(add("plugin", "#!/bin/sh\n: > checked\n"));
  const auto program = sys::open_trusted_program(scripts, "plugin");
  ASSERT_TRUE(program) << program.error().line();
  // Replaced, as whoever won a race would have it.
  fs::rename(add("other", "#!/bin/sh\n: > replaced\n"), top_ / "scripts/plugin");
  sys::ChildSpec spec;
  spec.program = &*program;
  spec.arguments = {"plugin"};
  spec.working_directory = &vserver;
  const auto outcome = sys::run_child(spec);
  ASSERT_TRUE(outcome) << outcome.error().line();
  EXPECT_EQ(outcome->exit_status, 0) << outcome->output;
  EXPECT_TRUE(fs::exists(top_ / "vserver/checked"));
  EXPECT_FALSE(fs::exists(top_ / "vserver/replaced"));
}

TEST_F(PluginsTest, ThatSignalTheirGroupHitNobodyElse) {
  // Neither us nor the plugins that run at the same time for other vservers.
  const pid_t bystander = ::fork();
  if (bystander == 0) {
    ::pause();
    ::_exit(0);
  }
  EXPECT_EQ(run_script("kill -KILL 0\n").reason, "killed by signal 9");
  EXPECT_EQ(run_script("trap '' TERM; kill -TERM 0; exit 7\n").reason, "exit status 7");
  int status = 0;
  EXPECT_EQ(::waitpid(bystander, &status, WNOHANG), 0) << "a process of our own group was hit";
  ::kill(bystander, SIGKILL);
  EXPECT_EQ(::waitpid(bystander, &status, 0), bystander);
}

TEST_F(PluginsTest, MayEndWithAnyStatus) {
  for (const auto& [status, reason] :
       {std::pair{"255", "exit status 255"}, std::pair{"256", ""},  // exit(3) keeps eight bits
        std::pair{"2147483647", "exit status 255"}})
    EXPECT_EQ(run_script("exec /bin/bash -c 'exit " + std::string(status) + "'\n").reason, reason) << status;
  EXPECT_EQ(run_script("kill -SEGV $$\n").reason, "killed by signal 11");
}

TEST_F(PluginsTest, CanHoldNobodyUpByADaemonOfTheirOwnSession) {
  // It has our pipes, and a session of its own, so that no signal of ours reaches it.
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(run_script("setsid sh -c 'echo $$ > daemon; exec sleep 30' & while [ ! -s daemon ]; do :; done\n").reason,
            "");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
  const int daemon = std::stoi(read(top_ / "vserver/daemon"));
  EXPECT_EQ(::kill(daemon, SIGKILL), 0);
}

TEST_F(PluginsTest, MayBeBehindAStickyDirectoryOfRoots) {
  fs::permissions(top_ / "scripts", fs::perms(01777));
  static_cast<void>(add("good", kTouch));
  EXPECT_EQ(run("good").reason, "");
}

}  // namespace
}  // namespace vskel
