// Whoever asks a command to end, or to stop, in the middle of it (safety.md, 10): shared files are sealed and tenants
// go on before it does, and nothing half-made is left that is not undone or finished.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "tests/support/requirement.h"
#include "tests/system/hostile_tenant.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

const std::string kPieces = "usr/share/pieces";

std::string signal_word(int signal) { return "SIG" + std::string(::sigabbrev_np(signal)); }

/// Whether a process is stopped by a signal.
bool is_stopped(pid_t pid) {
  return read_file("/proc/" + std::to_string(pid) + "/stat").find(") T ") != std::string::npos;
}

bool comes_true(const std::function<bool()>& condition, std::chrono::seconds patience = 20s) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

/// How a child of this process ends: the signal, or minus its exit status.
int end_of(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

class SignalTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
    VSKEL_REQUIRE(ControlGroup::missing());
    quiesce_by("freeze");
    fs::create_directories(source() / kPieces);
    for (int number = 0; number < pieces(); ++number)
      write_file(source() / kPieces / std::to_string(number), "piece " + std::to_string(number));
    build_base();
    create("web1", "192.0.2.1", {"--share", "hardlink"});
    group_ = std::make_unique<ControlGroup>();
    frozen_ = start_tenant();
    stopped_ = start_tenant();
    group_->take(frozen_->pid());
  }
  void TearDown() override {
    stopped_.reset();
    frozen_.reset();
    group_.reset();
    VskelTest::TearDown();
  }

  [[nodiscard]] virtual int pieces() const { return 40; }

  [[nodiscard]] std::unique_ptr<HostileTenant> start_tenant() const {
    auto tenant = std::make_unique<HostileTenant>(vserver("web1"), Entry::chroot,
                                                  std::vector<std::string>{"/" + kPieces + "/0", "/" + kPieces + "/1"});
    EXPECT_TRUE(tenant->runs());
    return tenant;
  }

  [[nodiscard]] bool anybody_is_held() const { return group_->is_frozen() || is_stopped(stopped_->pid()); }

  void expect_sealed_and_running() const {
    EXPECT_FALSE(group_->is_frozen());
    EXPECT_TRUE(frozen_->runs());
    EXPECT_TRUE(stopped_->runs());
    EXPECT_EQ(frozen_->changed() + stopped_->changed(), 0U);
    const std::string found = inconsistencies();
    EXPECT_EQ(found.find("not sealed"), std::string::npos) << found;
  }

  /// After a command has ended, however it did.
  void expect_nothing_left() const {
    expect_sealed_and_running();
    EXPECT_EQ(names_in(vservers() / ".vskel/journal"), std::set<std::string>{});
    // What is left in the trash and the staging the next command takes away.
    const ProcessResult recovered = vskel({"recover"});
    EXPECT_EQ(recovered.code, 0) << recovered;
    EXPECT_EQ(names_in(vservers() / ".vskel/staging"), std::set<std::string>{});
    EXPECT_EQ(names_in(vservers() / ".vskel/trash"), std::set<std::string>{});
    EXPECT_EQ(inconsistencies(), "");
  }

  /// A command with the descriptors 0 to 2 that it is given, in a process group of its own, or in what `before` makes.
  [[nodiscard]] pid_t start(const Arguments& arguments, std::array<int, 3> standard,
                            const std::function<void()>& before = {}) const {
    Arguments all = command(arguments);
    std::vector<char*> pointers;
    for (std::string& one : all) pointers.push_back(one.data());
    pointers.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int fd = 0; fd < 3; ++fd) {
      const int given = standard[static_cast<std::size_t>(fd)];
      if (given >= 0)
        ::dup2(given, fd);
      else
        ::close(fd);
    }
    if (before)
      before();
    else
      ::setpgid(0, 0);
    ::execv(pointers.front(), pointers.data());
    ::_exit(127);
  }
  [[nodiscard]] pid_t start(const Arguments& arguments) const { return start(arguments, {null_, null_, null_}); }

  /// Twenty vservers: half a second and more in which tenants are held.
  static Arguments long_creation() {
    return {"create-vs", "base", "--count", "20", "--name", "w%d", "--fqdn", "%s.example.com", "--ip-from", "10.0.0.1"};
  }

  std::unique_ptr<ControlGroup> group_;
  std::unique_ptr<HostileTenant> frozen_;   ///< in group_
  std::unique_ptr<HostileTenant> stopped_;  ///< beside the test itself: by a signal
  const int null_ = ::open("/dev/null", O_RDWR | O_CLOEXEC);
};

