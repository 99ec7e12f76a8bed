// Making in staging what a plan puts into a vserver: clones, copies, symlinks, whole subtrees, each complete with its
// metadata before it is moved anywhere. A link that takes the place of one file is not made here but when it is moved
// (carry_out.cpp): there is nothing in it to be made durable first.
#pragma once

#include <map>
#include <string>

#include "engine/relink/owners.h"
#include "engine/relink/skel_links.h"
#include "engine/relink/staged_step.h"
#include "engine/skel/tokens.h"

namespace vskel {

/// What all vservers of one run stage with. Thread-safe.
struct StagingShared {
  const SkelView& view;
  LinkShared links;
  std::string vservers;  ///< the directory, for tokens
};

/// Stages for one vserver. Not thread-safe, as any value; several may work at once on one StagingShared.
class Stager {
 public:
  /// `share` is how the vserver has global files, `owners` whose they are there, `tokens` what its static files get;
  /// nullptr: they are put as they are.
  Stager(StagingShared& shared, Share share, NodeOwners owners, const TokenValues* tokens)
      : shared_(shared),
        share_(share),
        owners_(std::move(owners)),
        tokens_(tokens),
        files_(shared.view),
        links_(shared.links) {}
  /// Makes `node`, with all below it, as `name` in `dir`, which is ours.
  [[nodiscard]] Result<> put(const TreeNode& node, const DirFd& dir, Name name);
  /// Stages every step of `plan` into `slots`, and gives each to `sink` when that is done. Gives a source of the same,
  /// which refers to the plan and the view.
  [[nodiscard]] Result<StepSource> stage(const VserverPlan& plan, const DirFd& slots, const StepSink& sink);

 private:
  [[nodiscard]] Result<> fill_slot(const Step& step, StagedStep& staged);
  /// As it is to be in the vserver.
  [[nodiscard]] Metadata metadata_for(const sys::Stat& stat, std::vector<sys::Xattr> xattrs) const {
    return mapped(metadata_of(stat, std::move(xattrs)), owners_.ids());
  }
  [[nodiscard]] Result<> put_directory(const TreeNode& node, const DirFd& dir, Name name);
  [[nodiscard]] Result<> put_file(const TreeNode& node, const DirFd& dir, Name name);
  /// True if another name of the same inode of the skel's was staged before, and `name` is one more of that.
  [[nodiscard]] Result<bool> link_to_first(const TreeNode& node, std::uint64_t inode, const DirFd& dir, Name name);
  [[nodiscard]] Result<> put_copy(const TreeNode& node, const DirFd& dir, Name name);
  /// True if it is a static file with tokens, and was put with those filled in.
  [[nodiscard]] Result<bool> put_filled(const TreeNode& node, const Fd& file, const sys::Stat& stat, const DirFd& dir,
                                        Name name);
  [[nodiscard]] Result<> put_other(const TreeNode& node, const DirFd& dir, Name name);
  [[nodiscard]] Result<> issue(const Operation& operation, const DirFd& dir);
  StagingShared& shared_;
  Share share_;
  NodeOwners owners_;
  const TokenValues* tokens_;
  SkelFiles files_;
  SkelLinks links_;
  const DirFd* slots_ = nullptr;
  std::string here_;  ///< the directory at work, relative to slots_
  /// Of a skel's inode with several names, the first that was staged, relative to slots_.
  std::map<std::pair<Part, std::uint64_t>, std::string> first_names_;
};

}  // namespace vskel
