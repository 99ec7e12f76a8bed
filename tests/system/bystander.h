// Processes that are somewhere while a command runs: inside a vserver, or outside with something of it.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <system_error>

namespace vskel::test {

namespace fs = std::filesystem;

/// A process that has become something, and then waits for its end.
class Bystander {
 public:
  /// `become` gives the number of the process that matters, 0 for the one that it runs in.
  explicit Bystander(const std::function<pid_t()>& become) {
    std::array<int, 2> ready{};
    if (::pipe2(ready.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    child_ = ::fork();
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::setsid();
      const pid_t who = become();
      (void)!::write(ready[1], &who, sizeof(who));
      ::close(ready[0]);
      ::close(ready[1]);
      for (;;) ::pause();
    }
    ::close(ready[1]);
    pid_t who = -1;
    (void)!::read(ready[0], &who, sizeof(who));
    ::close(ready[0]);
    pid_ = who == 0 ? child_ : who;
  }
  ~Bystander() {
    ::kill(-child_, SIGKILL);
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  Bystander(const Bystander&) = delete;
  Bystander& operator=(const Bystander&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t child_ = -1, pid_ = -1;
};

/// For what has to work in a Bystander: it ends otherwise, and its number is -1.
inline void must(bool done) {
  if (!done) ::_exit(1);
}

inline void make_mounts_private() { must(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0); }

inline pid_t enter(const fs::path& root) {
  must(::chroot(root.c_str()) == 0 && ::chdir("/") == 0);
  return 0;
}

/// A message with room for one descriptor.
struct DescriptorMessage {
  char byte = 'd';
  iovec data{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  DescriptorMessage() {
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
  DescriptorMessage(const DescriptorMessage&) = delete;
  DescriptorMessage& operator=(const DescriptorMessage&) = delete;
};

inline void send_descriptor(int socket, int descriptor) {
  DescriptorMessage message;
  cmsghdr* const rights = CMSG_FIRSTHDR(&message.header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
  must(::sendmsg(socket, &message.header, 0) == 1);
}

/// It comes with the message, and stays open.
inline int receive_descriptor(int socket) {
  DescriptorMessage message;
  must(::recvmsg(socket, &message.header, 0) == 1);
  const cmsghdr* const rights = CMSG_FIRSTHDR(&message.header);
  must(rights != nullptr);
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(rights), sizeof(int));
  return descriptor;
}

/// Outside, with a descriptor that a tenant opened and handed over before he ended.
inline pid_t take_from_tenant(const fs::path& root, const char* path, int flags) {
  std::array<int, 2> sockets{};
  must(::socketpair(AF_UNIX, SOCK_STREAM, 0, sockets.data()) == 0);
  const pid_t tenant = ::fork();
  if (tenant == 0) {
    enter(root);
    send_descriptor(sockets[1], ::open(path, flags));
    ::_exit(0);
  }
  receive_descriptor(sockets[0]);
  ::waitpid(tenant, nullptr, 0);
  return 0;
}

inline void pivot_to_here() {
  must(::syscall(SYS_pivot_root, ".", ".") == 0 && ::umount2(".", MNT_DETACH) == 0 && ::chdir("/") == 0);
}

/// Becomes a container of its own, which keeps nothing of its root but the descriptor that this gives.
inline int hide_with_descriptor(const fs::path& root, int spaces) {
  must(::unshare(CLONE_NEWNS) == 0);
  make_mounts_private();
  must(::mount(root.c_str(), root.c_str(), nullptr, MS_BIND, nullptr) == 0 && ::chdir(root.c_str()) == 0);
  pivot_to_here();
  const int kept = ::open("/", O_RDONLY | O_DIRECTORY);
  must(kept >= 0);
  must(::unshare(spaces) == 0);
  must(::mount("none", "/var", "tmpfs", 0, nullptr) == 0 && ::chdir("/var") == 0);
  pivot_to_here();
  return kept;
}
inline pid_t hide(const fs::path& root, int spaces) {
  hide_with_descriptor(root, spaces);
  return 0;
}

}  // namespace vskel::test