/// With more to do.
class LongSignalTest : public SignalTest {
 protected:
  [[nodiscard]] int pieces() const override { return 1000; }
};

/// Each command is sent signals at calls all over it that make, move or remove names.
class InterruptedTest : public SignalTest {
 protected:
  void succeed(const Arguments& arguments) const {
    const ProcessResult result = vskel(arguments);
    ASSERT_EQ(result.code, 0) << arguments.front() << result;
  }
  void ensure(bool there, const fs::path& path, const Arguments& arguments) const {
    if (fs::exists(path) != there) succeed(arguments);
  }
  [[nodiscard]] fs::path merged() const { return vservers() / "tmp_skel_base"; }
  void change_merged(int round) const {
    ensure(true, merged(), kMerge);
    for (int number = 0; number < 20; ++number)
      write_file(merged() / kPieces / std::to_string(number), std::to_string(round) + "." + std::to_string(number));
  }
  void make_generation(int round) const {
    change_merged(round);
    succeed(kSplit);
  }

  [[nodiscard]] int count_calls(const Arguments& arguments) const {
    const fs::path trace = mount() / "trace";
    Arguments all = {"strace", "-f", "-qqq", "-o", trace.string(), "-e", "trace=" + calls_};
    const Arguments own = command(arguments);
    all.insert(all.end(), own.begin(), own.end());
    EXPECT_EQ(run(all).code, 0);
    // A call that strace(1) has no name for it shows, too.
    const auto is_one = [this](const std::string& line) { return line.find(calls_ + "(") != line.npos; };
    return static_cast<int>(std::ranges::count_if(take_trace(trace), is_one));
  }

  void interrupt(const Arguments& interrupted, const std::function<void(int round)>& before) const {
    Arguments arguments = {"-j", "1", "--backend", "syscall"};
    arguments.insert(arguments.end(), interrupted.begin(), interrupted.end());
    int round = 0, in_the_middle = 0, rounds = 0;
    before(++round);
    const int count = count_calls(arguments);
    ASSERT_GT(count, 4);
    for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM}) {
      int by_this_one = 0;
      for (const int percent : {20, 55}) {
        const int when = 1 + count * percent / 100;
        SCOPED_TRACE(signal_word(signal) + " at " + std::to_string(when) + " of " + std::to_string(count));
        before(++round);
        const ProcessResult result =
            vskel_injecting(":signal=" + signal_word(signal) + ":when=" + std::to_string(when), calls_, arguments);
        const bool ended = result.signal == signal || result.code == 128 + signal;
        EXPECT_TRUE(result.code == 0 || ended) << result;
        // It says so if there was something to undo.
        const bool said = result.err.find("stopped by " + signal_word(signal)) != std::string::npos;
        EXPECT_TRUE(!said || ended) << result;
        if (said) ++by_this_one;
        ++rounds;
        expect_nothing_left();
        if (HasFailure()) return;
      }
      EXPECT_GE(by_this_one, 1) << signal_word(signal);
      in_the_middle += by_this_one;
    }
    EXPECT_GE(2 * in_the_middle, rounds);
    RecordProperty("in_the_middle", in_the_middle);
    before(++round);
    const ProcessResult piped =
        vskel_injecting(":signal=SIGPIPE:when=" + std::to_string(1 + count / 2), calls_, arguments);
    EXPECT_EQ(piped.code, 0) << piped;
    expect_nothing_left();
  }

  std::string calls_ = "linkat";  ///< one: strace(1) counts each for itself
  const Arguments kSplit = {"split-skel", "base"}, kMerge = {"merge-skel", "base"};
  const Arguments kCreate = {"create-vs", "base", "web2", "web2.example.com", "192.0.2.2", "--share", "hardlink"};
  const Arguments kRemove = {"remove-vs", "--yes", "web2", "web3"};
};

