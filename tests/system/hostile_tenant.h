// Tenants that attack shared files, and the control groups that they may be in.
#pragma once

#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/system/vskel_test.h"

namespace vskel::test {

using namespace std::chrono_literals;

/// What a tenant tells the test, in memory of both.
struct Told {
  std::atomic<std::uint64_t> rounds{0};
  std::atomic<std::uint64_t> changed{0};  ///< calls on shared files that the kernel let through
};

inline void try_to_change(const char* path, Told& told) {
  const int file = ::open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
  if (file >= 0) {
    ++told.changed;
    (void)!::write(file, "x", 1);
    ::close(file);
  }
  if (::chmod(path, 0777) == 0) ++told.changed;
  if (::truncate(path, 0) == 0) ++told.changed;
  if (::utimensat(AT_FDCWD, path, nullptr, 0) == 0) ++told.changed;
}

/// How a process comes to be inside.
enum class Entry {
  chroot,
  chroot_below,                ///< into a directory of the vserver
  second_thread,               ///< the first has ended
  other_mounts,                ///< another root, that has a part of the vserver mounted
  other_mounts_of_one_thread,  ///< the same, of one thread beside others that are outside
  waiting_for_child,           ///< as after vfork(2), and the child does not go on: it cannot be stopped
  chain_of_forks,              ///< an attack, a child that goes on, and the end of the parent
};

/// A control group of version 2 of the test's own, gone with it.
class ControlGroup {
 public:
  static std::optional<fs::path> hierarchy() {
    std::ifstream mounts("/proc/self/mounts");
    for (std::string line; std::getline(mounts, line);) {
      std::istringstream fields(line);
      std::string source, path, type;
      fields >> source >> path >> type;
      if (type == "cgroup2") return path;
    }
    return std::nullopt;
  }
  static std::optional<std::string> missing() {
    return hierarchy() ? std::nullopt : std::optional<std::string>("needs a cgroup2 mount");
  }

  ControlGroup() {
    std::string name = *hierarchy() / "vskel-test-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category(), name);
    path_ = name;
  }
  ~ControlGroup() {
    set_frozen(false);
    for (int attempts = 0; ::rmdir(path_.c_str()) != 0 && attempts < 100; ++attempts) std::this_thread::sleep_for(10ms);
  }
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;

  void take(pid_t pid) const { write_file(path_ / "cgroup.procs", std::to_string(pid)); }
  void set_frozen(bool frozen) const { write_file(path_ / "cgroup.freeze", frozen ? "1" : "0"); }
  /// As /proc/PID/cgroup names it, if the hierarchy's root is mounted.
  [[nodiscard]] std::string name() const { return "/" + path_.filename().string(); }
  [[nodiscard]] bool is_frozen() const { return read_file(path_ / "cgroup.freeze") == "1\n"; }

 private:
  fs::path path_;
};

/// A process that tries to change the files at `paths` in the tree `root`, over and over, as root of a container:
/// without the capability to take an immutable flag off.
class HostileTenant {
 public:
  HostileTenant(const fs::path& root, Entry entry, const std::vector<std::string>& paths) {
    void* const shared = ::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    told_ = new (shared) Told;
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_CAPBSET_DROP, CAP_LINUX_IMMUTABLE);
    live(root, entry, paths);
    ::_exit(1);
  }
  ~HostileTenant() {
    ::kill(pid_, SIGKILL);
    ::kill(pid_, SIGCONT);
    ::waitpid(pid_, nullptr, 0);
    // A chain may have forked between two of its members' ends.
    while (::kill(-pid_, SIGKILL) == 0) std::this_thread::yield();
    ::munmap(told_, sizeof(Told));
  }
  HostileTenant(const HostileTenant&) = delete;
  HostileTenant& operator=(const HostileTenant&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::uint64_t changed() const { return told_->changed; }
  /// Whether it goes round within a second.
  [[nodiscard]] bool runs() const {
    const std::uint64_t before = told_->rounds;
    for (int waited = 0; waited < 100; ++waited) {
      if (told_->rounds > before + 1) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }

 private:
  /// A root and mounts of the thread's own, with a part of the vserver among them.
  static bool enter_other_mounts(const fs::path& root) {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
    const fs::path other = root.parent_path().parent_path() / "other-root";
    if (::mount("none", other.c_str(), "tmpfs", 0, nullptr) != 0) return false;
    fs::create_directory(other / "usr");
    return ::mount((root / "usr").c_str(), (other / "usr").c_str(), nullptr, MS_BIND, nullptr) == 0 &&
           ::chroot(other.c_str()) == 0 && ::chdir("/") == 0;
  }

  void live(const fs::path& root, Entry entry, const std::vector<std::string>& paths) {
    static Told* told;
    static std::vector<std::string> tried;
    told = told_;
    tried = paths;
    static const auto attack = [] {
      for (;;) {
        for (const std::string& path : tried) try_to_change(path.c_str(), *told);
        ++told->rounds;
      }
    };
    if (entry == Entry::other_mounts_of_one_thread) {
      pthread_t thread{};
      ::pthread_create(
          &thread, nullptr,
          [](void*) -> void* {
            for (;;) ::pause();
          },
          nullptr);
    }
    if (entry == Entry::other_mounts || entry == Entry::other_mounts_of_one_thread) {
      if (!enter_other_mounts(root)) return;
    } else if (::chroot((entry == Entry::chroot_below ? root / "var" : root).c_str()) != 0) {
      return;
    }
    if (::chdir("/") != 0) return;
    if (entry == Entry::second_thread) {
      pthread_t thread{};
      ::pthread_create(
          &thread, nullptr,
          [](void*) -> void* {
            attack();
            return nullptr;
          },
          nullptr);
      ::syscall(SYS_exit, 0);  // of this thread alone
    }
    if (entry == Entry::waiting_for_child) {
      ++told->rounds;
      // vfork(2), which ThreadSanitizer makes a fork of, but with memory of its own.
      if (::syscall(SYS_clone, CLONE_VFORK | SIGCHLD, nullptr, nullptr, nullptr, nullptr) == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) ::pause();
      }
    }
    if (entry == Entry::chain_of_forks) {
      // A group of its own, by which all of the chain end.
      ::setpgid(0, 0);
      for (;;) {
        for (const std::string& path : tried) try_to_change(path.c_str(), *told);
        ++told->rounds;
        if (::fork() != 0) ::_exit(0);
      }
    }
    attack();
  }

  Told* told_ = nullptr;
  pid_t pid_ = -1;
};

}  // namespace vskel::test
