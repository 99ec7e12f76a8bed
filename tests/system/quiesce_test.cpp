// Running tenants while seals are lifted: none can touch a shared inode, all run on afterwards, whatever became of the
// command.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "tests/support/inode_extras.h"
#include "tests/support/odd_root.h"
#include "tests/support/requirement.h"
#include "tests/system/hostile_tenant.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

using namespace std::chrono_literals;

class QuiesceTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    quiesce_by("freeze");
    build_base();
    create("web1", "192.0.2.1", {"--share", "hardlink"});
    fs::create_directory(mount() / "other-root");
  }

  [[nodiscard]] std::unique_ptr<HostileTenant> start_tenant(Entry entry = Entry::chroot) const {
    std::vector<std::string> paths;
    for (const std::string& path : odd_root::kLinkable) paths.push_back("/" + path);
    auto tenant = std::make_unique<HostileTenant>(vserver("web1"), entry, paths);
    EXPECT_TRUE(entry == Entry::waiting_for_child || tenant->runs());
    return tenant;
  }

  /// Whether list, show and verify say who is held, and what lets him go on.
  void expect_told(const std::string& whom, bool told) const {
    for (const Arguments& looking : {Arguments{"list"}, Arguments{"show", "web1"}, Arguments{"verify", "web1"}}) {
      const ProcessResult result = vskel(looking);
      const std::string& said = looking.front() == "verify" ? result.out : result.err;
      const std::size_t at = said.find(whom);
      EXPECT_EQ(at != said.npos, told) << looking.front() << result;
      if (told && at != said.npos) {
        EXPECT_NE(said.find("vskel recover lets it go on\n", at), said.npos) << said;
      }
      EXPECT_EQ(result.code, told && looking.front() == "verify" ? 1 : 0) << looking.front() << result;
    }
    EXPECT_EQ(vskel_json({"list"}).at("held").empty(), !told);
  }

  [[nodiscard]] TreeSnapshot global() const { return snapshot_tree(skel() / "global"); }

  void expect_untouched(const TreeSnapshot& before, const HostileTenant& tenant) const {
    EXPECT_EQ(tenant.changed(), 0U);
    EXPECT_EQ(joined(compare_snapshots(before, global(), {}, Identity::compared)), "");
    for (const std::string& path : odd_root::kLinkable) EXPECT_TRUE(is_immutable(skel() / "global" / path)) << path;
  }
};

/// Some ten seconds each.
class LongQuiesceTest : public QuiesceTest {};
class UnstoppableTest : public QuiesceTest {};
class ManyProcessesTest : public QuiesceTest {};
class FullInodeTest : public QuiesceTest {};