TEST_P(InterruptedTest, CreateVs) {
  interrupt(kCreate, [this](int) { ensure(false, vserver("web2"), {"remove-vs", "--yes", "web2"}); });
}

TEST_P(InterruptedTest, RemoveVs) {
  calls_ = "unlinkat";
  interrupt(kRemove, [this](int) {
    ensure(true, vserver("web2"), kCreate);
    ensure(true, vserver("web3"), {"create-vs", "base", "web3", "web3.example.com", "192.0.2.3"});
  });
}

TEST_P(InterruptedTest, MergeSkel) {
  calls_ = "utimensat";
  interrupt(kMerge, [this](int) { ensure(false, merged(), kSplit); });
}

TEST_P(InterruptedTest, SplitSkel) {
  interrupt(kSplit, [this](int round) { change_merged(round); });
}

TEST_P(InterruptedTest, Relink) {
  calls_ = "renameat2";
  interrupt({"relink", "base"}, [this](int round) { make_generation(round); });
}

TEST_P(InterruptedTest, Rollback) {
  interrupt({"rollback", "base", "1"}, [this](int round) { make_generation(round); });
}

TEST_P(InterruptedTest, Prune) {
  calls_ = "unlinkat";
  interrupt({"prune", "base"}, [this](int round) {
    make_generation(round);
    succeed({"relink", "base"});
  });
}

TEST_P(LongSignalTest, CtrlZStopsItWhenAllIsSealedAndEverybodyRuns) {
  for (const int then : {0, SIGTERM}) {
    SCOPED_TRACE(then);
    const pid_t pid = start(long_creation());
    ASSERT_TRUE(comes_true([&] { return anybody_is_held(); }));
    ::kill(pid, SIGTSTP);
    ASSERT_TRUE(comes_true([&] { return is_stopped(pid); }));
    EXPECT_FALSE(fs::exists(vserver("w1"))) << "it came too late";
    expect_sealed_and_running();
    if (then != 0) ::kill(pid, then);
    ::kill(pid, SIGCONT);
    EXPECT_EQ(end_of(pid), then);
    EXPECT_EQ(fs::exists(vserver("w20")), then == 0);
    expect_nothing_left();
    if (then != 0) continue;
    Arguments removal = {"remove-vs", "--yes"};
    for (int number = 1; number <= 20; ++number) removal.push_back("w" + std::to_string(number));
    ASSERT_EQ(vskel(removal).code, 0);
  }
}

TEST_P(LongSignalTest, AStopThatNobodyCanDeferIsSurvived) {
  const pid_t pid = start(long_creation());
  // It may just be in one of its breaths.
  bool held = false;
  for (int tries = 0; tries < 20 && !held; ++tries) {
    ::kill(pid, SIGCONT);
    ASSERT_TRUE(comes_true([&] { return anybody_is_held(); }));
    ::kill(pid, SIGSTOP);
    ASSERT_TRUE(comes_true([&] { return is_stopped(pid); }));
    held = anybody_is_held();
  }
  EXPECT_TRUE(held);
  const std::string told = "which is stopped itself; kill -CONT " + std::to_string(pid) + " lets both go on\n";
  const ProcessResult listed = vskel({"list"});
  EXPECT_EQ(listed.code, 0) << listed;
  EXPECT_NE(listed.err.find(told), std::string::npos) << listed;
  const ProcessResult verified = vskel({"verify", "web1"});
  EXPECT_EQ(verified.code, 1) << verified;
  EXPECT_NE(verified.out.find(told), std::string::npos) << verified;
  ::kill(pid, SIGCONT);
  EXPECT_EQ(end_of(pid), 0);
  EXPECT_TRUE(fs::exists(vserver("w20")));
  expect_nothing_left();
}

