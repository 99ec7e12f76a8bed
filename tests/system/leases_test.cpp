// Write leases of a tenant on files that he shares: whoever opens them waits until he lets go, or the kernel has him.
// Then it is said who it is.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <system_error>

#include "tests/support/inode_extras.h"
#include "tests/support/odd_root.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

enum class LetsGo { after_a_second, never };

/// A process that holds write leases on files.
class LeaseHolder {
 public:
  LeaseHolder(const std::vector<fs::path>& paths, LetsGo lets_go) {
    std::array<int, 2> ready{};
    if (::pipe2(ready.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    pid_ = ::fork();
    if (pid_ == 0) hold(paths, lets_go, ready[1]);
    ::close(ready[1]);
    char got = 0;
    holds_ = ::read(ready[0], &got, 1) == 1;
    ::close(ready[0]);
  }
  ~LeaseHolder() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  LeaseHolder(const LeaseHolder&) = delete;
  LeaseHolder& operator=(const LeaseHolder&) = delete;
  [[nodiscard]] bool holds() const { return holds_; }
  [[nodiscard]] std::string in_words() const { return "process leaser (" + std::to_string(pid_) + ") holds a lease"; }

 private:
  [[noreturn]] static void hold(const std::vector<fs::path>& paths, LetsGo lets_go, int ready) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_NAME, "leaser");
    sigset_t break_asked;
    ::sigemptyset(&break_asked);
    ::sigaddset(&break_asked, SIGIO);
    ::sigprocmask(SIG_BLOCK, &break_asked, nullptr);
    std::vector<int> files;
    for (const fs::path& path : paths) {
      files.push_back(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
      if (::fcntl(files.back(), F_SETLEASE, F_WRLCK) != 0) ::_exit(1);
    }
    (void)!::write(ready, "y", 1);
    int signal = 0;
    ::sigwait(&break_asked, &signal);
    if (lets_go == LetsGo::after_a_second) {
      ::sleep(1);
      for (const int file : files) ::fcntl(file, F_SETLEASE, F_UNLCK);
    }
    for (;;) ::pause();
  }

  pid_t pid_ = -1;
  bool holds_ = false;
};

class LeasesTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    build_base();
    create("web1", "192.0.2.1", {"--share", "hardlink"});
    // Something for relink to compare with the skel's.
    const std::string name = odd_root::kLinkable.front();
    const fs::path path = vserver("web1") / name;
    const std::string content = read_file(path);
    const auto time = fs::last_write_time(path);
    const auto mode = fs::status(path).permissions();
    clear_immutable(path);
    fs::remove(path);
    set_immutable(skel() / "global" / name);
    write_file(path, content);
    fs::permissions(path, mode);
    fs::last_write_time(path, time);
  }

  /// Of each inode one name: a process that has a write lease on it can't have another.
  [[nodiscard]] std::vector<fs::path> shared() const {
    std::vector<fs::path> out;
    std::set<std::uint64_t> seen;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(skel() / "global"))
      if (entry.is_regular_file() && !entry.is_symlink() && is_immutable(entry.path()) &&
          seen.insert(inode_of(entry.path())).second)
        out.push_back(entry.path());
    EXPECT_GT(out.size(), 5U);
    return out;
  }
};

TEST_P(LeasesTest, AreWaitedFor) {
  take_away({468, 469});  // without file_getattr and file_setattr flags are set by opening
  for (const Arguments& arguments :
       {Arguments{"verify", "base"},
        Arguments{"create-vs", "base", "web2", "web2.example.com", "192.0.2.2", "--share", "copy"},
        Arguments{"create-vs", "base", "web3", "web3.example.com", "192.0.2.3", "--quiesce", "off"},
        Arguments{"relink", "base", "--quiesce", "off"}, Arguments{"merge-skel", "base"}}) {
    const LeaseHolder holder(shared(), LetsGo::after_a_second);
    ASSERT_TRUE(holder.holds());
    const ProcessResult result = vskel(arguments);
    EXPECT_EQ(result.code, 0) << arguments.front() << result;
  }
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(LeasesTest, WhoNeverLetsGoIsNamed) {
  const LeaseHolder holder(shared(), LetsGo::never);
  ASSERT_TRUE(holder.holds());
  const auto start = std::chrono::steady_clock::now();
  Process verify(command({"verify", "base", "-j", "1"}));
  const ProcessResult copy =
      vskel({"create-vs", "base", "web2", "web2.example.com", "192.0.2.2", "--share", "copy", "-j", "1"});
  const ProcessResult verified = verify.wait();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
  EXPECT_EQ(copy.code, 1) << copy;
  EXPECT_NE(copy.err.find(holder.in_words()), std::string::npos) << copy;
  EXPECT_FALSE(fs::exists(vserver("web2")));
  EXPECT_EQ(verified.code, 1) << verified;
  EXPECT_NE(verified.err.find(holder.in_words()), std::string::npos) << verified;
}

INSTANTIATE_TEST_SUITE_P(On, LeasesTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
