// The kernel's own seat-belt: what a command has open below VSERVERS is in a mount that follows no link, opens no
// device and runs no program, whatever its own checks overlook; and nobody notices it but by that.
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

/// A directory that a process has open.
struct OpenDirectory {
  fs::path by;  ///< /proc/PID/fd/N
  std::string path;
  std::uint64_t inode = 0;
  int mount = 0;
};

int code_of_open(const fs::path& path) {
  const int number = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (number < 0) return errno;
  ::close(number);
  return 0;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class MountCloneTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    build_base();
  }
  void TearDown() override {
    for (auto path = mounted_.rbegin(); path != mounted_.rend(); ++path) ::umount2(path->c_str(), MNT_DETACH);
  }

  void mount_on(const fs::path& path, const char* bound = nullptr) {
    const int done = bound == nullptr ? ::mount("tmpfs", path.c_str(), "tmpfs", 0, nullptr)
                                      : ::mount(bound, path.c_str(), nullptr, MS_BIND, nullptr);
    ASSERT_EQ(done, 0) << path << ": " << std::strerror(errno);
    mounted_.push_back(path);
  }
  void unmount_all() {
    for (const fs::path& path : std::exchange(mounted_, {})) EXPECT_EQ(::umount2(path.c_str(), 0), 0) << path;
  }

  /// A command that has opened all that it works in and waits for its standard input.
  [[nodiscard]] std::unique_ptr<Process> waiting_command() const {
    ProcessOptions options;
    options.input = "no archive";  // which comes when somebody waits for the process
    auto process = std::make_unique<Process>(command({"build-skel", "second", "--from", "-"}), options);
    for (int tries = 0; names_in(vservers() / ".vskel/journal").empty() && tries < 500; ++tries)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_FALSE(names_in(vservers() / ".vskel/journal").empty()) << "it has not begun";
    return process;
  }

  /// All directories of the test's file system that a process has open.
  [[nodiscard]] std::vector<OpenDirectory> open_directories_of(pid_t pid) const {
    const fs::path proc = "/proc/" + std::to_string(pid);
    struct stat ours {};
    EXPECT_EQ(::stat(vservers().c_str(), &ours), 0);
    std::vector<OpenDirectory> out;
    for (const fs::directory_entry& entry : fs::directory_iterator(proc / "fd")) {
      struct stat status {};
      if (::stat(entry.path().c_str(), &status) != 0 || !S_ISDIR(status.st_mode) || status.st_dev != ours.st_dev)
        continue;
      OpenDirectory open{entry.path(), fs::read_symlink(entry.path()), status.st_ino, 0};
      std::istringstream info(read_file(proc / "fdinfo" / entry.path().filename()));
      for (std::string word; info >> word;)
        if (word == "mnt_id:") info >> open.mount;
      out.push_back(std::move(open));
    }
    return out;
  }

  std::vector<fs::path> mounted_;
};

std::set<int> mounts_here() {
  std::set<int> ids;
  std::ifstream lines("/proc/self/mountinfo");
  for (std::string line; std::getline(lines, line);) ids.insert(std::stoi(line));
  return ids;
}