TEST_P(LongSignalTest, FurtherSignalsChangeNothing) {
  const pid_t pid = start(long_creation());
  ASSERT_TRUE(comes_true([&] { return anybody_is_held(); }));
  ::kill(pid, SIGINT);
  // One may come before the other is delivered, where several wait: the lower number first.
  std::this_thread::sleep_for(2ms);
  for (int times = 0; times < 20; ++times) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::kill(pid, signal);
    std::this_thread::sleep_for(1ms);
  }
  // Whichever ends it: what it had to undo it had undone by then.
  const int ended = end_of(pid);
  EXPECT_TRUE(ended == SIGINT || ended == SIGTERM || ended == SIGHUP || ended == SIGQUIT) << ended;
  EXPECT_EQ(names_in(vservers()), (std::set<std::string>{".skel", ".vskel", "web1"}));
  expect_nothing_left();
}

TEST_P(LongSignalTest, ATerminalThatIsGoneIsAHangup) {
  for (const bool ignored : {false, true}) {
    SCOPED_TRACE(ignored ? "as under nohup" : "as from a shell");
    const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ASSERT_GE(master, 0);
    ASSERT_EQ(::grantpt(master), 0);
    ASSERT_EQ(::unlockpt(master), 0);
    const int terminal = ::open(::ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ASSERT_GE(terminal, 0);
    Arguments arguments = {"-v"};
    const Arguments creation = long_creation();
    arguments.insert(arguments.end(), creation.begin(), creation.end());
    const pid_t pid = start(arguments, {terminal, terminal, terminal}, [ignored] {
      ::setsid();
      ::ioctl(0, TIOCSCTTY, 0);
      if (ignored) ::signal(SIGHUP, SIG_IGN);
    });
    ::close(terminal);
    ASSERT_TRUE(comes_true([&] { return anybody_is_held(); }));
    ::close(master);  // the kernel sends SIGHUP to the leader of the session
    EXPECT_EQ(end_of(pid), ignored ? -1 : SIGHUP);
    EXPECT_EQ(fs::exists(vserver("w20")), ignored);
    expect_nothing_left();
  }
}

TEST_P(SignalTest, OutputThatNobodyTakesChangesNothing) {
  std::array<int, 2> broken{};
  ASSERT_EQ(::pipe2(broken.data(), O_CLOEXEC), 0);
  ::close(broken[0]);
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  struct Case {
    const char* name;
    std::array<int, 3> standard;
    int code;
  };
  // A reader who went away is no error, and neither is a descriptor that was closed on purpose; a full disk is one.
  const std::vector<Case> cases = {{"stdout is a broken pipe", {null_, broken[1], null_}, 0},
                                   {"stderr is a broken pipe", {null_, null_, broken[1]}, 0},
                                   {"stdout is closed", {null_, -1, null_}, 0},
                                   {"stderr is closed", {null_, null_, -1}, 0},
                                   {"all are closed", {-1, -1, -1}, 0},
                                   {"stdout is full", {null_, full, null_}, 1}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    const pid_t pid = start({"-v", "create-vs", "base", "web2", "web2.example.com", "192.0.2.2"}, one.standard);
    EXPECT_EQ(end_of(pid), -one.code);
    EXPECT_TRUE(fs::exists(vserver("web2")));
    expect_nothing_left();
    const pid_t removal = start({"-v", "remove-vs", "--yes", "web2"}, one.standard);
    EXPECT_EQ(end_of(removal), -one.code);
    EXPECT_FALSE(fs::exists(vserver("web2")));
    expect_nothing_left();
  }
  ::close(broken[1]);
  ::close(full);
}

/// As a terminal stopped by Ctrl-S, or less(1) at its first page.
TEST_P(SignalTest, WhoDoesNotReadHoldsNobodyStill) {
  write_file(skel() / "static/etc/hosts", "%%VS_NOTHING%%\n");
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK), 0);
  while (::write(pipe[1], "x", 1) == 1) {
  }
  ASSERT_EQ(::fcntl(pipe[1], F_SETFL, 0), 0);
  const pid_t pid =
      start({"-v", "create-vs", "base", "web2", "web2.example.com", "192.0.2.2"}, {null_, null_, pipe[1]});
  // It waits for its reader, and for nothing else.
  ASSERT_TRUE(comes_true([&] {
    return read_file("/proc/" + std::to_string(pid) + "/wchan").find("pipe_write") != std::string::npos ||
           read_file("/proc/" + std::to_string(pid) + "/syscall").starts_with("1 0x2 ");
  }));
  expect_sealed_and_running();
  std::string said(1 << 20, '\0');
  std::string all;
  ::close(pipe[1]);
  ::fcntl(pipe[0], F_SETFL, 0);
  for (ssize_t got = 0; (got = ::read(pipe[0], said.data(), said.size())) > 0;)
    all.append(said, 0, static_cast<std::size_t>(got));
  ::close(pipe[0]);
  EXPECT_EQ(end_of(pid), 0);
  EXPECT_NE(all.find("VS_NOTHING"), std::string::npos);
  EXPECT_NE(all.find("held web1 still for"), std::string::npos);
  expect_nothing_left();
}

