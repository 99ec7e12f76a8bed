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

void confine(const std::filesystem::path& vserver, Confinement confinement) {
  // First, while it may: the directory of all vservers lets only the host's root through.
  must(::chdir(vserver.c_str()) == 0, "chdir");
  if (confinement == Confinement::user_namespace) become_user_namespace_root();
  must(::chroot(".") == 0, "chroot");
  if (confinement == Confinement::root) drop_capabilities();
}

}  // namespace

std::string confinement_name(Confinement confinement) {
  return confinement == Confinement::root ? "root" : "user_namespace";
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