TEST_P(LongQuiesceTest, NoSharedInodeChangesWhileAHundredVserversAreMadeRelinkedAndRemoved) {
  const auto tenant = start_tenant();
  const TreeSnapshot before = global();
  const ProcessResult created = vskel({"-v", "create-vs", "base", "--count", "100", "--name", "w%d", "--fqdn",
                                       "%s.example.com", "--ip-from", "10.0.0.1"});
  ASSERT_EQ(created.code, 0) << created;
  EXPECT_NE(created.err.find("held web1 still for"), std::string::npos) << created.err;
  expect_untouched(before, *tenant);
  EXPECT_TRUE(tenant->runs());

  // A new generation, and private copies to fold.
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  const fs::path changed = vservers() / "tmp_skel_base/usr/share/big";
  write_file(changed, read_file(changed) + "more");
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
  ::kill(tenant->pid(), SIGSTOP);  // while the test itself takes seals off
  ASSERT_FALSE(tenant->runs());
  for (int number = 1; number <= 10; ++number) {
    const fs::path tool = vserver("w" + std::to_string(number)) / "usr/bin/tool";
    const std::string bytes = read_file(tool);
    clear_immutable(tool);
    const auto time = fs::last_write_time(tool);
    const auto mode = fs::status(tool).permissions();
    fs::remove(tool);
    set_immutable(skel() / "global/usr/bin/tool");
    write_file(tool, bytes);
    fs::permissions(tool, mode);
    fs::last_write_time(tool, time);
  }
  ::kill(tenant->pid(), SIGCONT);
  ASSERT_TRUE(tenant->runs());
  const TreeSnapshot second = global();
  const ProcessResult relinked = vskel({"relink", "base"});
  ASSERT_EQ(relinked.code, 0) << relinked;
  expect_untouched(second, *tenant);
  EXPECT_TRUE(tenant->runs());
  EXPECT_EQ(inode_of(vserver("web1") / "usr/share/big"), inode_of(skel() / "global/usr/share/big"));

  Arguments removal = {"remove-vs", "--yes"};
  for (int number = 1; number <= 100; ++number) removal.push_back("w" + std::to_string(number));
  const ProcessResult removed = vskel(removal);
  ASSERT_EQ(removed.code, 0) << removed;
  expect_untouched(second, *tenant);
  EXPECT_TRUE(tenant->runs());
  EXPECT_EQ(names_in(vservers() / ".vskel/trash"), std::set<std::string>{});
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(QuiesceTest, AGroupOfItsOwnIsFrozenAndThawed) {
  VSKEL_REQUIRE(ControlGroup::missing());
  const ControlGroup group;
  const auto tenant = start_tenant();
  group.take(tenant->pid());
  const TreeSnapshot before = global();
  ASSERT_EQ(vskel({"create-vs", "base", "web2", "web2.example.com", "192.0.2.2"}).code, 0);
  expect_untouched(before, *tenant);
  EXPECT_FALSE(group.is_frozen());
  EXPECT_TRUE(tenant->runs());
}

TEST_P(LongQuiesceTest, RecoverSealsAndThawsWhatAKilledCommandLeft) {
  VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
  VSKEL_REQUIRE(ControlGroup::missing());
  const ControlGroup group;
  for (const bool in_group : {true, false}) {
    SCOPED_TRACE(in_group ? "frozen by cgroup" : "stopped by signal");
    const auto tenant = start_tenant();
    if (in_group) group.take(tenant->pid());
    const TreeSnapshot before = global();
    const ProcessResult killed =
        vskel_killed_at({"linkat", 2}, {"create-vs", "base", "web2", "web2.example.com", "192.0.2.2"});
    ASSERT_TRUE(killed.signal == 9 || killed.code == 137) << killed;
    EXPECT_FALSE(tenant->runs());
    EXPECT_EQ(group.is_frozen(), in_group);
    expect_told(in_group ? "control group " : "(" + std::to_string(tenant->pid()) + "): stopped since a vskel died",
                true);
    const ProcessResult recovered = vskel({"recover"});
    ASSERT_EQ(recovered.code, 0) << recovered;
    EXPECT_NE(recovered.out.find("held still"), std::string::npos) << recovered;
    EXPECT_TRUE(tenant->runs());
    expect_told("since a vskel died", false);
    expect_untouched(before, *tenant);
    EXPECT_EQ(inconsistencies(), "");
  }
}

TEST_P(QuiesceTest, NobodyInsideIsOverlooked) {
  for (const Entry entry : {Entry::chroot, Entry::chroot_below, Entry::second_thread, Entry::other_mounts,
                            Entry::other_mounts_of_one_thread}) {
    SCOPED_TRACE(static_cast<int>(entry));
    const auto tenant = start_tenant(entry);
    const ProcessResult result = vskel({"remove-vs", "web1", "--yes"});
    EXPECT_EQ(result.code, 1) << result;
    EXPECT_NE(result.err.find("(" + std::to_string(tenant->pid()) + ")"), std::string::npos) << result;
    const ProcessResult created = vskel({"-v", "create-vs", "base", "web2", "web2.example.com", "192.0.2.2"});
    EXPECT_EQ(created.code, 0) << created;
    EXPECT_NE(created.err.find("held web1 still for"), std::string::npos) << created.err;
    EXPECT_TRUE(tenant->runs());
    const ProcessResult removed = vskel({"remove-vs", "web2", "--yes"});
    ASSERT_EQ(removed.code, 0) << removed;
  }
}

/// A look at so many takes longer than a process may need to stop.
TEST_P(ManyProcessesTest, ThousandsOfProcessesAreStoppedAndGoOn) {
  constexpr std::size_t kMany = 5000;
  std::vector<pid_t> all;
  const std::string root = vserver("web1").string();
  for (std::size_t number = 0; number < kMany; ++number) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::chroot(root.c_str()) != 0 || ::chdir("/") != 0) ::_exit(1);
      for (;;) ::pause();
    }
    if (pid > 0) all.push_back(pid);
  }
  ::kill(all.back(), SIGSTOP);  // somebody's job, stopped before we came
  const auto start = std::chrono::steady_clock::now();
  const ProcessResult created = vskel({"create-vs", "base", "web2", "web2.example.com", "192.0.2.2"});
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  write_file(vservers() / "tmp_skel_base/usr/share/big", "another");
  const ProcessResult split = vskel({"split-skel", "base"});
  const auto took = std::chrono::steady_clock::now() - start;
  std::size_t stopped = 0;
  for (const pid_t pid : all)
    if (read_file("/proc/" + std::to_string(pid) + "/stat").find(") T ") != std::string::npos) ++stopped;
  const bool stays = read_file("/proc/" + std::to_string(all.back()) + "/stat").find(") T ") != std::string::npos;
  for (const pid_t pid : all) ::kill(pid, SIGKILL);
  for (const pid_t pid : all) ::waitpid(pid, nullptr, 0);
  EXPECT_EQ(created.code, 0) << created;
  EXPECT_EQ(split.code, 0) << split;
  EXPECT_EQ(all.size(), kMany);
  EXPECT_EQ(stopped, 1U);
  EXPECT_TRUE(stays);
  EXPECT_LT(took, 60s);
}

