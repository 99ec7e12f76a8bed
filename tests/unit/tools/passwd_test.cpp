// The passwd plugin as vskel runs it: on a tree of its own, with the environment and descriptors of a plugin. perl's
// crypt() is the judge, which is libcrypt's as login has it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/sys/kernel.h"
#include "engine/sys/process.h"
#include "tests/support/requirement.h"

namespace vskel {
namespace {

namespace fs = std::filesystem;

constexpr const char* kShadow = "daemon:*:19000:0:99999:7:::\nroot:*:19000:1:2:3:4:5:\nuser:!:19000::::::\n";

class PasswdTest : public testing::Test {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(::geteuid() == 0 ? std::nullopt : std::optional<std::string>("needs root"));
    // BUILD/tests/unit/unit_tests, BUILD/tools/plugins/passwd
    program_ = fs::read_symlink("/proc/self/exe").parent_path() / "../../tools/plugins/passwd";
    ASSERT_TRUE(fs::exists(program_)) << program_ << ": build the target passwd_plugin";
    std::string pattern = "/var/tmp/vskel-passwd.XXXXXX";
    top_ = ::mkdtemp(pattern.data());
    fs::create_directories(etc());
    write(etc() / "shadow", kShadow, 0640);
    ASSERT_EQ(::chown((etc() / "shadow").c_str(), 0, 42), 0);
  }
  void TearDown() override {
    if (!top_.empty()) fs::remove_all(top_);
  }

  [[nodiscard]] fs::path etc() const { return top_ / "vserver/etc"; }

  static void write(const fs::path& path, const std::string& text, unsigned mode) {
    std::ofstream(path) << text;
    fs::permissions(path, fs::perms(mode));
  }

  [[nodiscard]] static std::string read(const fs::path& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }

  [[nodiscard]] sys::ChildOutcome run(const std::vector<std::string>& environment) const {
    const Fd program = *sys::open_input(program_);
    const DirFd vserver = *sys::open_root(top_ / "vserver");
    sys::ChildSpec spec;
    spec.program = &program;
    spec.arguments = {"passwd", "web1", "web1.example.com", "192.0.2.1"};
    spec.environment = environment;
    spec.working_directory = &vserver;
    return *sys::run_child(spec);
  }

  /// The fields of root's line.
  [[nodiscard]] std::vector<std::string> root_line() const {
    std::istringstream lines(read(etc() / "shadow"));
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("root:")) continue;
      std::istringstream fields(line + ":");
      std::vector<std::string> out;
      for (std::string field; std::getline(fields, field, ':');) out.push_back(field);
      return out;
    }
    return {};
  }

  void expect_password(const std::string& password) const {
    const std::vector<std::string> root = root_line();
    ASSERT_EQ(root.size(), 9U) << read(etc() / "shadow");
    EXPECT_TRUE(root[1].starts_with("$y$")) << root[1];
    ::setenv("P", password.c_str(), 1);
    ::setenv("H", root[1].c_str(), 1);
    EXPECT_EQ(std::system("perl -e 'exit(crypt($ENV{P}, $ENV{H}) ne $ENV{H})'"), 0);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto today = std::chrono::duration_cast<std::chrono::days>(now);
    EXPECT_NEAR(std::stod(root[2]), static_cast<double>(today.count()), 1);
  }

  void expect_failure(const std::vector<std::string>& environment, const std::string& why) const {
    const std::string before = read(etc() / "shadow");
    const sys::ChildOutcome outcome = run(environment);
    EXPECT_EQ(outcome.exit_status, 1);
    EXPECT_NE(outcome.output.find(why), std::string::npos) << outcome.output;
    EXPECT_EQ(outcome.message, "");
    EXPECT_EQ(read(etc() / "shadow"), before);
    EXPECT_FALSE(fs::exists(etc() / ".shadow.vskel-new"));
  }

  fs::path top_, program_;
};

