// Containers that are started as the templates of tools/templates say, with vskel's own program and the container
// managers of this machine. A tenant, root inside, tries what would undo a seal (probe.cpp): under the templates as
// they are shipped all of it is refused, and what is his works; under those that had no user namespace he lifts the
// seal. About 10 s.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <sstream>

#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

const std::string kSealed = "usr/bin/tool";
using Answers = std::map<std::string, std::string>;

std::string with(std::string text, const std::string& what, const std::string& by) {
  const std::size_t at = text.find(what);
  if (at == text.npos) throw std::runtime_error(what + " is not in\n" + text);
  return text.replace(at, what.size(), by);
}

/// Without the lines that begin with one of these.
std::string without_lines(const std::string& text, const std::vector<std::string>& beginnings) {
  std::istringstream lines(text);
  std::string out;
  for (std::string line; std::getline(lines, line);)
    if (std::ranges::none_of(beginnings, [&](const std::string& beginning) { return line.starts_with(beginning); }))
      out += line + "\n";
  return out;
}

class TemplateTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    // The template says so: LXC looks for the root as the user that the tenant's root is outside.
    fs::permissions(mount().parent_path(), fs::perms{0711});
    fs::copy_file(VSKEL_PROBE, source() / "usr/bin/probe");
    fs::create_directories(source() / "mnt");
    build_base();
  }

  /// The host's end of a container's cable is named after it: tests that run side by side need different ones.
  [[nodiscard]] std::string name() const {
    const std::string scratch_name = mount().parent_path().filename();
    return "t" + scratch_name.substr(scratch_name.rfind('.') + 1);
  }
  [[nodiscard]] static std::string shipped(const std::string& name) {
    return read_file(fs::path(VSKEL_TEMPLATES) / name);
  }

  /// A vserver with a configuration out of `text` at VSERVERS/NAME.nspawn, or, for LXC, at ETC/NAME.lxc.
  [[nodiscard]] ProcessResult make(const std::string& name, const std::string& text, const std::string& config) const {
    write_file(mount() / "template", text);
    write_file(etc() / "vskel/vskel.toml",
               "[create]\nconfig = \"" + config + "\"\ntemplate = \"" + (mount() / "template").string() + "\"\n");
    return vskel({"create-vs", "base", name, name + ".example.com", "192.0.2.1", "--seal", "immutable"});
  }

  /// Beside the tree is where systemd-nspawn finds settings, besides /etc/systemd/nspawn.
  [[nodiscard]] ProcessResult make_for_nspawn(const std::string& name, const std::string& text) const {
    // No root of a test has an init.
    return make(name, with(text, "Boot=yes", "Boot=no"), vservers().string() + "/%%VS_NAME%%.nspawn");
  }
  [[nodiscard]] ProcessResult make_for_lxc(const std::string& name, const std::string& text) const {
    // No bridge is on a machine for tests.
    const std::string no_bridge = without_lines(text, {"lxc.net."}) + "lxc.net.0.type = empty\n";
    return make(name, no_bridge, etc().string() + "/%%VS_NAME%%.lxc");
  }

  [[nodiscard]] ProcessResult start_nspawn(const std::string& name) const {
    ProcessResult result;
    // Without a system bus it cannot ask for a unit of its own.
    for (const std::string unit : {"--register=no", "--keep-unit"}) {
      result = run({"systemd-nspawn", "-q", "--settings=trusted", "--console=pipe", "--register=no", unit, "-M", name,
                    "-D", vserver(name).string(), "/usr/bin/probe", "/" + kSealed});
      if (result.out.contains("uid ")) break;
    }
    return result;
  }
  [[nodiscard]] ProcessResult start_lxc(const std::string& name) const {
    // The numbers that a host gives its root once; of the mount namespace of this test.
    for (const std::string ids : {"subuid", "subgid"}) {
      write_file(scratch() / ids, "root:5000000:4000000000\n");
      const std::string file = "/etc/" + ids;
      if (fs::exists(file) && ::mount((scratch() / ids).c_str(), file.c_str(), nullptr, MS_BIND, nullptr) != 0)
        throw std::runtime_error("bind " + file);
    }
    fs::create_directories(scratch() / "lxc");
    ProcessResult result = run({"lxc-execute", "-P", (scratch() / "lxc").string(), "-n", name, "-f",
                                (etc() / (name + ".lxc")).string(), "--", "/usr/bin/probe", "/" + kSealed});
    for (const std::string ids : {"/etc/subuid", "/etc/subgid"}) ::umount2(ids.c_str(), MNT_DETACH);
    return result;
  }

  /// What the probe said; fails where it didn't get to its end.
  static Answers answers(const ProcessResult& ran) {
    Answers out;
    std::istringstream lines(ran.out);
    for (std::string line; std::getline(lines, line);) {
      while (line.ends_with('\r')) line.pop_back();
      if (const std::size_t space = line.rfind(' '); space != line.npos)
        out[line.substr(0, space)] = line.substr(space + 1);
    }
    EXPECT_EQ(out["own owner"], "ok") << ran;
    return out;
  }

  void expect_held(const std::string& name, const ProcessResult& ran) const {
    Answers said = answers(ran);
    EXPECT_EQ(said["uid"], "0") << ran;
    EXPECT_EQ(said["owner"], "0") << ran << "root's files are root's inside";
    for (const std::string way : {"chattr", "write", "chown", "chmod", "bpf", "freeze", "trim", "mknod", "handle"})
      EXPECT_EQ(said[way], "EPERM") << way << "\n" << ran;
    EXPECT_TRUE(said.contains("label")) << ran;
    EXPECT_NE(said["label"], "ok") << ran;
    // Each of the two ways is closed at one of its two steps.
    for (const auto& [step, way] : {std::pair{"mount", "chattr by a mount"},
                                    std::pair{"next namespace", "chattr in the next namespace"}})
      EXPECT_EQ(said[said[step] == "ok" ? way : step], "EPERM") << way << "\n" << ran;
    EXPECT_EQ(said["own file"], "ok") << ran;
    EXPECT_EQ(said["own text"], "ok") << ran;

    struct stat own {};
    ASSERT_EQ(::stat((vserver(name) / "etc/own").c_str(), &own), 0);
    EXPECT_EQ(own.st_uid, 33U) << "numbers on disk are those that the tenant sees";
    struct stat root {};
    ASSERT_EQ(::stat((vserver(name) / kSealed).c_str(), &root), 0);
    EXPECT_EQ(root.st_uid, 0U);
    const ProcessResult verified = vskel({"verify"});
    EXPECT_EQ(verified.code, 0) << verified;
  }

  /// What is tried does undo a seal where nothing keeps it off.
  static void expect_lifted(const ProcessResult& ran) {
    Answers said = answers(ran);
    for (const std::string way : {"chattr", "freeze", "mknod"}) EXPECT_EQ(said[way], "ok") << way << "\n" << ran;
  }

  [[nodiscard]] fs::path scratch() const { return mount() / "scratch"; }
};

