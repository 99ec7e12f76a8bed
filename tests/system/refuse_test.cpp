// Where seals have to be lifted nobody may run who could be a tenant of a vserver that shares them: by whatever he has
// hold of it, or hides that he has. And whoever comes in nevertheless is told of.
#include <linux/mount.h>
#include <sys/ptrace.h>

#include "tests/support/inode_extras.h"
#include "tests/support/odd_root.h"
#include "tests/support/requirement.h"
#include "tests/system/bystander.h"
#include "tests/system/hostile_tenant.h"

namespace vskel::test {
namespace {

class RefuseTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    build_base();
    create("web1", "192.0.2.1", {"--share", "hardlink"});
    fs::create_directory(mount() / "other-root");
  }

  [[nodiscard]] ProcessResult create_web2() const {
    return vskel({"create-vs", "base", "web2", "web2.example.com", "192.0.2.2"});
  }

  void expect_refused(const ProcessResult& result, const Bystander& whom) const {
    EXPECT_EQ(result.code, 1) << result;
    for (const std::string& word : {"(" + std::to_string(whom.pid()) + ")", std::string("stop it"),
                                    std::string("vskel guard start"), std::string("--quiesce freeze")})
      EXPECT_NE(result.err.find(word), std::string::npos) << word << ": " << result;
  }

  /// The command is refused while `become` is there, and not when it has gone.
  void expect_refused_with(const char* what, const std::function<pid_t()>& become) const {
    SCOPED_TRACE(what);
    {
      const Bystander bystander(become);
      ASSERT_GT(bystander.pid(), 0);
      expect_refused(create_web2(), bystander);
    }
    EXPECT_FALSE(fs::exists(vserver("web2")));
    EXPECT_EQ(inconsistencies(), "");
    const ProcessResult created = create_web2();
    EXPECT_EQ(created.code, 0) << created;
    EXPECT_EQ(vskel({"remove-vs", "web2", "--yes"}).code, 0);
  }

  [[nodiscard]] TreeSnapshot global() const { return snapshot_tree(skel() / "global"); }
  [[nodiscard]] std::unique_ptr<HostileTenant> start_tenant(Entry entry) const {
    std::vector<std::string> paths;
    for (const std::string& path : odd_root::kLinkable) paths.push_back("/" + path);
    return std::make_unique<HostileTenant>(vserver("web1"), entry, paths);
  }

  /// Whatever the command comes to: what is shared is as it was, or it says that it is not.
  void expect_told_of(Entry entry, std::chrono::milliseconds late, const std::string& how) {
    SCOPED_TRACE("--quiesce " + how);
    const TreeSnapshot before = global();
    std::unique_ptr<HostileTenant> tenant;
    if (late == 0ms) tenant = start_tenant(entry);
    const std::string number = std::to_string(++fleets_);
    Process command(this->command({"create-vs", "base", "--count", "200", "--name", "w" + number + "-%d", "--fqdn",
                                   "%s.example.com", "--ip-from", "10." + number + ".0.1", "--quiesce", how}));
    std::this_thread::sleep_for(late);
    if (!tenant) tenant = start_tenant(entry);
    const ProcessResult result = command.wait();
    tenant.reset();
    if (result.code == 0)
      EXPECT_EQ(joined(compare_snapshots(before, global(), {}, Identity::compared)), "") << result;
    else
      EXPECT_TRUE(result.code == 1 || result.code == 3) << result;
    for (const std::string& path : odd_root::kLinkable) EXPECT_TRUE(is_immutable(skel() / "global" / path)) << path;
  }

 private:
  int fleets_ = 0;
};
/// For what is the same on all file systems.
class OneRefuseTest : public RefuseTest {};

TEST_P(RefuseTest, WhoHasHoldOfAVserver) {
  const fs::path root = vserver("web1");
  expect_refused_with("root directory", [&] { return enter(root); });
  expect_refused_with("root directory below", [&] { return enter(root / "var"); });
  expect_refused_with("working directory", [&] {
    must(::chdir((root / "usr").c_str()) == 0);
    return 0;
  });
  expect_refused_with("descriptor of a directory, handed over",
                      [&] { return take_from_tenant(root, "/usr", O_PATH | O_DIRECTORY); });
  expect_refused_with("descriptor of a shared file, handed over",
                      [&] { return take_from_tenant(root, "/usr/bin/tool", O_RDONLY); });
  expect_refused_with("mapping", [&] {
    const int file = ::open((root / "usr/bin/tool").c_str(), O_RDONLY);
    must(::mmap(nullptr, 1, PROT_READ, MAP_PRIVATE, file, 0) != MAP_FAILED);
    ::close(file);
    return 0;
  });
  expect_refused_with("the skel itself", [&] {
    must(::open((skel() / "global/usr").c_str(), O_RDONLY | O_DIRECTORY) >= 0);
    return 0;
  });
}