TEST_F(PasswdTest, SetsTheOneOfTheEnvironmentAndKeepsTheRest) {
  const sys::ChildOutcome outcome = run({"VSKEL_ROOT_PASSWORD=geheim: \xc3\xa4"});
  EXPECT_EQ(outcome.exit_status, 0) << outcome.output;
  EXPECT_EQ(outcome.output + outcome.message, "");
  expect_password("geheim: \xc3\xa4");
  const std::vector<std::string> root = root_line();
  const std::vector<std::string> rest(root.begin() + 3, root.end());
  EXPECT_EQ(rest, (std::vector<std::string>{"1", "2", "3", "4", "5", ""}));
  const std::string text = read(etc() / "shadow");
  EXPECT_TRUE(text.starts_with("daemon:*:19000:0:99999:7:::\nroot:")) << text;
  EXPECT_TRUE(text.ends_with("\nuser:!:19000::::::\n")) << text;
  struct stat stat {};
  ASSERT_EQ(::stat((etc() / "shadow").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777U, 0640U);
  EXPECT_EQ(stat.st_gid, 42U);
  EXPECT_EQ(std::distance(fs::directory_iterator(etc()), {}), 1);
}

TEST_F(PasswdTest, PrefersTheFirstLineOfTheFile) {
  write(top_ / "password", "from file\r\nsecond line\n", 0600);
  const sys::ChildOutcome outcome =
      run({"VSKEL_ROOT_PASSWORD_FILE=" + (top_ / "password").string(), "VSKEL_ROOT_PASSWORD=other"});
  EXPECT_EQ(outcome.exit_status, 0) << outcome.output;
  expect_password("from file");
}

TEST_F(PasswdTest, TellsARandomOneOnceAndNotInTheLog) {
  const sys::ChildOutcome first = run({}), second = run({});
  EXPECT_EQ(second.exit_status, 0) << second.output;
  EXPECT_EQ(second.output, "");
  const std::string prefix = "root password: ";
  ASSERT_TRUE(second.message.starts_with(prefix)) << second.message;
  ASSERT_EQ(second.message.size(), prefix.size() + 20 + 1) << second.message;
  expect_password(second.message.substr(prefix.size(), 20));
  EXPECT_NE(first.message, second.message);
}

TEST_F(PasswdTest, ThatNobodyWouldHearIsNotSet) {
  const std::string command = "cd " + (top_ / "vserver").string() + " && env -i " + program_.string();
  EXPECT_NE(std::system((command + " 3>&- 2>/dev/null").c_str()), 0);
  EXPECT_EQ(read(etc() / "shadow"), kShadow);
}

TEST_F(PasswdTest, RefusesPasswordsAndFilesThatAreNone) {
  const std::string file = (top_ / "password").string(), variable = "VSKEL_ROOT_PASSWORD_FILE=" + file;
  expect_failure({"VSKEL_ROOT_PASSWORD="}, "empty");
  expect_failure({"VSKEL_ROOT_PASSWORD=" + std::string(600, 'x')}, "512 bytes");
  expect_failure({variable}, "No such file");
  expect_failure({"VSKEL_ROOT_PASSWORD_FILE=etc/shadow"}, "absolute");
  write(file, "\nsecond\n", 0600);
  expect_failure({variable}, "empty");
  write(file, "known to all\n", 0644);
  expect_failure({variable}, "nobody else");
  fs::permissions(file, fs::perms(0600));
  ASSERT_EQ(::chown(file.c_str(), 65534, 0), 0);
  expect_failure({variable}, "nobody else");
}

TEST_F(PasswdTest, FollowsNoLinkOfTheTenant) {
  fs::rename(etc() / "shadow", top_ / "outside");
  fs::create_symlink(top_ / "outside", etc() / "shadow");
  expect_failure({"VSKEL_ROOT_PASSWORD=x"}, "shadow");
  EXPECT_EQ(read(top_ / "outside"), kShadow);
  fs::rename(etc(), top_ / "outside-etc");
  fs::remove(top_ / "outside-etc/shadow");
  fs::rename(top_ / "outside", top_ / "outside-etc/shadow");
  fs::create_directory_symlink(top_ / "outside-etc", etc());
  expect_failure({"VSKEL_ROOT_PASSWORD=x"}, "etc");
}

TEST_F(PasswdTest, MakesAShadowFileWherePasswdRefersToIt) {
  fs::remove(etc() / "shadow");
  expect_failure({"VSKEL_ROOT_PASSWORD=x"}, "etc/passwd");
  write(etc() / "passwd", "daemon:x:1:1::/:/bin/sh\n", 0644);
  expect_failure({"VSKEL_ROOT_PASSWORD=x"}, "no root");
  write(etc() / "passwd", "root::0:0:root:/root:/bin/sh\n", 0644);
  expect_failure({"VSKEL_ROOT_PASSWORD=x"}, "does not refer");
  write(etc() / "passwd", "root:x:0:0:root:/root:/bin/sh\n", 0644);
  write(etc() / "group", "root:x:0:\nshadow:x:77:\n", 0644);
  EXPECT_EQ(run({"VSKEL_ROOT_PASSWORD=x"}).exit_status, 0);
  expect_password("x");
  struct stat stat {};
  ASSERT_EQ(::stat((etc() / "shadow").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777U, 0640U);
  EXPECT_EQ(stat.st_gid, 77U);
}

TEST_F(PasswdTest, AddsRootWhereShadowHasNoSuchLine) {
  write(etc() / "shadow", "rooted:*:1::::::\nlast:*:1::::::", 0600);
  write(etc() / ".shadow.vskel-new", "left over", 0600);
  EXPECT_EQ(run({"VSKEL_ROOT_PASSWORD=x"}).exit_status, 0);
  expect_password("x");
  EXPECT_TRUE(read(etc() / "shadow").ends_with("\nrooted:*:1::::::\nlast:*:1::::::\n"));
}

}  // namespace
}  // namespace vskel