TEST_P(MountCloneTest, WhatACommandHasOpenFollowsNoLinkOpensNoDeviceAndRunsNothing) {
  create("web1", "192.0.2.1");
  fs::create_symlink("/etc/passwd", vserver("web1") / "link");
  fs::create_directory_symlink("/", vserver("web1") / "way-out");
  fs::copy_file("/bin/true", vserver("web1") / "program");
  ASSERT_EQ(::mknod((vserver("web1") / "device").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  fs::create_directory(vserver("web1") / "mounted");
  mount_on(vserver("web1") / "mounted");
  write_file(vserver("web1") / "mounted/file", "not yours");

  const auto process = waiting_command();
  const std::set<int> visible = mounts_here();
  std::size_t in_clone = 0;
  std::vector<std::string> as_mounted;
  bool has_root = false;
  for (const OpenDirectory& open : open_directories_of(process->pid())) {
    if (visible.contains(open.mount)) {
      // One, to know by where the clone is from.
      if (open.path.starts_with(vservers().string())) as_mounted.push_back(open.path);
      continue;
    }
    ++in_clone;
    if (open.inode != inode_of(vservers())) continue;
    has_root = true;
    EXPECT_EQ(code_of_open(open.by / "web1/etc/hosts"), 0);
    EXPECT_EQ(code_of_open(open.by / "web1/link"), ELOOP);
    EXPECT_EQ(code_of_open(open.by / "web1/way-out/etc/passwd"), ELOOP);
    EXPECT_EQ(code_of_open(open.by / "web1/device"), EACCES);
    EXPECT_EQ(code_of_open(open.by / "web1/mounted/file"), ENOENT);
    EXPECT_EQ(::access((open.by / "web1/program").c_str(), R_OK), 0);
    EXPECT_EQ(::access((open.by / "web1/program").c_str(), X_OK), -1);
  }
  EXPECT_TRUE(has_root);
  EXPECT_GE(in_clone, 6U) << "VSERVERS, .skel, journal, locks, staging, trash";
  EXPECT_EQ(as_mounted, std::vector<std::string>{vservers()});
  EXPECT_EQ(code_of_open(vserver("web1") / "link"), 0) << "else the above says nothing";
  (void)process->wait();
}

TEST_P(MountCloneTest, NothingIsLeftMountedByACommandThatIsKilled) {
  const auto process = waiting_command();
  EXPECT_EQ(::umount2(mount().c_str(), 0), -1) << "the file system is in use";
  ASSERT_EQ(::kill(process->pid(), SIGKILL), 0);
  (void)process->wait();
  int code = -1;
  for (int tries = 0; code != 0 && tries < 100; ++tries) {
    code = ::umount2(mount().c_str(), 0);
    if (code != 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(code, 0) << std::strerror(errno);
}

TEST_P(MountCloneTest, AVserverThatIsMountedOverIsToldAndLeftAlone) {
  create("web1", "192.0.2.1");
  create("web2", "192.0.2.2");
  const TreeSnapshot before = snapshot_tree(vserver("web1"));
  mount_on(vserver("web1"));
  const std::string refused = vserver("web1").string() + ": Invalid cross-device link";
  const ProcessResult relinked = vskel({"relink", "base"});
  EXPECT_EQ(relinked.code, 3) << relinked;
  EXPECT_NE(relinked.err.find("vskel: relink " + refused), std::string::npos) << relinked;
  EXPECT_NE(vskel({"list"}).out.find("open " + refused), std::string::npos);
  const ProcessResult ran = vskel({"run-plugins", "web1"});
  EXPECT_EQ(ran.code, 1) << ran;
  EXPECT_NE(ran.err.find("vskel: open " + refused), std::string::npos) << ran;
  EXPECT_TRUE(fs::is_empty(vserver("web1"))) << "what is mounted there";
  unmount_all();
  EXPECT_EQ(joined(compare_snapshots(before, snapshot_tree(vserver("web1")))), "");
}

TEST_P(MountCloneTest, AMergedSkelThatIsMountedInIsNotSplit) {
  EXPECT_EQ(vskel({"merge-skel", "base"}).code, 0);
  const fs::path merged = vservers() / "tmp_skel_base";
  mount_on(merged / "proc");
  const ProcessResult split = vskel({"split-skel", "base"});
  EXPECT_EQ(split.code, 1) << split;
  EXPECT_NE(split.err.find((merged / "proc").string() + ": another file system: unmount it"), std::string::npos)
      << split;
  unmount_all();
  EXPECT_EQ(vskel({"split-skel", "base"}).code, 0);
}

TEST_P(MountCloneTest, PluginsRunInTheVserverAsItIsMounted) {
  const fs::path plugin = skel() / "scripts/post-create-vs/10-look";
  write_file(
      plugin,
      "#!/bin/sh\npwd -P > where\nln -s where link\ncat link > read\ncp /bin/true own\n./own && echo ran >> read\n");
  fs::permissions(plugin, fs::perms(0755));
  create("web1", "192.0.2.1");
  EXPECT_EQ(read_file(vserver("web1") / "where"), vserver("web1").string() + "\n");
  EXPECT_EQ(read_file(vserver("web1") / "read"), vserver("web1").string() + "\nran\n");
}

TEST_P(MountCloneTest, WithoutItAllIsDoneAndOneLineTells) {
  VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
  const Arguments web1 = {"create-vs", "base", "web1", "web1.example.com", "192.0.2.1"};
  const ProcessResult contained = vskel_injecting(":error=EPERM", "open_tree", web1);
  EXPECT_EQ(contained.code, 0) << contained;
  EXPECT_NE(contained.err.find("vskel: clone mount " + vservers().string() + ": Operation not permitted; "),
            std::string::npos)
      << contained;
  EXPECT_EQ(count_of(contained.err, "clone mount"), 1U) << contained;
  const ProcessResult old = vskel_injecting(":error=ENOSYS", "mount_setattr", {"relink", "base"});
  EXPECT_EQ(old.code, 0) << old;
  EXPECT_EQ(count_of(old.err, "clone mount"), 1U) << old;
  const ProcessResult without_flag = vskel_injecting(":error=EINVAL:when=1", "mount_setattr", {"list"});
  EXPECT_EQ(without_flag.code, 0) << without_flag;
  EXPECT_EQ(count_of(without_flag.err, "no nosymfollow"), 1U) << without_flag;
  const ProcessResult trouble = vskel_injecting(":error=ENOMEM", "open_tree", {"list"});
  EXPECT_EQ(trouble.code, 1) << trouble;
  EXPECT_EQ(vskel({"list"}).err, "");
  EXPECT_EQ(vskel({"remove-vs", "--yes", "web1"}).err.find("clone mount"), std::string::npos);
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(MountCloneTest, AStoreOfSeveralMountsIsReadWithoutItAndOneLineTells) {
  create("web1", "192.0.2.1");
  mount_on(vservers() / ".skel", (vservers() / ".skel").c_str());
  for (const Arguments& reading : {Arguments{"list"}, Arguments{"show", "web1"}, Arguments{"verify"}}) {
    const ProcessResult result = vskel(reading);
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(count_of(result.err, "clone mount " + vservers().string() + ": something is mounted on .skel; "), 1U)
        << result;
  }
}

INSTANTIATE_TEST_SUITE_P(On, MountCloneTest, ::testing::Values(FileSystem::ext4, FileSystem::tmpfs), kParameterName);

}  // namespace
}  // namespace vskel::test
