// In a clone of a mount the kernel itself follows no link, opens no device and runs no program, and this room makes up
// for what such a clone does not have.

#include "engine/sys/mount_clone.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <optional>

#include "engine/sys/kernel.h"
#include "engine/sys/process.h"
#include "engine/sys/processes.h"
#include "engine/sys/seam.h"
#include "tests/support/file_system.h"
#include "tests/support/requirement.h"
#include "tests/support/temporary_directory.h"

namespace vskel::sys {
namespace {

namespace fs = std::filesystem;

/// errno of an open that none of our checks stands before; 0 if it opened.
int code_of_open(const Fd& dir, const char* path, int flags = O_RDONLY | O_NONBLOCK) {
  const Fd opened(::openat(dir.number(), path, flags | O_CLOEXEC));
  return opened.open() ? 0 : errno;
}

/// errno of running a program that a descriptor and a path lead to; 0 if it ran.
int code_of_execution(const Fd& dir, const std::string& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    const char* const arguments[] = {"true", nullptr};
    const char* const environment[] = {nullptr};
    ::fexecve(::openat(dir.number(), path.c_str(), O_PATH | O_CLOEXEC), const_cast<char**>(arguments),
              const_cast<char**>(environment));
    ::_exit(errno);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

class MountCloneTest : public testing::TestWithParam<test::FileSystem> {
 protected:
  void SetUp() override {
    engine_start();
    VSKEL_REQUIRE(test::missing_for_mount(GetParam()));
    mount_ = std::make_unique<test::ScopedLoopMount>(GetParam(), scratch_.path());
    top_ = mount_->path() / "top";
    fs::create_directories(top_ / "web1/usr/bin");
    fs::create_directories(top_ / "web2");
    std::ofstream(top_ / "web1/file") << "text";
    fs::copy_file("/bin/true", top_ / "web1/usr/bin/true");
    fs::create_symlink("file", top_ / "web1/to-file");
    fs::create_directory_symlink("/etc", top_ / "web1/to-etc");
    ASSERT_EQ(::mknod((top_ / "web1/null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  }
  void TearDown() override {
    for (auto path = mounted_.rbegin(); path != mounted_.rend(); ++path) ::umount2(path->c_str(), MNT_DETACH);
  }

  void mount_on(const fs::path& path) {
    ASSERT_EQ(::mount("tmpfs", path.c_str(), "tmpfs", 0, nullptr), 0) << path;
    mounted_.push_back(path);
  }

  [[nodiscard]] DirFd plain() const { return *open_root(top_); }

  test::TemporaryDirectory scratch_;
  std::unique_ptr<test::ScopedLoopMount> mount_;
  fs::path top_;
  std::vector<fs::path> mounted_;
};

TEST_P(MountCloneTest, StopsLinksDevicesAndPrograms) {
  const DirFd original = plain();
  const MountClone clone = *MountClone::of(original);
  const DirFd root = *clone.open_root();
  ASSERT_TRUE(clone.stops_links());
  for (const char* link : {"web1/to-file", "web1/to-etc/passwd"}) {
    EXPECT_EQ(code_of_open(original, link), 0) << link;
    EXPECT_EQ(code_of_open(root, link), ELOOP) << link;
  }
  EXPECT_EQ(code_of_open(original, "web1/null"), 0);
  EXPECT_EQ(code_of_open(root, "web1/null"), EACCES);
  EXPECT_EQ(code_of_execution(original, "web1/usr/bin/true"), 0);
  EXPECT_EQ(code_of_execution(root, "web1/usr/bin/true"), EACCES);
  EXPECT_EQ(code_of_open(root, "web1/file"), 0);
  EXPECT_EQ(code_of_open(root, "../.."), 0);
  EXPECT_EQ(code_of_open(root, "../../../../../../etc/passwd"), ENOENT) << "there is nothing above it";
}

TEST_P(MountCloneTest, IsOneToWhomNamesAreMadeIn) {
  const DirFd original = plain(), web1 = *open_dir(original, "web1");
  const MountClone clone = *MountClone::of(original);
  const DirFd root = *clone.open_root(), inside = *open_dir(root, "web1"), other = *open_dir(root, "web2");
  EXPECT_TRUE(link(inside, "file", other, "linked"));
  EXPECT_TRUE(rename_new(other, "linked", inside, "moved"));
  EXPECT_TRUE(exchange(inside, "moved", inside, "file"));
  EXPECT_TRUE(set_mode(inside, "file", 04755)) << "bits are set, they only do not count here";
  EXPECT_TRUE(make_node(inside, "device", FileType::character, 0600, makedev(1, 3)));
  EXPECT_EQ(*read_link(inside, "to-file"), "file");
  EXPECT_TRUE(xattrs(inside, "to-file"));
  const auto across = link(web1, "file", other, "across");
  ASSERT_FALSE(across);
  EXPECT_EQ(across.error().code, EXDEV);
}

TEST_P(MountCloneTest, TellsThePathsOfTheOriginal) {
  const MountClone clone = *MountClone::of(plain());
  const DirFd root = *clone.open_root(), inside = *open_dirs(root, "web1/usr");
  EXPECT_EQ(path_of(root), top_);
  EXPECT_EQ(path_of(inside), top_ / "web1/usr");
  const auto missing = open_dir(inside, "lib");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().path, top_ / "web1/usr/lib");
  EXPECT_EQ(path_of(*open_root("/")), "/");
}

TEST_P(MountCloneTest, HasThePlaceOfTheOriginal) {
  const DirFd original = plain();
  const MountClone clone = *MountClone::of(original);
  const auto place = *place_in_file_system(*open_dir(*clone.open_root(), "web1"));
  const auto expected = *place_in_file_system(*open_dir(original, "web1"));
  ASSERT_TRUE(expected);
  ASSERT_TRUE(place);
  EXPECT_EQ(place->device, expected->device);
  EXPECT_EQ(place->root, expected->root);
}

TEST_P(MountCloneTest, LetsProgramsRunInTheOriginal) {
  const MountClone clone = *MountClone::of(plain());
  const DirFd inside = *open_dir(*clone.open_root(), "web1");
  const Fd shell = *open_trusted_program(*open_root("/bin"), "sh");
  ChildSpec spec;
  spec.program = &shell;
  spec.arguments = {"sh", "-c", "pwd -P; read -r line < to-file; echo $line; usr/bin/true && echo ran"};
  spec.environment = {"PATH=/bin"};
  spec.working_directory = &inside;
  const auto ran = run_child(spec);
  ASSERT_TRUE(ran) << ran.error().line();
  EXPECT_EQ(ran->output, (top_ / "web1").string() + "\ntext\nran\n");
}

TEST_P(MountCloneTest, AProgramIsRefusedADirectoryThatMovedAway) {
  const MountClone clone = *MountClone::of(plain());
  const DirFd inside = *open_dir(*clone.open_root(), "web1");
  const Fd shell = *open_trusted_program(*open_root("/bin"), "sh");
  fs::remove_all(top_ / "web1");
  fs::create_directory(top_ / "web1");
  ChildSpec spec;
  spec.program = &shell;
  spec.arguments = {"sh", "-c", "echo ran"};
  spec.working_directory = &inside;
  EXPECT_FALSE(run_child(spec));
}

TEST_P(MountCloneTest, RefusesWhatSomethingIsMountedOnAndDoesNotSeeWhatIsInIt) {
  fs::create_directories(top_ / "web1/dev");
  std::ofstream(top_ / "web1/dev/covered") << "x";
  mount_on(top_ / "web1/dev");
  mount_on(top_ / "web2");
  std::ofstream(top_ / "web2/within") << "x";
  fs::create_directory(top_ / "web2/sub");
  mount_on(top_ / "web2/sub");
  ASSERT_EQ(::mount((top_ / "web1/null").c_str(), (top_ / "web1/file").c_str(), nullptr, MS_BIND, nullptr), 0);
  mounted_.push_back(top_ / "web1/file");
  fs::create_hard_link(top_ / "web1/usr/bin/true", top_ / "web1/usr/bin/again");
  ASSERT_EQ(::mount((top_ / "web1/null").c_str(), (top_ / "web1/usr/bin/true").c_str(), nullptr, MS_BIND, nullptr), 0);
  mounted_.push_back(top_ / "web1/usr/bin/true");

  const MountClone clone = *MountClone::of(plain());
  EXPECT_EQ(clone.mount_points(), (std::vector<std::string>{"web1/dev", "web1/file", "web1/usr/bin/true", "web2"}));
  const DirFd root = *clone.open_root(), web1 = *open_dir(root, "web1"), bin = *open_dirs(root, "web1/usr/bin");
  for (const auto& [dir, name] : {std::pair(&root, Name("web2")), std::pair(&web1, Name("dev"))}) {
    const auto opened = open_dir(*dir, name);
    ASSERT_FALSE(opened) << name.view();
    EXPECT_EQ(opened.error().code, EXDEV) << name.view();
  }
  for (const auto& [dir, name] : {std::pair(&web1, Name("file")), std::pair(&bin, Name("true"))}) {
    const auto pinned = pin_if_there(*dir, name);
    ASSERT_FALSE(pinned) << name.view();
    EXPECT_EQ(pinned.error().code, EXDEV) << name.view();
    EXPECT_EQ(open_trusted_file(*dir, name).error().code, EXDEV) << name.view();
  }
  EXPECT_TRUE(open_file(bin, "again")) << "another name of the inode is not mounted on";
  EXPECT_TRUE(stat(*open_dir_crossing(web1, "dev"), "covered"));
  EXPECT_EQ(stat(*open_dir_crossing(root, "web2"), "within").error().code, ENOENT);
  EXPECT_EQ(remove_dir(root, "web2").error().code, EBUSY) << "the kernel's own word";
}

TEST_P(MountCloneTest, IsNotShownWhatIsMountedLater) {
  ASSERT_EQ(::mount(nullptr, mount_->path().c_str(), nullptr, MS_SHARED, nullptr), 0);
  const MountClone clone = *MountClone::of(plain());
  const DirFd root = *clone.open_root();
  mount_on(top_ / "web2");
  std::ofstream(top_ / "web2/within") << "x";
  const auto web2 = open_dir(root, "web2");
  ASSERT_TRUE(web2);
  EXPECT_EQ(stat(*web2, "within").error().code, ENOENT);
}

TEST_P(MountCloneTest, GoesWithItsDescriptors) {
  {
    std::optional<DirFd> kept;
    {
      const MountClone clone = *MountClone::of(plain());
      kept = *clone.open_root();
      EXPECT_EQ(::umount2(mount_->path().c_str(), 0), -1);
      EXPECT_EQ(errno, EBUSY) << "nobody takes the file system away unseen";
    }
    EXPECT_TRUE(stat(*kept, "web1")) << "a descriptor that outlives it is still good";
  }
  EXPECT_EQ(::umount2(mount_->path().c_str(), 0), 0) << errno;
}

/// Answers one call with an errno.
class Refusal : public Seam {
 public:
  Refusal(std::string call, int code, unsigned times) : call_(std::move(call)), code_(code), times_(times) {
    install_seam(this);
  }
  ~Refusal() override { install_seam(nullptr); }
  Refusal(const Refusal&) = delete;
  Refusal& operator=(const Refusal&) = delete;
  int before(const char* call, bool /*changes*/, int /*dir*/, const char* /*name*/) override {
    if (call != call_ || times_ == 0) return kRun;
    --times_;
    return code_;
  }

 private:
  std::string call_;
  int code_;
  unsigned times_;
};

TEST_P(MountCloneTest, WithoutTheFlagOfLinuxFivePointFourteenStopsDevicesAndPrograms) {
  std::optional<MountClone> clone;
  {
    const Refusal old_kernel("mount_setattr", EINVAL, 1);
    clone = *MountClone::of(plain());
  }
  EXPECT_FALSE(clone->stops_links());
  const DirFd root = *clone->open_root();
  EXPECT_EQ(code_of_open(root, "web1/to-file"), 0);
  EXPECT_EQ(code_of_open(root, "web1/null"), EACCES);
  EXPECT_EQ(code_of_execution(root, "web1/usr/bin/true"), EACCES);
}

TEST_P(MountCloneTest, TellsARefusalOfTheKernelFromATrouble) {
  for (const char* call : {"open_tree", "mount_setattr"}) {
    for (const int code : {ENOSYS, EPERM, EACCES, EINVAL}) {
      const Refusal refusal(call, code, 2);
      const auto clone = MountClone::of(plain());
      ASSERT_FALSE(clone);
      EXPECT_TRUE(MountClone::is_refusal(clone.error())) << call << " " << code;
      EXPECT_EQ(clone.error().path, top_);
    }
    const Refusal trouble(call, ENOMEM, 1);
    EXPECT_FALSE(MountClone::is_refusal(MountClone::of(plain()).error())) << call;
  }
}

INSTANTIATE_TEST_SUITE_P(On, MountCloneTest,
                         testing::Values(test::FileSystem::ext4, test::FileSystem::xfs, test::FileSystem::btrfs,
                                         test::FileSystem::tmpfs),
                         [](const auto& one) { return test::file_system_name(one.param); });

}  // namespace
}  // namespace vskel::sys
