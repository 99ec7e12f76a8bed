// Carrying out staged steps in a vserver that may be running: by exchange of names, each proved before and looked at
// after (threats.md, section 4). The same function goes on after a crash.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/relink/grace.h"
#include "engine/relink/skel_links.h"
#include "engine/relink/staged_step.h"

namespace vskel {

/// After a crash, with a vserver running that shares sealed inodes: nothing further may be lifted.
enum class Further { carry_out, leave };

struct CarriedOut {
  /// Steps that were not: what was there was changed, or is in use, or a parent is no directory any more. By path, with
  /// the generation that stays their base.
  std::map<std::string, unsigned> left;
  std::optional<Error> error;  ///< the kernel's word that ended it; the steps after it are in `left`
  /// Users and groups could not follow, and so nothing was done at all: what is the vserver's belongs to whom it did.
  bool untouched = false;
};

/// What the steps of one vserver are carried out with. All outlives the CarryOut.
struct CarryOutRequest {
  LinkShared& links;
  const DirFd& slots;       ///< of the steps. What was replaced or removed lies there until finish()
  const DirFd& root;        ///< of the vserver
  const DirFd& quarantine;  ///< for what a tenant wrote meanwhile and that cannot go back to its path
  std::string name;         ///< what names in quarantine begin with
  const Grace& grace;
  Further further = Further::carry_out;
  sys::Time staged;              ///< when all that comes had been made
  bool after_crash = false;      ///< what lies in the slots may have been written to since
  std::size_t most_leases = 64;  ///< descriptors that may be held until settle()
};

/// One vserver's steps, in three calls, between which the caller waits for Grace, once for all vservers: a lease has to
/// be held until whoever was on his way to the old inode is there, and is then found waiting. Not thread-safe.
class CarryOut {
 public:
  explicit CarryOut(const CarryOutRequest& request);
  CarryOut(const CarryOut&) = delete;
  CarryOut& operator=(const CarryOut&) = delete;
  ~CarryOut();
  /// Carries out all steps; those that something is in the way of wait for settle().
  void run(const StepSource& steps);
  /// Whether leases are held, so that a grace has to be waited for.
  [[nodiscard]] bool holds_leases() const;
  /// Gives back to their writers what they wait for, drops the rest of what was replaced, and tries once more what was
  /// in the way (relink.md, row 26).
  void settle();
  /// The same for those, and the outcome. What was replaced or removed and is in its slot still is the caller's to
  /// remove once all is durable.
  [[nodiscard]] CarriedOut finish();

 private:
  class Carrier;
  std::unique_ptr<Carrier> carrier_;
};

}  // namespace vskel