TEST_P(RefuseTest, WhoHasAVserverMountedElsewhere) {
  const fs::path root = vserver("web1"), other = mount() / "other-root";
  expect_refused_with("beside all else", [&] {
    must(::unshare(CLONE_NEWNS) == 0);
    make_mounts_private();
    must(::mount((root / "usr").c_str(), other.c_str(), nullptr, MS_BIND, nullptr) == 0);
    return 0;
  });
  expect_refused_with("in another root", [&] {
    must(::unshare(CLONE_NEWNS) == 0);
    make_mounts_private();
    must(::mount("none", other.c_str(), "tmpfs", 0, nullptr) == 0 && ::mkdir((other / "usr").c_str(), 0755) == 0);
    must(::mount((root / "usr").c_str(), (other / "usr").c_str(), nullptr, MS_BIND, nullptr) == 0);
    return enter(other);
  });
  expect_refused_with("out of sight of its root", [&] {
    must(::unshare(CLONE_NEWNS) == 0);
    make_mounts_private();
    must(::mount("none", other.c_str(), "tmpfs", 0, nullptr) == 0);
    must(::mount((root / "usr").c_str(), "/mnt", nullptr, MS_BIND, nullptr) == 0);
    return enter(other);
  });
}

TEST_P(OneRefuseTest, WhatIsInTheKernelsHandsOfAVserver) {
  const fs::path root = vserver("web1"), other = mount() / "other-root";
  expect_refused_with("root directory of a second thread, after the first has ended", [&] {
    static fs::path where;
    where = root;
    pthread_t thread{};
    must(::pthread_create(
             &thread, nullptr,
             [](void*) -> void* {
               must(::unshare(CLONE_FS) == 0);
               enter(where);
               ::usleep(100'000);
               for (;;) ::pause();
             },
             nullptr) == 0);
    ::usleep(50'000);
    return 0;
  });
  expect_refused_with("a detached mount", [&] {
    const int usr = ::open((root / "usr").c_str(), O_PATH | O_DIRECTORY);
    must(::syscall(SYS_open_tree, usr, "", AT_EMPTY_PATH | OPEN_TREE_CLONE) >= 0);
    ::close(usr);
    return 0;
  });
  expect_refused_with("taken by pidfd_getfd(2) from who has ended since", [&] {
    std::array<int, 2> ready{};
    must(::pipe(ready.data()) == 0);
    const pid_t tenant = ::fork();
    if (tenant == 0) {
      enter(root);
      const int usr = ::open("/usr", O_RDONLY | O_DIRECTORY);
      (void)!::write(ready[1], &usr, sizeof(usr));
      for (;;) ::pause();
    }
    int usr = -1;
    must(::read(ready[0], &usr, sizeof(usr)) == sizeof(usr));
    const auto pidfd = static_cast<int>(::syscall(SYS_pidfd_open, tenant, 0));
    must(::syscall(SYS_pidfd_getfd, pidfd, usr, 0) >= 0);
    ::kill(tenant, SIGKILL);
    ::waitpid(tenant, nullptr, 0);
    return 0;
  });
  expect_refused_with("stopped", [&] {
    const pid_t tenant = ::fork();
    if (tenant == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      enter(root);
      for (;;) ::raise(SIGSTOP);
    }
    must(::waitpid(tenant, nullptr, WUNTRACED) == tenant);
    return tenant;
  });
  expect_refused_with("stopped by a tracer", [&] {
    const pid_t tenant = ::fork();
    if (tenant == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      enter(root);
      ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      for (;;) ::raise(SIGTRAP);
    }
    must(::waitpid(tenant, nullptr, WUNTRACED) == tenant);
    return tenant;
  });
  expect_refused_with("in vfork(2)", [&] {
    const pid_t tenant = ::fork();
    if (tenant == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      enter(root);
      if (::syscall(SYS_clone, CLONE_VFORK | SIGCHLD, nullptr, nullptr, nullptr, nullptr) == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        must(::chroot("/var") == 0);
        for (;;) ::pause();
      }
    }
    ::usleep(50'000);
    return tenant;
  });
}

/// An overlay has its layers by itself: no descriptor, no mount shows them.
TEST_P(RefuseTest, WhoHasAVserverAsTheLayerOfAnOverlay) {
  const fs::path root = vserver("web1"), other = mount() / "other-root";
  fs::create_directories(mount() / "lower");
  fs::create_directories(mount() / "work");
  const std::string lower = (mount() / "lower").string(), upper = (root / "usr").string(),
                    work = (mount() / "work").string();
  const auto mount_overlay = [&] {
    const std::string layers = "lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work;
    must(::mount("overlay", other.c_str(), "overlay", 0, layers.c_str()) == 0);
  };
  expect_refused_with("in mounts of its own", [&] {
    must(::unshare(CLONE_NEWNS) == 0);
    make_mounts_private();
    mount_overlay();
    return 0;
  });
  expect_refused_with("in mounts of its own, as its root", [&] {
    must(::unshare(CLONE_NEWNS) == 0);
    make_mounts_private();
    mount_overlay();
    return enter(other);
  });
  expect_refused_with("mounted nowhere", [&] {
    const auto opened = static_cast<int>(::syscall(SYS_fsopen, "overlay", 0));
    const auto set = [&](const char* key, const std::string& value) {
      must(::syscall(SYS_fsconfig, opened, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0);
    };
    set("lowerdir", lower);
    set("upperdir", upper);
    set("workdir", work);
    must(::syscall(SYS_fsconfig, opened, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0);
    must(::syscall(SYS_fsmount, opened, 0, 0) >= 0);
    ::close(opened);
    return 0;
  });
  mount_overlay();
  expect_refused_with("in the mounts of all", [&] { return enter(other); });
  ASSERT_EQ(::umount2(other.c_str(), 0), 0);
}

TEST_P(RefuseTest, WhoHidesInNamespaces) {
  expect_refused_with("user namespace", [] {
    must(::unshare(CLONE_NEWUSER) == 0);
    return 0;
  });
  expect_refused_with("pid namespace", [] {
    must(::unshare(CLONE_NEWPID) == 0);
    const pid_t first = ::fork();
    if (first == 0)
      for (;;) ::pause();
    return first;
  });
  const fs::path root = vserver("web1");
  expect_refused_with("hidden container", [&] { return hide(root, CLONE_NEWUSER | CLONE_NEWNS); });
  expect_refused_with("hidden container of the host's root", [&] { return hide(root, CLONE_NEWNS); });
}

TEST_P(OneRefuseTest, AHiddenContainersVserverIsNotRemoved) {
  const fs::path root = vserver("web1");
  const Bystander hidden([&] { return hide(root, CLONE_NEWUSER | CLONE_NEWNS); });
  ASSERT_GT(hidden.pid(), 0);
  const ProcessResult result = vskel({"remove-vs", "web1", "--yes"});
  EXPECT_EQ(result.code, 1) << result;
  EXPECT_NE(result.err.find("(" + std::to_string(hidden.pid()) + ")"), std::string::npos) << result;
  EXPECT_TRUE(fs::exists(root / "usr/bin/tool"));
}

TEST_P(OneRefuseTest, EveryCommandThatLiftsSealsIsRefused) {
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  const fs::path changed = vservers() / "tmp_skel_base/usr/share/big";
  write_file(changed, read_file(changed) + "more");
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
  const Bystander tenant([&] { return enter(vserver("web1")); });
  expect_refused(vskel({"relink", "base"}), tenant);
  expect_refused(vskel({"rollback", "base", "1"}), tenant);
  EXPECT_EQ(vskel({"relink", "base", "--quiesce", "freeze"}).code, 0);
}

TEST_P(OneRefuseTest, ATrustedControlGroupMayHaveNamespaces) {
  VSKEL_REQUIRE(ControlGroup::missing());
  const ControlGroup group;
  write_file(etc() / "vskel/vskel.toml", "[quiesce]\ntrusted = [\"" + group.name() + "\"]\n");
  const auto in_namespace = [] {
    must(::unshare(CLONE_NEWUSER) == 0);
    return 0;
  };
  const Bystander browser(in_namespace);
  expect_refused(create_web2(), browser);
  group.take(browser.pid());
  const ProcessResult created = create_web2();
  EXPECT_EQ(created.code, 0) << created;
  const Bystander tenant([&] { return enter(vserver("web1")); });
  group.take(tenant.pid());
  expect_refused(vskel({"create-vs", "base", "web3", "web3.example.com", "192.0.2.3"}), tenant);
}

TEST_P(OneRefuseTest, ASettingThatIsNoControlGroupIsRefused) {
  for (const char* text : {"trusted = [\"system.slice\"]", "distrusted = [\"/a\"]"}) {
    write_file(etc() / "vskel/vskel.toml", std::string("[quiesce]\n") + text + "\n");
    const ProcessResult result = create_web2();
    EXPECT_EQ(result.code, 2) << result;
    EXPECT_NE(result.err.find("trusted"), std::string::npos) << result;
  }
}

TEST_P(OneRefuseTest, TheAdministratorMayStandInVservers) {
  std::string line;
  for (const std::string& word : command({"create-vs", "base", "web2", "web2.example.com", "192.0.2.2"}))
    line += "'" + word + "' ";
  ProcessOptions options;
  options.directory = vservers();
  const ProcessResult result = run({"sh", "-c", "{ " + line + " && echo done; } 2>&1 | cat"}, options);
  EXPECT_NE(result.out.find("done"), std::string::npos) << result;
}

TEST_P(RefuseTest, WhoComesLaterIsSeenOrToldOf) {
  expect_told_of(Entry::chroot, 700ms, "refuse");
  expect_told_of(Entry::chroot, 700ms, "freeze");
}

TEST_P(RefuseTest, WhatAChainOfForksDidIsToldOf) {
  expect_told_of(Entry::chain_of_forks, 700ms, "refuse");
  expect_told_of(Entry::chain_of_forks, 0ms, "refuse");
  expect_told_of(Entry::chain_of_forks, 0ms, "freeze");
}

INSTANTIATE_TEST_SUITE_P(FileSystems, RefuseTest, kAllFileSystems, kParameterName);
INSTANTIATE_TEST_SUITE_P(FileSystems, OneRefuseTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