TEST_P(TemplateTest, NspawnHolds) {
  VSKEL_REQUIRE(has_program("systemd-nspawn") ? std::nullopt : std::optional<std::string>("needs systemd-nspawn"));
  const ProcessResult made = make_for_nspawn(name(), shipped("systemd-nspawn.nspawn"));
  ASSERT_EQ(made.code, 0) << made;
  EXPECT_EQ(made.err, "");
  expect_held(name(), start_nspawn(name()));
  expect_held(name(), start_nspawn(name()));  // other numbers, perhaps, and the same files
}

TEST_P(TemplateTest, LxcHolds) {
  VSKEL_REQUIRE(has_program("lxc-execute") ? std::nullopt : std::optional<std::string>("needs lxc"));
  fs::create_directories(scratch());
  const ProcessResult made = make_for_lxc(name(), shipped("lxc.conf"));
  ASSERT_EQ(made.code, 0) << made;
  EXPECT_EQ(made.err, "");
  expect_held(name(), start_lxc(name()));
}

TEST_P(TemplateTest, NspawnWithoutUserNamespaceDoesNot) {
  VSKEL_REQUIRE(has_program("systemd-nspawn") ? std::nullopt : std::optional<std::string>("needs systemd-nspawn"));
  const ProcessResult made = make_for_nspawn(
      name(), without_lines(with(shipped("systemd-nspawn.nspawn"), "\nPrivateUsers=pick", "\nPrivateUsers=no"),
                            {"PrivateUsersOwnership="}));
  ASSERT_EQ(made.code, 0) << made;
  EXPECT_NE(made.err.find("PrivateUsers=no: "), made.err.npos) << made;
  expect_lifted(start_nspawn(name()));
}

TEST_P(TemplateTest, LxcWithoutIdmapDoesNot) {
  VSKEL_REQUIRE(has_program("lxc-execute") ? std::nullopt : std::optional<std::string>("needs lxc"));
  fs::create_directories(scratch());
  const ProcessResult made = make_for_lxc(
      name(), without_lines(shipped("lxc.conf"),
                            {"lxc.idmap", "lxc.rootfs.options", "lxc.include = /usr/share/lxc/config/userns"}));
  ASSERT_EQ(made.code, 0) << made;
  EXPECT_NE(made.err.find("no lxc.idmap: "), made.err.npos) << made;
  expect_lifted(start_lxc(name()));
}

/// Why PrivateUsers=pick alone is warned of.
TEST_P(TemplateTest, NspawnThatChangesOwnersTearsTheTree) {
  VSKEL_REQUIRE(has_program("systemd-nspawn") ? std::nullopt : std::optional<std::string>("needs systemd-nspawn"));
  const ProcessResult made = make_for_nspawn(
      name(), with(shipped("systemd-nspawn.nspawn"), "\nPrivateUsersOwnership=map", "\nPrivateUsersOwnership=chown"));
  ASSERT_EQ(made.code, 0) << made;
  EXPECT_NE(made.err.find("PrivateUsersOwnership=chown: "), made.err.npos) << made;
  const ProcessResult ran = start_nspawn(name());
  EXPECT_FALSE(ran.out.contains("uid ")) << ran;
  std::size_t changed = 0, as_they_were = 0;
  for (const auto& entry : fs::recursive_directory_iterator(vserver(name()))) {
    struct stat stat {};
    if (::lstat(entry.path().c_str(), &stat) == 0) ++(stat.st_uid >= 65536 ? changed : as_they_were);
  }
  EXPECT_GT(changed, 0U) << ran;
  EXPECT_GT(as_they_were, 0U) << ran;
}

INSTANTIATE_TEST_SUITE_P(On, TemplateTest, ::testing::Values(FileSystem::ext4, FileSystem::xfs, FileSystem::btrfs),
                         kParameterName);

}  // namespace
}  // namespace vskel::test
