// The slots of one vserver's staged steps: what comes lies in them, and once names have moved, what was there. Each
// function of Slots is one move between a slot and the vserver, in a turn, with the seals of the skel's inodes lifted
// around it.
#pragma once

#include <string>

#include "engine/relink/skel_links.h"
#include "engine/relink/staged_step.h"
#include "engine/sys/kernel.h"
#include "engine/tree/in_turn.h"

namespace vskel {

/// The slots of an operation are a directory of mode 0700 in the vserver's own root. A tenant may stand in any
/// directory that comes to lie in a slot, or have it open: from there he climbs to his root, and no further (safety.md,
/// 8). Making and removing it leaves the modification time of the root as it was.
[[nodiscard]] Result<DirFd> make_slots(const DirFd& root, const std::string& operation);
/// Closed where they are not there.
[[nodiscard]] Result<DirFd> open_slots(const DirFd& root, const std::string& operation);
/// With all that lies in them; content if they are not there. An error where the tenant puts things into them.
[[nodiscard]] Result<> remove_slots(const DirFd& root, const std::string& operation, const InTurn& in_turn);

/// All that it is made with outlives it. Errors are the kernel's; a seal that can't be set again is one, too.
class Slots {
 public:
  Slots(const DirFd& dir, LinkShared& shared) : dir_(dir), shared_(shared) {}

  [[nodiscard]] const DirFd& dir() const { return dir_; }
  [[nodiscard]] static Name of(const StagedStep& step) { return *Name::check(step.slot); }

  /// What comes, to where nothing is.
  [[nodiscard]] Result<> put(const StagedStep& step, const DirFd& dir, Name name);
  /// What is there, into the empty slot.
  [[nodiscard]] Result<> take(const StagedStep& step, const DirFd& dir, Name name);
  /// What comes and what is there change places.
  [[nodiscard]] Result<> exchange(const StagedStep& step, const DirFd& dir, Name name);
  /// Undoes exchange(): as the two that follow also where no turn is to be had any more, because half a bundle is
  /// worse, and what somebody does meanwhile the ledger tells. Where what came is gone meanwhile, what came out goes
  /// back alone, and a directory stays in the slot: an empty slot would say that the exchange has been and what came
  /// out is dropped. EEXIST: something else stands there by now, and what came out is in the slot still.
  [[nodiscard]] Result<> exchange_back(const StagedStep& step, const DirFd& dir, Name name);
  /// Undoes put(), unless the tenant has it no more.
  [[nodiscard]] Result<> take_back(const StagedStep& step, const DirFd& dir, Name name);
  /// Undoes take().
  [[nodiscard]] Result<> put_back(const StagedStep& step, const DirFd& dir, Name name);

 private:
  [[nodiscard]] Result<> lift(bool sealed, const DirFd& dir, Name name, std::uint64_t inode) {
    return sealed ? shared_.seals.lift(dir, name, inode) : Result<>{};
  }
  [[nodiscard]] Result<> restore(bool sealed, const DirFd& dir, Name name, std::uint64_t inode) {
    return sealed ? shared_.restore(dir, name, inode) : Result<>{};
  }

  const DirFd& dir_;
  LinkShared& shared_;
};

}  // namespace vskel
