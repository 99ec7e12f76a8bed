// Attackers whom no look at processes finds in time, and whom nothing holds still: what they hold is on its way in a
// socket or in the kernel alone, they come late, they are waked by what nobody can stop. Whatever a command comes to,
// it does not succeed over a changed shared file.
#include <liburing.h>
#include <linux/mount.h>
#include <sys/ptrace.h>
#include <sys/xattr.h>
#include <time.h>

#include "tests/support/inode_extras.h"
#include "tests/support/odd_root.h"
#include "tests/support/requirement.h"
#include "tests/system/bystander.h"
#include "tests/system/hostile_tenant.h"

namespace vskel::test {
namespace {

/// A process, and its children, that do something until the test ends them.
class Attacker {
 public:
  using Doing = std::function<void(Told&)>;
  explicit Attacker(const Doing& doing)
      : told_(new (::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Told),
        pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setsid();
    doing(*told_);
    for (;;) ::pause();
  }
  ~Attacker() {
    ::kill(pid_, SIGKILL);
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    while (::kill(-pid_, SIGKILL) == 0) std::this_thread::yield();
    ::munmap(told_, sizeof(Told));
  }
  Attacker(const Attacker&) = delete;
  Attacker& operator=(const Attacker&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::uint64_t changed() const { return told_->changed; }
  /// Whether it has begun its attack.
  [[nodiscard]] bool begins() const {
    for (int waited = 0; waited < 500 && told_->rounds == 0; ++waited) std::this_thread::sleep_for(10ms);
    return told_->rounds > 0;
  }

 private:
  Told* told_;
  pid_t pid_;
};

void pause_for(std::chrono::microseconds time) {
  const timespec pause{time.count() / 1'000'000, time.count() % 1'000'000 * 1000};
  ::nanosleep(&pause, nullptr);
}

/// Of a process that is started now; `after` the first time, and again in that time.
void signal_by_timer(int signal, std::chrono::milliseconds after) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = signal;
  timer_t timer{};
  must(::timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  const timespec time{after.count() / 1000, after.count() % 1000 * 1'000'000};
  const itimerspec when{time, time};
  must(::timer_settime(timer, 0, &when, nullptr) == 0);
}

/// Where a descriptor is while no process has it open.
class Parking {
 public:
  Parking() = default;
  virtual ~Parking() = default;
  Parking(const Parking&) = delete;
  Parking& operator=(const Parking&) = delete;
  /// `descriptor` is closed.
  virtual void park(int descriptor) = 0;
  virtual int take() = 0;
};

/// In a message that nobody has read.
class SocketParking : public Parking {
 public:
  SocketParking() { must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets_.data()) == 0); }
  void park(int descriptor) override {
    send_descriptor(sockets_[0], descriptor);
    ::close(descriptor);
  }
  int take() override { return receive_descriptor(sockets_[1]); }

 private:
  std::array<int, 2> sockets_{};
};

/// In the table of registered files of a ring.
class RingParking : public Parking {
 public:
  static std::optional<std::string> missing() {
    io_uring ring{};
    if (::io_uring_queue_init(4, &ring, 0) != 0) return "needs io_uring";
    const std::unique_ptr<io_uring_probe, decltype(&::free)> probe(::io_uring_get_probe_ring(&ring), ::free);
    const bool has = probe && probe->last_op >= kInstall;
    ::io_uring_queue_exit(&ring);
    return has ? std::nullopt : std::optional<std::string>("needs IORING_OP_FIXED_FD_INSTALL (Linux 6.8)");
  }
  RingParking() {
    must(::io_uring_queue_init(4, &ring_, 0) == 0);
    must(::io_uring_register_files_sparse(&ring_, 1) == 0);
  }
  void park(int descriptor) override {
    must(::io_uring_register_files_update(&ring_, 0, &descriptor, 1) == 1);
    ::close(descriptor);
  }
  int take() override {
    io_uring_sqe* const sqe = ::io_uring_get_sqe(&ring_);
    ::io_uring_prep_nop(sqe);
    sqe->opcode = kInstall;
    sqe->fd = 0;
    sqe->flags = IOSQE_FIXED_FILE;
    io_uring_cqe* cqe = nullptr;
    must(::io_uring_submit_and_wait(&ring_, 1) == 1 && ::io_uring_peek_cqe(&ring_, &cqe) == 0 && cqe->res >= 0);
    const int descriptor = cqe->res;
    ::io_uring_cqe_seen(&ring_, cqe);
    int nothing = -1;
    must(::io_uring_register_files_update(&ring_, 0, &nothing, 1) == 1);
    return descriptor;
  }