/// One worker has four vservers in hand.
TEST_P(SignalTest, ARelinkThatIsStoppedTellsOfTheVserversThatAreDone) {
  ASSERT_EQ(vskel({"create-vs", "base", "--count", "11", "--name", "w%d", "--fqdn", "%s.example.com", "--ip-from",
                   "10.0.0.1"})
                .code,
            0);
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  for (int number = 0; number < 20; ++number)
    write_file(vservers() / "tmp_skel_base" / kPieces / std::to_string(number), "second " + std::to_string(number));
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
  // Each of the twelve has twenty files to exchange.
  const ProcessResult result = vskel_injecting(":signal=TERM:when=130", "renameat2",
                                               {"-j", "1", "--backend", "syscall", "--json", "relink", "base"});
  EXPECT_TRUE(result.signal == SIGTERM || result.code == 128 + SIGTERM) << result;
  const Json document = Json::parse(result.out, nullptr, false);
  ASSERT_FALSE(document.is_discarded()) << result;
  ASSERT_TRUE(document.contains("vservers")) << result;
  std::size_t done = 0, as_before = 0;
  for (const Json& vserver : document.at("vservers")) {
    const std::string name = vserver.at("name");
    const bool is_done = vserver.at("status") == "done";
    if (is_done) ++done;
    if (!is_done) {
      EXPECT_NE(vserver.at("error").get<std::string>().find("stopped by SIGTERM"), std::string::npos) << vserver;
    }
    const bool has_new = read_file(this->vserver(name) / kPieces / "19") == "second 19";
    EXPECT_TRUE(has_new || !is_done) << name;
    if (!has_new) ++as_before;
  }
  EXPECT_EQ(document.at("vservers").size(), 12U);
  EXPECT_GE(done, 4U) << result;
  EXPECT_GE(as_before, 4U) << result;
  expect_nothing_left();
}

INSTANTIATE_TEST_SUITE_P(FileSystems, SignalTest, kOneFileSystem, kParameterName);
INSTANTIATE_TEST_SUITE_P(FileSystems, InterruptedTest, kOneFileSystem, kParameterName);
INSTANTIATE_TEST_SUITE_P(FileSystems, LongSignalTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
