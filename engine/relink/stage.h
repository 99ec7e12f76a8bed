// Making in staging what a plan puts into a vserver: links to the skel's inodes, clones, copies, symlinks, whole
// subtrees, each complete with its metadata before it is moved anywhere.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "engine/issue/executor.h"
#include "engine/relink/staged_step.h"
#include "engine/seal/seal.h"

namespace vskel {

/// What all vservers of one run stage with. Thread-safe.
struct StagingShared {
  const SkelView& view;
  Executor& executor;
  SealKind seal;
  LiftedSeals seals;
  std::mutex leaders;  ///< one at a time replaces an inode that has all the names its file system allows
};

/// Stages for one vserver. Not thread-safe, as any value; several may work at once on one StagingShared.
class Stager {
 public:
  /// `share` is how the vserver has global files.
  Stager(StagingShared& shared, Share share) : shared_(shared), share_(share), files_(shared.view) {}
  /// Makes `node`, with all below it, as `name` in `dir`, which is ours.
  [[nodiscard]] Result<> put(const TreeNode& node, const DirFd& dir, Name name);
  /// Stages every step of `plan` into `slots`. The steps come back in their order.
  [[nodiscard]] Result<std::vector<StagedStep>> stage(const VserverPlan& plan, const DirFd& slots);

 private:
  [[nodiscard]] Result<> put_directory(const TreeNode& node, const DirFd& dir, Name name);
  [[nodiscard]] Result<> put_file(const TreeNode& node, const DirFd& dir, Name name);
  /// Gives the inode that was linked.
  [[nodiscard]] Result<std::uint64_t> put_link(const TreeNode& node, const DirFd& dir, Name name);
  [[nodiscard]] bool is_linked(const TreeNode& node) const { return share_ == Share::hardlink && node.linkable; }
  [[nodiscard]] Result<> put_copy(const TreeNode& node, const DirFd& dir, Name name);
  [[nodiscard]] Result<> put_other(const TreeNode& node, const DirFd& dir, Name name);
  [[nodiscard]] Result<> make_new_leader(const TreeNode& node, const DirFd& source, const DirFd& scratch);
  [[nodiscard]] Result<> issue(const Operation& operation, const DirFd& dir);
  StagingShared& shared_;
  Share share_;
  SkelFiles files_;
  const DirFd* slots_ = nullptr;
  std::string here_;  ///< the directory at work, relative to slots_
  /// Of a skel's inode with several names, the first that was staged, relative to slots_.
  std::map<std::pair<Part, std::uint64_t>, std::string> first_names_;
};

}  // namespace vskel
