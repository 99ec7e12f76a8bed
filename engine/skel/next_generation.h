// A skel's next generation while it is made, and how it takes the place of the last: common to split-skel and rollback.
//
// Complete new trees are made in staging (staging/ID/global, local), of links to what stays and to what is new; what
// goes is linked into staging/ID/files, for the vservers that have it. Users and groups of static that change wait in
// staging/ID/accounts, those of the generation in staging/ID/generation.accounts (account_files.h). Then a few renames
// publish all of it. An inode that has all the names its file system allows is moved instead of linked, and moved back
// if the generation is not made after all.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "engine/issue/executor.h"
#include "engine/manifest/manifest.h"
#include "engine/quiesce/quiescence.h"
#include "engine/seal/seal.h"
#include "engine/skel/account_files.h"
#include "engine/skel/generation_change.h"
#include "engine/skel/skel.h"
#include "engine/txn/journal.h"

namespace vskel {

class NextGeneration {
 public:
  /// Makes the staging of the generation after number `last` in `staging` (staging/ID). The arguments outlive this.
  [[nodiscard]] static Result<NextGeneration> begin(const Skel& skel, const DirFd& staging, unsigned last,
                                                    SealKind seal, Executor& executor, Quiescence& quiescence);

  [[nodiscard]] const DirFd& tree(Part part) const { return trees_.at(static_cast<std::size_t>(part)); }
  /// A further name in `target` for `source_name` in `source`, of a tree of the skel's. False where the inode takes
  /// none. Thread-safe.
  [[nodiscard]] Result<bool> link(const DirFd& source, Name source_name, const DirFd& target, Name name);
  /// Takes a name back that link() made. Thread-safe.
  [[nodiscard]] Result<> unlink(const DirFd& source, Name source_name, const DirFd& target, Name name);
  /// A copy of `name` in `source`, of a tree of the skel's, with its metadata, at `path` below `root`, which outlives
  /// this. All names that are copied of one inode are one inode there. Not thread-safe.
  [[nodiscard]] Result<> copy(const DirFd& source, Name name, const DirFd& root, const std::string& path);
  /// What the last generation has at `entry` goes into staging/ID/files. Not thread-safe.
  [[nodiscard]] Result<> keep_old(const ManifestEntry& entry);
  /// Static's account files as the new generation has them.
  [[nodiscard]] Result<> keep_accounts(const AccountTexts& texts);
  /// Lays down the new manifest, to which `give` adds all entries. Last, before the intent's "publish".
  [[nodiscard]] Result<> write(const std::function<Result<>(ManifestWriter& writer)>& give);

 private:
  NextGeneration(const Skel& skel, const DirFd& staging, SealKind seal, Executor& executor, Quiescence& quiescence)
      : skel_(&skel),
        staging_(&staging),
        executor_(&executor),
        quiescence_(&quiescence),
        seals_(std::make_unique<LiftedSeals>(seal)) {}
  [[nodiscard]] Result<> seal(const DirFd& dir, Name name, std::uint64_t inode);
  [[nodiscard]] Result<> move_old(const DirFd& source, Name name, const sys::Stat& stat, const DirFd& target);
  const Skel* skel_;
  const DirFd* staging_;
  Executor* executor_;
  Quiescence* quiescence_;
  unsigned last_ = 0;
  std::array<DirFd, kParts> trees_;
  std::unique_ptr<LiftedSeals> seals_;
  DirFd files_;  ///< staging/ID/files, once it is there
  /// Root and source's inode -> the first path of its copy.
  std::map<std::pair<const DirFd*, std::uint64_t>, std::string> copies_;
};

/// What becomes of trees that are not needed any more: their names of sealed inodes may go only while the tenants that
/// have those are still.
enum class Trash { empty, leave };

/// Of split-skel and rollback. Publishes what was staged if the intent says that all of it was complete ("phase":
/// "publish"); "unchanged" takes a merge back without a trace; else undoes it, for which a seal may have to be lifted:
/// in turns of `held`, or where that is null, of what `hold_tenants` gives. Removes the staging and closes the intent. Idempotent. Gives
/// one line.
[[nodiscard]] Result<std::string> finish_generation(const Store& store, Intent& intent, Trash trash,
                                                    const HoldTenants& hold_tenants, Quiescence* held = nullptr);

}  // namespace vskel
