// Who could be a tenant of a vserver that shares files, and reach them while their seal is lifted. Not who is one: a
// process may hide where it came from, and is then a suspect by what lets it hide (sys/holders.h says who is none).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/quiesce/inhabitants.h"
#include "engine/sys/holders.h"

namespace vskel {

/// Looks for suspects, again and again while seals are lifted in between. Not thread-safe.
class SuspectSearch {
 public:
  /// `vservers` outlives it. `trusted` are control groups, as /proc/PID/cgroup names them: who is in one of them, or in
  /// one below, is no suspect for being in a namespace, or for not letting himself be looked at; who has hold of
  /// something in VSERVERS is.
  SuspectSearch(const DirFd& vservers, std::vector<Tenant> tenants, std::vector<std::string> trusted)
      : vservers_(vservers), tenants_(std::move(tenants)), trusted_(std::move(trusted)) {}

  /// An error (without an errno) that names vserver and process and says what to do, if there is anybody. Looks again
  /// where somebody was born meanwhile, but not for ever: a busy machine makes processes all the time. Who has come and
  /// gone between two looks is seen by neither; how many did is counted, and what they did is for the ledger to find
  /// (seal.h, LiftedSeals).
  [[nodiscard]] Result<> look();

  /// For who finds a shared file changed: those who could be tenants now, as far as they are to be seen, named.
  /// Thread-safe.
  [[nodiscard]] std::string suspected() const;

  /// Tasks that the machine began between the first look and the last.
  [[nodiscard]] std::uint64_t begun_meanwhile() const { return last_count_ - first_count_; }

 private:
  [[nodiscard]] Result<sys::HoldersLook> look_once() const;
  [[nodiscard]] std::string place_of(const sys::Holder& holder) const;
  [[nodiscard]] std::unexpected<Error> refusal(std::span<const sys::Holder> suspects) const;
  [[nodiscard]] bool is_trusted(const sys::Holder& holder) const;
  const DirFd& vservers_;
  std::vector<Tenant> tenants_;
  std::vector<std::string> trusted_;
  bool looked_ = false;
  std::uint64_t first_count_ = 0, last_count_ = 0;
};

/// Who has root directory, descriptors or mappings in one of `tenants`, however he came by them: who has left it by
/// another root, but could come back. Threads may ask at the same time.
[[nodiscard]] Result<std::vector<Inhabitant>> find_holders_of(const DirFd& vservers, std::span<const Tenant> tenants);

}  // namespace vskel