 private:
  static constexpr std::uint8_t kInstall = 54;  ///< IORING_OP_FIXED_FD_INSTALL
  io_uring ring_{};
};

enum class Through { directory, detached_mount, file };
enum class Writes { at_once, later };

/// What the attackers try to change.
std::vector<std::string> victims() {
  std::vector<std::string> out = odd_root::kLinkable;
  for (int number = 0; number < 100; ++number) out.push_back("usr/share/many/" + std::to_string(number));
  return out;
}
std::vector<std::string> absolute(std::vector<std::string> paths) {
  for (std::string& path : paths) path.insert(0, "/");
  return paths;
}

/// Opens `parked` for a moment now and then, and what he can for writing through it. Has nothing else of the vserver.
[[noreturn]] void attack_from_parking(Told& told, const fs::path& root, Through through, Writes writes,
                                      Parking& parking) {
  const std::vector<std::string> paths = victims();
  const std::string place = through == Through::file ? root / paths.front() : root;
  int first = ::open(place.c_str(), through == Through::file ? O_RDONLY : O_RDONLY | O_DIRECTORY);
  if (through == Through::detached_mount) {
    const int detached =
        static_cast<int>(::syscall(SYS_open_tree, first, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    ::close(first);
    first = detached;
  }
  must(first >= 0);
  parking.park(first);
  SocketParking writable;
  const auto open_one = [&](int parked, const std::string& path) {
    if (through != Through::file) return ::openat(parked, path.c_str(), O_WRONLY | O_APPEND);
    return ::open(("/proc/self/fd/" + std::to_string(parked)).c_str(), O_WRONLY | O_APPEND);
  };
  for (;; ++told.rounds) {
    bool has_one = false;
    const int parked = parking.take();
    for (int attempt = 0; attempt < 300 && !has_one; ++attempt) {
      const int file = open_one(parked, paths.at(static_cast<std::size_t>(attempt) % paths.size()));
      if (file < 0) continue;
      ++told.changed;
      has_one = writes == Writes::later;
      if (has_one)
        writable.park(file);
      else
        must(::write(file, "x", 1) <= 1), ::close(file);
    }
    parking.park(parked);
    pause_for(3ms);
    if (!has_one) continue;
    const int file = writable.take();
    (void)!::write(file, "later", 5);
    ::close(file);
  }
}

/// Over and over, all that a tenant has of them; `dir` and paths as for openat(2).
[[noreturn]] void attack(Told& told, int dir = AT_FDCWD) {
  const std::vector<std::string> paths = dir == AT_FDCWD ? absolute(victims()) : victims();
  for (;; ++told.rounds)
    for (const std::string& path : paths) {
      const int file = ::openat(dir, path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
      if (file >= 0) {
        ++told.changed;
        (void)!::write(file, "x", 1);
        ::close(file);
      }
      if (::fchmodat(dir, path.c_str(), 0777, 0) == 0) ++told.changed;
    }
}

/// A child of an attacker, of his group.
pid_t with_child(const std::function<void()>& doing) {
  const pid_t child = ::fork();
  must(child >= 0);
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  doing();
  ::_exit(1);
}

/// Timeouts with what is to be done by the kernel when each is over: open a file for writing, and write.
[[noreturn]] void attack_by_ring(Told& told, unsigned flags) {
  constexpr unsigned kChains = 6000, kSlots = 500;
  io_uring ring{};
  must(::io_uring_queue_init(1024, &ring, flags) == 0 && ::io_uring_register_files_sparse(&ring, kSlots) == 0);
  const std::vector<std::string> paths = absolute(victims());
  std::vector<__kernel_timespec> times(kChains);
  const auto next = [&](unsigned link) {
    io_uring_sqe* sqe = nullptr;
    while ((sqe = ::io_uring_get_sqe(&ring)) == nullptr) ::io_uring_submit(&ring);
    return std::pair(sqe, link);
  };
  const auto prepared = [&](const std::pair<io_uring_sqe*, unsigned>& at, unsigned more, std::uint64_t told_of) {
    at.first->flags |= static_cast<std::uint8_t>(at.second | more);
    at.first->user_data = told_of;
  };
  for (unsigned chain = 0; chain < kChains; ++chain) {
    // A chain is submitted as one.
    if (::io_uring_sq_space_left(&ring) < 4) {
      ::io_uring_submit(&ring);
      while (::io_uring_sq_space_left(&ring) < 4) ::sched_yield();
    }
    const auto after = 100ms + std::chrono::microseconds(300) * chain;
    times[chain] = {after / 1s, std::chrono::nanoseconds(after % 1s).count()};
    const auto timeout = next(IOSQE_IO_LINK);
    ::io_uring_prep_timeout(timeout.first, &times[chain], 0, IORING_TIMEOUT_ETIME_SUCCESS);
    prepared(timeout, 0, 0);
    const auto opening = next(IOSQE_IO_LINK);
    ::io_uring_prep_openat_direct(opening.first, AT_FDCWD, paths[chain % paths.size()].c_str(), O_WRONLY, 0,
                                  chain % kSlots);
    prepared(opening, 0, 1);
    const auto writing = next(IOSQE_IO_LINK);
    ::io_uring_prep_write(writing.first, static_cast<int>(chain % kSlots), "ring", 4, 0);
    prepared(writing, IOSQE_FIXED_FILE, 0);
    const auto closing = next(0);
    ::io_uring_prep_close_direct(closing.first, chain % kSlots);
    prepared(closing, 0, 0);
  }
  ::io_uring_submit(&ring);
  ++told.rounds;
  for (;;) {
    io_uring_cqe* cqe = nullptr;
    if (::io_uring_wait_cqe(&ring, &cqe) != 0) continue;
    if (cqe->user_data == 1 && cqe->res >= 0) ++told.changed;
    ::io_uring_cqe_seen(&ring, cqe);
  }
}

std::optional<std::string> ring_missing() {
  io_uring ring{};
  if (::io_uring_queue_init(4, &ring, 0) != 0) return "needs io_uring";
  ::io_uring_queue_exit(&ring);
  return std::nullopt;
}

std::optional<std::string> overlay_missing() {
  std::ifstream known("/proc/filesystems");
  for (std::string line; std::getline(known, line);)
    if (line.ends_with("\toverlay")) return std::nullopt;
  return "needs overlayfs";
}

/// Layers: the vserver's /usr above an empty directory beside the store.
std::string overlay_layers(const fs::path& root) {
  const fs::path beside = root.parent_path().parent_path();
  return "lowerdir=" + (beside / "lower").string() + ",upperdir=" + (root / "usr").string() +
         ",workdir=" + (root / "var/overlay-work").string();
}

/// In mounts of his own, where the vserver is the upper layer of an overlay. One that is mounted for each attempt: an
/// overlay's inode has the flags that the file had when it was first looked at.
[[noreturn]] void attack_through_overlay(Told& told, const fs::path& root) {
  must(::unshare(CLONE_NEWNS) == 0);
  make_mounts_private();
  const fs::path other = root.parent_path().parent_path() / "other-root";
  for (;; ++told.rounds) {
    must(::mount("overlay", other.c_str(), "overlay", 0, overlay_layers(root).c_str()) == 0);
    for (const std::string& path : victims()) {
      const int file = ::open((other / path.substr(path.find('/') + 1)).c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
      if (file < 0) continue;
      ++told.changed;
      (void)!::write(file, "overlay", 7);
      ::close(file);
    }
    must(::umount2(other.c_str(), MNT_DETACH) == 0);
  }
}

/// Asked by paths, which keeps nothing open.
bool is_any_lifted(const fs::path& global) {
  for (const std::string& path : victims()) {
    struct statx status {};
    if (::statx(AT_FDCWD, (global / path).c_str(), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &status) == 0 &&
        (status.stx_attributes & STATX_ATTR_IMMUTABLE) == 0)
      return true;
  }
  return false;
}

class UnheldTest : public VskelTest {
 protected:
  using Start = std::function<std::unique_ptr<Attacker>(const fs::path& root)>;

  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    fs::create_directories(source() / "usr/share/many");
    fs::create_directory(mount() / "other-root");
    for (int number = 0; number < 100; ++number)
      write_file(source() / "usr/share/many" / std::to_string(number), "one of many\n");
  }

  /// While a fleet is made from a skel that a vserver of the attacker's shares.
  void expect_told_of(const Start& start, int count = 20, const std::string& suffix = "",
                      const std::vector<std::string>& ways = {"refuse", "freeze"}) {
    for (const std::string& how : ways) {
      SCOPED_TRACE("--quiesce " + how);
      const std::string name = how + suffix;
      const fs::path root = make_skel(name);
      const Arguments fleet = {"create-vs", name,         "--count",   std::to_string(count),
                               "--name",    name + "-%d", "--fqdn",    "%s.example.com",
                               "--ip-from", "10.0.0.1",   "--quiesce", how};
      expect_told_of_while(fleet, skel(name), [&] { return start(root); });
    }
  }

  /// A skel, and a vserver of it; the root of that.
  [[nodiscard]] fs::path make_skel(const std::string& name) const {
    const ProcessResult built = vskel({"build-skel", name, "--from", source().string()});
    EXPECT_EQ(built.code, 0) << built;
    const std::string tenant = name + "-tenant";
    const ProcessResult created =
        vskel({"create-vs", name, tenant, tenant + ".example.com", "192.0.2.1", "--share", "hardlink"});
    EXPECT_EQ(created.code, 0) << created;
    return vserver(tenant);
  }

  void expect_told_of_while(const Arguments& arguments, const fs::path& of,
                            const std::function<std::unique_ptr<Attacker>()>& start) {
    const TreeSnapshot before = snapshot_tree(of / "global");
    std::unique_ptr<Attacker> attacker = start();
    ASSERT_TRUE(attacker->begins());
    const ProcessResult result = vskel(arguments);
    std::this_thread::sleep_for(50ms);  // for what he still has open
    attacker.reset();
    const std::string differences =
        joined(compare_snapshots(before, snapshot_tree(of / "global"), {}, Identity::compared));
    if (result.code == 0)
      EXPECT_EQ(differences, "") << result;
    else
      EXPECT_TRUE(result.code == 1 || result.code == 3) << result;
    expect_sealed(of);
    if (result.err.find("keep sealed") != std::string::npos) {
      EXPECT_TRUE(result.err.find("it could have been process") != std::string::npos ||
                  result.err.find("is not to be seen now") != std::string::npos)
          << result;
    }
  }

  /// Under all names that vservers have of them.
  void expect_sealed(const fs::path& of) const {
    for (const std::string& path : victims()) {
      EXPECT_TRUE(is_immutable(of / "global" / path)) << path;
      for (const auto& entry : fs::directory_iterator(vservers())) {
        struct stat status {};
        const fs::path file = entry.path() / path;
        if (::lstat(file.c_str(), &status) == 0 && status.st_nlink > 1) {
          EXPECT_TRUE(is_immutable(file)) << file;
        }
      }
    }
  }

  [[nodiscard]] static Start parked(Through through, Writes writes, bool in_ring) {
    return [=](const fs::path& root) {
      return std::make_unique<Attacker>([=](Told& told) {
        const std::unique_ptr<Parking> parking =
            in_ring ? std::unique_ptr<Parking>(new RingParking) : std::make_unique<SocketParking>();
        attack_from_parking(told, root, through, writes, *parking);
      });
    };
  }
};
/// For what is the same on all file systems.
class OneUnheldTest : public UnheldTest {};

TEST_P(UnheldTest, ADescriptorOfADirectoryOnItsWay) {
  expect_told_of(parked(Through::directory, Writes::at_once, false));
}

TEST_P(UnheldTest, WhatWasOpenedForWritingIsOnItsWay) {
  expect_told_of(parked(Through::directory, Writes::later, false));
}

TEST_P(OneUnheldTest, ADescriptorOfAFileOnItsWay) { expect_told_of(parked(Through::file, Writes::at_once, false)); }

TEST_P(OneUnheldTest, ADetachedMountOnItsWay) {
  expect_told_of(parked(Through::detached_mount, Writes::at_once, false));
}

TEST_P(UnheldTest, ADescriptorRegisteredWithARing) {
  VSKEL_REQUIRE(RingParking::missing());
  expect_told_of(parked(Through::directory, Writes::at_once, true));
}

/// By a descriptor for writing from while the seal was off, which is closed before the command ends. ext4 looks at the
/// seal at every write; others don't.
TEST_P(UnheldTest, WhatIsWrittenBehindTheSealIsToldOf) {
  VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
  for (const std::string how : {"refuse", "freeze"}) {
    SCOPED_TRACE("--quiesce " + how);
    (void)make_skel(how);
    const fs::path global = skel(how) / "global", file = global / "usr/share/many/7";
    const TreeSnapshot before = snapshot_tree(global);
    Attacker attacker([&](Told& told) {
      SocketParking parking;
      for (;;) {
        ++told.rounds;
        const int writer = ::open(file.c_str(), O_WRONLY | O_APPEND);
        if (writer < 0) continue;
        parking.park(writer);
        while (!is_immutable(file)) ::sched_yield();
        pause_for(1ms);
        const int taken = parking.take();
        (void)!::write(taken, "behind", 6);
        ::close(taken);
        ++told.changed;
        return;
      }
    });
    ASSERT_TRUE(attacker.begins());
    const ProcessResult result = vskel_injecting(
        ":delay_exit=3000", "linkat",
        {"--backend", "syscall", "create-vs", how, how, how + ".example.com", "192.0.2.2", "--quiesce", how});
    EXPECT_EQ(attacker.changed(), 1U);
    const std::string differences = joined(compare_snapshots(before, snapshot_tree(global), {}, Identity::compared));
    EXPECT_TRUE(differences.empty() || result.code == 1) << differences << result;
    expect_sealed(skel(how));
  }
}

/// While a seal is off somebody changes what is neither mode, owner, size nor time, or puts the time back to the
/// nanosecond, and is gone before anybody looks.
TEST_P(UnheldTest, WhatDoesNotShowIsToldOf) {
  VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
  enum class What { bytes, capability, note };
  for (const std::string how : {"refuse", "freeze"})
    for (const What what : {What::bytes, What::capability, What::note}) {
      const std::string name = how + std::to_string(static_cast<int>(what));
      SCOPED_TRACE(name);
      (void)make_skel(name);
      const fs::path global = skel(name) / "global", file = global / "usr/share/many/7";
      const TreeSnapshot before = snapshot_tree(global);
      const Attacker attacker([&](Told& told) {
        const std::string capability = file_capability(1);
        struct stat status {};
        must(::stat(file.c_str(), &status) == 0);
        for (;; ++told.rounds) {
          if (what == What::capability &&
              ::setxattr(file.c_str(), "security.capability", capability.data(), capability.size(), 0) == 0)
            break;
          if (what == What::note && ::setxattr(file.c_str(), "user.note", "x", 1, 0) == 0) break;
          const int writer = what == What::bytes ? ::open(file.c_str(), O_RDWR) : -1;
          if (writer < 0) continue;
          const bool written = ::pwrite(writer, "X", 1, 0) == 1;
          const std::array<timespec, 2> times{status.st_atim, status.st_mtim};
          (void)::futimens(writer, times.data());
          ::close(writer);
          if (written) break;
        }
        ++told.changed;
      });
      ASSERT_TRUE(attacker.begins());
      const ProcessResult result = vskel_injecting(":delay_exit=3000", "linkat",
                                                   {"--backend", "syscall", "create-vs", name, name + "-w",
                                                    name + ".example.com", "192.0.2.2", "--quiesce", how});
      EXPECT_EQ(result.code, 1) << result;
      EXPECT_NE(result.err.find("usr/share/many/7"), std::string::npos) << result;
      if (what != What::bytes) {
        EXPECT_EQ(attacker.changed(), 1U);
        EXPECT_EQ(joined(compare_snapshots(before, snapshot_tree(global), {}, Identity::compared)), "");
      }
      expect_sealed(skel(name));
    }
}

/// Of a file that the administrator has open for writing since before it was sealed: nothing is left of the command
/// that finds that out.
TEST_P(UnheldTest, AWriterFromBeforeLeavesNothingHalfDone) {
  const std::string path = "usr/share/many/0";
  const fs::path merged = vservers() / "tmp_skel_base" / path;
  build_base();
  create("web1", "192.0.2.1", {"--share", "hardlink"});
  const auto expect_found = [&](const Arguments& arguments) {
    SCOPED_TRACE(arguments.front());
    fs::path file = skel() / "global" / path;
    if (!fs::exists(file)) file = skel() / "global.bak" / path;  // of a skel that is merged
    clear_immutable(file);
    const int writer = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
    set_immutable(file);
    ASSERT_GE(writer, 0);
    const ProcessResult result = vskel(arguments);
    EXPECT_TRUE(result.code == 1 || result.code == 3) << result;
    EXPECT_NE(result.err.find(path), result.err.npos) << result;
    EXPECT_EQ(inconsistencies(), "");
    ::close(writer);
    EXPECT_EQ(vskel(arguments).code, 0);
  };
  expect_found({"create-vs", "base", "web2", "web2.example.com", "192.0.2.2"});
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  write_file(vservers() / "tmp_skel_base/usr/bin/tool", "another tool");
  expect_found({"split-skel", "base"});
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  write_file(merged, "another");
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
  expect_found({"relink", "base"});
  EXPECT_EQ(inode_of(vserver("web1") / path), inode_of(skel() / "global" / path));
  EXPECT_EQ(inconsistencies(), "");
}

/// SIGCONT comes from the kernel's clock, to each by himself, and from one to the other.
TEST_P(UnheldTest, TimersLetThemGoOn) {
  expect_told_of([](const fs::path& root) {
    return std::make_unique<Attacker>([root](Told& told) {
      enter(root);
      const pid_t waked = with_child([&] { attack(told); });
      for (const auto every : {60ms, 130ms, 290ms, 500ms})
        with_child([&] {
          signal_by_timer(SIGCONT, every);
          attack(told);
        });
      signal_by_timer(SIGCONT, 60ms);
      for (;;) {
        ::kill(waked, SIGCONT);
        pause_for(100us);
      }
    });
  });
}

TEST_P(OneUnheldTest, TheDeathOfAParentLetsThemGoOn) {
  const auto start = [](const fs::path& root) {
    return std::make_unique<Attacker>([root](Told& told) {
      enter(root);
      for (int number = 0; number < 20; ++number)
        with_child([&] {
          if (::fork() == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGCONT);
            attack(told);
          }
          signal_by_timer(SIGKILL, 100ms + 20ms * number);
          for (;;) ::pause();
        });
    });
  };
  expect_told_of(start, 60);
}

/// The children of one that goes are another's.
TEST_P(OneUnheldTest, ForksWhileParentsEnd) {
  expect_told_of([](const fs::path& root) {
    return std::make_unique<Attacker>([root](Told& told) {
      enter(root);
      const std::vector<std::string> paths = absolute(victims());
      for (int number = 0; number < 4; ++number)
        with_child([&] {
          for (std::size_t turn = 0;; ++turn) {
            ::prctl(PR_SET_PDEATHSIG, turn % 2 == 0 ? SIGCONT : 0);
            try_to_change(paths[turn % paths.size()].c_str(), told);
            ++told.rounds;
            const pid_t child = ::fork();
            if (child > 0 || (child == 0 && turn % 3 == 2 && ::fork() != 0)) ::_exit(0);
          }
        });
    });
  });
}

TEST_P(OneUnheldTest, AStoppedTenantIsLetGoFromOutside) {
  expect_told_of([](const fs::path& root) {
    return std::make_unique<Attacker>([root](Told& told) {
      const pid_t inside = with_child([&] {
        enter(root);
        ::raise(SIGSTOP);
        attack(told);
      });
      for (;; ++told.rounds) {
        pause_for(60ms);
        ::kill(inside, SIGCONT);
      }
    });
  });
}

/// A debugger swallows SIGSTOP.
TEST_P(OneUnheldTest, ATracedTenantDoesNotStop) {
  for (const bool inside : {true, false}) {
    SCOPED_TRACE(inside ? "traced from inside" : "traced from outside");
    const auto start = [inside](const fs::path& root) {
      return std::make_unique<Attacker>([root, inside](Told& told) {
        if (inside) enter(root);
        const pid_t traced = with_child([&] {
          if (!inside) enter(root);
          attack(told);
        });
        signal_by_timer(SIGCONT, 60ms);
        must(::ptrace(PTRACE_SEIZE, traced, nullptr, nullptr) == 0);
        for (;;) {
          if (::waitpid(traced, nullptr, __WALL | WNOHANG) == traced) ::ptrace(PTRACE_CONT, traced, nullptr, nullptr);
          pause_for(100us);
        }
      });
    };
    expect_told_of(start, 20, inside ? "in" : "out");
  }
}

/// A tenant whose manager gave him his control group to rule: he thaws it, and moves out of it and in again.
TEST_P(OneUnheldTest, WhoRulesHisOwnGroup) {
  VSKEL_REQUIRE(ControlGroup::missing());
  const ControlGroup group;
  const fs::path all = *ControlGroup::hierarchy(), own = all / fs::path(group.name()).relative_path();
  expect_told_of([all, own](const fs::path& root) {
    return std::make_unique<Attacker>([=](Told& told) {
      const int freeze = ::open((own / "cgroup.freeze").c_str(), O_WRONLY);
      const int inside = ::open((own / "cgroup.procs").c_str(), O_WRONLY);
      const int outside = ::open((all / "cgroup.procs").c_str(), O_WRONLY);
      must(freeze >= 0 && inside >= 0 && outside >= 0);
      enter(root);
      with_child([&] {
        must(::write(inside, "0", 1) == 1);
        attack(told);
      });
      with_child([&] {
        signal_by_timer(SIGCONT, 70ms);
        const std::vector<std::string> paths = absolute(victims());
        for (std::size_t turn = 0;; ++turn) {
          (void)!::write(turn % 2 == 0 ? inside : outside, "0", 1);
          for (const std::string& path : paths) try_to_change(path.c_str(), told);
        }
      });
      signal_by_timer(SIGCONT, 60ms);
      for (;;) {
        (void)!::write(freeze, "0", 1);
        pause_for(100us);
      }
    });
  });
}

TEST_P(UnheldTest, RingsOpenAndWriteByThemselves) {
  VSKEL_REQUIRE(ring_missing());
  std::optional<ControlGroup> group;
  if (!ControlGroup::missing()) group.emplace();
  for (const unsigned flags : {0U, static_cast<unsigned>(IORING_SETUP_SQPOLL)})
    for (const bool in_group : {false, true}) {
      if (in_group && !group) continue;
      SCOPED_TRACE((flags != 0 ? "by a thread of the kernel's, " : "") + std::string(in_group ? "frozen" : "stopped"));
      const auto start = [&](const fs::path& root) {
        auto attacker = std::make_unique<Attacker>([root, flags](Told& told) {
          enter(root);
          attack_by_ring(told, flags);
        });
        if (in_group) group->take(attacker->pid());
        return attacker;
      };
      expect_told_of(start, 25, std::to_string(flags) + (in_group ? "g" : "s"), {"freeze"});
    }
}

TEST_P(OneUnheldTest, AHiddenContainer) {
  for (const int spaces : {CLONE_NEWNS, CLONE_NEWNS | CLONE_NEWUSER}) {
    const auto start = [spaces](const fs::path& root) {
      return std::make_unique<Attacker>([root, spaces](Told& told) {
        const int self = ::open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        const int kept = hide_with_descriptor(root, spaces);
        if ((spaces & CLONE_NEWUSER) != 0) {
          const int map = ::openat(self, "uid_map", O_WRONLY | O_CLOEXEC);
          must(::write(map, "0 0 1", 5) == 5);
          ::close(map);
        }
        ::close(self);
        attack(told, kept);
      });
    };
    expect_told_of(start, 20, std::to_string(spaces));
  }
}

TEST_P(UnheldTest, AVserverThatIsAnOverlaysLayer) {
  VSKEL_REQUIRE(overlay_missing());
  fs::create_directory(mount() / "lower");
  expect_told_of([](const fs::path& root) {
    fs::create_directories(root / "var/overlay-work");
    return std::make_unique<Attacker>([root](Told& told) { attack_through_overlay(told, root); });
  });
}

/// As by a host's cron job, in the middle of a relink: when a seal has just been lifted.
TEST_P(UnheldTest, WhoComesLateIntoARelink) {
  for (const std::string how : {"refuse", "freeze"}) {
    SCOPED_TRACE("--quiesce " + how);
    const fs::path root = make_skel(how), global = skel(how) / "global";
    ASSERT_EQ(vskel({"create-vs", how, "--count", "4", "--name", how + "-%d", "--fqdn", "%s.example.com", "--ip-from",
                     "10.0.0.1"})
                  .code,
              0);
    ASSERT_EQ(vskel({"merge-skel", how}).code, 0);
    for (int number = 0; number < 100; ++number)
      write_file(vservers() / ("tmp_skel_" + how) / "usr/share/many" / std::to_string(number), "another\n");
    ASSERT_EQ(vskel({"split-skel", how}).code, 0);
    expect_told_of_while({"relink", how, "--quiesce", how}, skel(how), [&] {
      return std::make_unique<Attacker>([&](Told& told) {
        ++told.rounds;
        while (!is_any_lifted(global)) ::sched_yield();
        enter(root);
        attack(told);
      });
    });
  }
}

INSTANTIATE_TEST_SUITE_P(FileSystems, UnheldTest, kAllFileSystems, kParameterName);
INSTANTIATE_TEST_SUITE_P(FileSystems, OneUnheldTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
