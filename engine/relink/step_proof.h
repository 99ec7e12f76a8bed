// Whether what a step replaces or removes is what it was planned for: looked at before its name moves, and after.
#pragma once

#include <vector>

#include "engine/relink/staged_step.h"
#include "engine/skel/skel.h"
#include "engine/sys/kernel.h"

namespace vskel {

/// What tells, after the grace, that nobody changed a file.
struct FileGuard {
  Fd lease;  ///< a read lease on it; not open: there is none
  std::vector<sys::Xattr> xattrs;
};

enum class Proven {
  no,
  yes,
  has_come,  ///< what is to come stands there: the step was carried out before a crash
};

/// Looks, and changes nothing. Errors are the kernel's. Not thread-safe. All that it is made with outlives it.
class StepProof {
 public:
  /// `after_crash`: a ctime says nothing of what happened since the plan.
  StepProof(const Skel& skel, const DirFd& slots, bool after_crash)
      : skel_(skel), slots_(slots), after_crash_(after_crash) {}

  /// Is what stands at `name` what the step was planned for, and does nobody write to it? Leaves in `guard` the lease
  /// that says so.
  [[nodiscard]] Result<Proven> prove(const StagedStep& step, const DirFd& dir, Name name, FileGuard& guard) const;
  /// What lies in the slot now is the inode of the plan, as it was.
  [[nodiscard]] Result<bool> is_what_was_meant(const StagedStep& step) const;
  /// The bytes and attributes of what lies in the slot are still those that it was replaced for. `dir` is where what
  /// took its place stands.
  [[nodiscard]] Result<bool> has_stayed(const StagedStep& step, const DirFd& dir) const;
  /// Whether a tenant has changed, made or removed nothing in the tree in the slot since it was planned for, and has
  /// nothing of it open for writing. What is sealed he could not change.
  [[nodiscard]] Result<bool> is_untouched_below(const StagedStep& step) const;
  /// What came, stood in the vserver, and lies in the slot again is as it was when all was staged, at `staged`, and
  /// nobody has it open for writing. True of what is no longer there.
  [[nodiscard]] Result<bool> is_as_it_came(const StagedStep& step, sys::Time staged) const;

 private:
  [[nodiscard]] Result<bool> has_the_bytes(const StagedStep& step, const Fd& file, const DirFd& dir, Name theirs) const;

  const Skel& skel_;
  const DirFd& slots_;
  const bool after_crash_;
};

/// Whether nothing in the bundle of these steps, but for the inodes that were put there, was changed or made since it
/// was planned for. What was replaced or removed is looked at in its slot.
[[nodiscard]] Result<bool> is_bundle_untouched(const DirFd& root, const std::vector<StagedStep>& steps,
                                               const std::vector<std::uint64_t>& put_there);

}  // namespace vskel
