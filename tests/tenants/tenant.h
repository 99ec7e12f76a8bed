// Processes that live in a vserver, as a container of each kind would have them.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace vskel::test {

/// root: uid 0 of the host in a chroot, without the capabilities that no container has (inode flags, file handles,
/// mounts, raw devices). user_namespace: uid 0 of a user and mount namespace, which is 100000 outside. nspawn: root in
/// a guest of systemd-nspawn's with the words of the template as shipped (a user namespace, an idmapped mount), with
/// all capabilities there.
enum class Confinement { root, user_namespace, nspawn };
[[nodiscard]] std::string confinement_name(Confinement confinement);

/// A process in a vserver. Killed by the destructor if nobody waited.
class Tenant {
 public:
  /// What the process does; its value goes to wait().
  using Doing = std::function<std::string()>;
  /// Throws std::runtime_error if it cannot be started or confined.
  Tenant(const std::filesystem::path& vserver, Confinement confinement, const Doing& doing);
  ~Tenant();
  Tenant(const Tenant&) = delete;
  Tenant& operator=(const Tenant&) = delete;
  /// Waits for its end and gives what `doing` gave; throws std::runtime_error if it died before.
  [[nodiscard]] std::string wait();
  /// Ends it as a host ends a container.
  void kill();
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int from_ = -1;
};

/// How much longer than in CI's short variant: 1, or with VSKEL_LONG=1 what `times_longer` says.
[[nodiscard]] unsigned long_factor(unsigned times_longer);

}  // namespace vskel::test
