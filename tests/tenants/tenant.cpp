#include "tests/tenants/tenant.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string_view>

namespace vskel::test {

namespace {

constexpr std::array kTakenFromRoot = {CAP_LINUX_IMMUTABLE, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN, CAP_SYS_RAWIO,
                                       CAP_SYS_MODULE,      CAP_SYS_PTRACE,      CAP_SYS_BOOT,  CAP_SYS_RESOURCE};

void must(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

void drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  must(::syscall(SYS_capget, &header, data.data()) == 0, "capget");
  for (const int capability : kTakenFromRoot) {
    must(::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0, "take a capability");
    const auto bit = ~(1U << (static_cast<unsigned>(capability) % 32));
    auto& half = data.at(static_cast<std::size_t>(capability) / 32);
    half.effective &= bit;
    half.permitted &= bit;
    half.inheritable &= bit;
  }
  must(::syscall(SYS_capset, &header, data.data()) == 0, "capset");
}

void write_map(const char* path) {
  std::ofstream map(path);
  map << "0 100000 65536\n";
  map.close();
  must(static_cast<bool>(map), path);
}

// The map is written by a child that stayed in the namespace above: one's own map may only name one's own id.
void become_user_namespace_root() {
  std::array<int, 2> ready{};
  must(::pipe2(ready.data(), O_CLOEXEC) == 0, "pipe");
  const pid_t mine = ::getpid();
  const pid_t child = ::fork();
  must(child >= 0, "fork");
  if (child == 0) {
    char go = 0;
    if (::read(ready[0], &go, 1) != 1) ::_exit(1);
    try {
      const std::string own = "/proc/" + std::to_string(mine);
      write_map((own + "/uid_map").c_str());
      write_map((own + "/gid_map").c_str());
    } catch (const std::exception&) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  must(::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0, "unshare");
  must(::write(ready[1], "g", 1) == 1, "go");
  int status = 0;
  must(::waitpid(child, &status, 0) == child && status == 0, "uid_map");
  must(::setresgid(0, 0, 0) == 0 && ::setresuid(0, 0, 0) == 0, "become root of the namespace");
}

std::string first_line(int fd) {
  std::string line;
  for (char next = 0; ::read(fd, &next, 1) == 1 && next != '\n';) line += next;
  return line;
}

/// The number, outside, of the first process of a guest that runs and does nothing. It ends with this process.
pid_t start_guest(const std::filesystem::path& vserver) {
  std::array<int, 2> ends{};
  must(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe");
  const std::string machine = "t" + std::to_string(::getpid()), directory = vserver.string();
  const std::string probe = std::string("--bind-ro=") + VSKEL_PROBE + ":/.probe";
  const pid_t manager = ::fork();
  must(manager >= 0, "fork");
  if (manager == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
    ::execlp("systemd-nspawn", "systemd-nspawn", "-q", "--settings=no", "--console=pipe", "--register=no",
             "--keep-unit", "--private-users=pick", "--private-users-ownership=map", "--timezone=off",
             "--private-network", "-M", machine.c_str(), "-D", directory.c_str(), probe.c_str(), "/.probe", "wait",
             nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  if (first_line(ends[0]) != "up") throw std::runtime_error("systemd-nspawn does not start its guest");
  std::ifstream children("/proc/" + std::to_string(manager) + "/task/" + std::to_string(manager) + "/children");
  pid_t guest = 0;
  must(static_cast<bool>(children >> guest), "children of systemd-nspawn");
  return guest;
}

/// Comes back in a child of this process, as one of the guest's.
void become_one_of(pid_t guest) {
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, guest, 0));
  must(process >= 0, "pidfd_open");
  must(::setns(process, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC) == 0, "setns");
  ::close(process);
  must(::setresgid(0, 0, 0) == 0 && ::setresuid(0, 0, 0) == 0, "become root of the guest");
  const pid_t inside = ::fork();
  must(inside >= 0, "fork");
  if (inside == 0) return;
  int status = 0;
  ::waitpid(inside, &status, 0);
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

void confine(const std::filesystem::path& vserver, Confinement confinement) {
  if (confinement == Confinement::nspawn) return become_one_of(start_guest(vserver));
  // First, while it may: the directory of all vservers lets only the host's root through.
  must(::chdir(vserver.c_str()) == 0, "chdir");
  if (confinement == Confinement::user_namespace) become_user_namespace_root();
  must(::chroot(".") == 0, "chroot");
  if (confinement == Confinement::root) drop_capabilities();
}

}  // namespace

std::string confinement_name(Confinement confinement) {
  switch (confinement) {
    case Confinement::root:
      return "root";
    case Confinement::user_namespace:
      return "user_namespace";
    case Confinement::nspawn:
      return "nspawn";
  }
  return "";
}

Tenant::Tenant(const std::filesystem::path& vserver, Confinement confinement, const Doing& doing) {
  std::array<int, 2> ends{};
  must(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe");
  pid_ = ::fork();
  must(pid_ >= 0, "fork");
  if (pid_ == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(ends[0]);
    std::string said;
    try {
      confine(vserver, confinement);
      said = "ready\n" + doing();
    } catch (const std::exception& error) {
      said = error.what();
    }
    for (std::string_view left = said; !left.empty();) {
      const ssize_t written = ::write(ends[1], left.data(), left.size());
      if (written <= 0) ::_exit(1);
      left.remove_prefix(static_cast<std::size_t>(written));
    }
    ::_exit(0);
  }
  ::setpgid(pid_, pid_);
  ::close(ends[1]);
  from_ = ends[0];
}

Tenant::~Tenant() {
  if (pid_ > 0) kill();
}

void Tenant::kill() {
  ::kill(-pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  ::close(from_);
  pid_ = -1;
}

std::string Tenant::wait() {
  std::string said;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(from_, buffer.data(), buffer.size())) > 0;)
    said.append(buffer.data(), static_cast<std::size_t>(got));
  kill();
  if (!said.starts_with("ready\n")) throw std::runtime_error("tenant: " + said);
  return said.substr(6);
}

unsigned long_factor(unsigned times_longer) {
  const char* wanted = std::getenv("VSKEL_LONG");
  return wanted != nullptr && std::string_view(wanted) == "1" ? times_longer : 1;
}

}  // namespace vskel::test
