// How long a tenant stands still at a time while commands lift seals under --quiesce freeze: measured by himself.
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/system/hostile_tenant.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

const std::string kFiles = "usr/share/many";

/// A process inside a vserver that looks at the clock a thousand times a second.
class Clockwatcher {
 public:
  explicit Clockwatcher(const fs::path& root)
      : told_(new (::mmap(nullptr, sizeof(Seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Seen),
        pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::chroot(root.c_str()) != 0 || ::chdir("/") != 0) ::_exit(1);
    for (auto last = std::chrono::steady_clock::now();;) {
      const timespec pause{0, 1'000'000};
      ::nanosleep(&pause, nullptr);
      const auto now = std::chrono::steady_clock::now();
      const auto gap = std::chrono::round<std::chrono::milliseconds>(now - last).count();
      last = now;
      if (gap > told_->longest) told_->longest = gap;
      ++told_->looks;
    }
  }
  ~Clockwatcher() {
    ::kill(pid_, SIGKILL);
    ::kill(pid_, SIGCONT);
    ::waitpid(pid_, nullptr, 0);
    ::munmap(told_, sizeof(Seen));
  }
  Clockwatcher(const Clockwatcher&) = delete;
  Clockwatcher& operator=(const Clockwatcher&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Milliseconds, since the last call. Waits until he has looked again.
  [[nodiscard]] std::int64_t take_longest_gap() const {
    const std::uint64_t before = told_->looks;
    for (int waited = 0; told_->looks < before + 2 && waited < 1000; ++waited) std::this_thread::sleep_for(10ms);
    EXPECT_GE(told_->looks, before + 2);
    return told_->longest.exchange(0);
  }

 private:
  struct Seen {
    std::atomic<std::int64_t> longest{0};
    std::atomic<std::uint64_t> looks{0};
  };
  Seen* told_;
  pid_t pid_;
};

class HeldWindowsTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    quiesce_by("freeze");
    fs::create_directories(source() / kFiles);
    for (int number = 0; number < 3000; ++number)
      write_file(source() / kFiles / std::to_string(number), "first " + std::to_string(number));
    build_base();
    create("web1", "192.0.2.1", {"--share", "hardlink"});
  }
};

TEST_P(HeldWindowsTest, TwentyVserversWithThreeThousandFilesInOneDirectory) {
  std::optional<ControlGroup> group;
  if (!ControlGroup::missing()) group.emplace();
  const Clockwatcher by_group(vserver("web1")), by_signal(vserver("web1"));
  if (group) group->take(by_group.pid());
  const auto longest_gap = [&] { return std::max(by_group.take_longest_gap(), by_signal.take_longest_gap()); };
  Arguments removal = {"-v", "remove-vs", "--yes"};
  for (int number = 1; number <= 20; ++number) removal.push_back("w" + std::to_string(number));
  const std::vector<Arguments> commands = {{"-v", "create-vs", "base", "--count", "20", "--name", "w%d", "--fqdn",
                                            "%s.example.com", "--ip-from", "10.0.0.1"},
                                           {"merge-skel", "base"},
                                           {"-v", "split-skel", "base"},
                                           {"-v", "relink", "base"},
                                           {"-v", "rollback", "base", "1"},
                                           {"-v", "prune", "base"},
                                           removal};
  (void)longest_gap();
  for (const Arguments& command : commands) {
    SCOPED_TRACE(command[1]);
    const ProcessResult result = vskel(command);
    ASSERT_EQ(result.code, 0) << result;
    const std::int64_t gap = longest_gap();
    EXPECT_LE(gap, 1200) << result.err;
    RecordProperty(command[1], std::to_string(gap));
    if (command.front() == "-v") {
      EXPECT_NE(result.err.find("held web1"), std::string::npos) << result.err;
    } else {
      for (int number = 0; number < 3000; ++number)
        write_file(vservers() / "tmp_skel_base" / kFiles / std::to_string(number), "second " + std::to_string(number));
      (void)longest_gap();
    }
  }
  EXPECT_EQ(read_file(vserver("web1") / kFiles / "2999"), "second 2999");
  EXPECT_EQ(names_in(vservers() / ".vskel/trash"), std::set<std::string>{});
  EXPECT_EQ(inconsistencies(), "");
}

INSTANTIATE_TEST_SUITE_P(FileSystems, HeldWindowsTest, ::testing::Values(FileSystem::ext4, FileSystem::xfs),
                         kParameterName);

}  // namespace
}  // namespace vskel::test