TEST_P(UnstoppableTest, WhoCantBeStoppedIsNamed) {
  const auto tenant = start_tenant(Entry::waiting_for_child);
  while (!tenant->runs() && tenant->changed() == 0) {
    // Until it waits in the kernel, where no signal reaches it.
    const std::string stat = read_file("/proc/" + std::to_string(tenant->pid()) + "/stat");
    if (stat.find(") D ") != std::string::npos) break;
  }
  const StoreSnapshot before = snapshot_store();
  const ProcessResult result = vskel({"create-vs", "base", "web2", "web2.example.com", "192.0.2.2"});
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_NE(result.err.find("web1"), std::string::npos) << result;
  EXPECT_NE(result.err.find("(" + std::to_string(tenant->pid()) + ")"), std::string::npos) << result;
  EXPECT_FALSE(fs::exists(vserver("web2")));
  EXPECT_EQ(inconsistencies(), "");
  ASSERT_EQ(vskel({"create-vs", "base", "web2", "web2.example.com", "192.0.2.2", "--quiesce", "off"}).code, 0);
}

TEST_P(QuiesceTest, AWriterFromBeforeTheSealIsFound) {
  const auto tenant = start_tenant();
  // The administrator himself kept it open, from a moment without the seal.
  const fs::path tool = skel() / "global/usr/bin/tool";
  clear_immutable(tool);
  const int writer = ::open(tool.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(writer, 0);
  set_immutable(tool);
  const ProcessResult result = vskel({"create-vs", "base", "web2", "web2.example.com", "192.0.2.2"});
  ::close(writer);
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_NE(result.err.find("usr/bin/tool"), std::string::npos) << result;
  EXPECT_FALSE(fs::exists(vserver("web2")));
  EXPECT_EQ(inconsistencies(), "");
  EXPECT_TRUE(tenant->runs());
  EXPECT_EQ(vskel({"create-vs", "base", "web2", "web2.example.com", "192.0.2.2"}).code, 0);
}

TEST_P(FullInodeTest, AKilledSplitIsUndoneOnlyWhileTenantsAreStill) {
  VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
  const std::string path = "usr/bin/tool";
  use_up_links(skel() / "global" / path, mount() / "links");
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  write_file(vservers() / "tmp_skel_base" / path, "another generation");
  // An inode that takes no further name is moved out of the old tree, and its seal is lifted to move it back.
  const auto is_moved = [&] {
    for (const std::string& id : names_in(vservers() / ".vskel/staging"))
      if (fs::exists(vservers() / ".vskel/staging" / id / "files/global" / path))
        return !fs::exists(skel() / "global.bak" / path);
    return false;
  };
  for (int when = 1; !is_moved(); ++when) {
    ASSERT_LT(when, 4) << "it was never killed with the inode moved";
    // By every backend here: what syncs is none of theirs.
    const ProcessResult killed =
        vskel_injecting(":signal=KILL:when=" + std::to_string(when), "syncfs", {"-j", "1", "split-skel", "base"});
    ASSERT_NE(killed.signal, 0) << killed;
  }
  {
    const auto tenant = start_tenant(Entry::waiting_for_child);
    const ProcessResult refused = vskel({"recover"});
    EXPECT_EQ(refused.code, 1) << refused;
    EXPECT_NE(refused.err.find("web1"), std::string::npos) << refused;
    EXPECT_TRUE(is_moved());
    EXPECT_EQ(tenant->changed(), 0U);
  }
  const auto tenant = start_tenant();
  const ProcessResult recovered = vskel({"recover"});
  EXPECT_EQ(recovered.code, 0) << recovered;
  EXPECT_TRUE(is_immutable(skel() / "global.bak" / path));
  EXPECT_EQ(tenant->changed(), 0U);
  EXPECT_TRUE(tenant->runs());
  EXPECT_EQ(vskel({"split-skel", "base"}).code, 0);
  EXPECT_EQ(inconsistencies(), "");
}

INSTANTIATE_TEST_SUITE_P(FileSystems, QuiesceTest, kAllFileSystems, kParameterName);
INSTANTIATE_TEST_SUITE_P(FileSystems, LongQuiesceTest, ::testing::Values(FileSystem::ext4, FileSystem::xfs),
                         kParameterName);
INSTANTIATE_TEST_SUITE_P(FileSystems, UnstoppableTest, kOneFileSystem, kParameterName);
INSTANTIATE_TEST_SUITE_P(FileSystems, ManyProcessesTest, kOneFileSystem, kParameterName);
INSTANTIATE_TEST_SUITE_P(FileSystems, FullInodeTest, ::testing::Values(FileSystem::ext4), kParameterName);

}  // namespace
}  // namespace vskel::test
