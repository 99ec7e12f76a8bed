// Hard links to the skel's inodes, for the vservers of one run; and what becomes of an inode that has all the names
// that its file system allows.
#pragma once

#include <cstdint>
#include <optional>
#include <shared_mutex>
#include <string>

#include "engine/issue/executor.h"
#include "engine/quiesce/quiescence.h"
#include "engine/seal/seal.h"
#include "engine/skel/skel.h"
#include "engine/tree/directory_chain.h"

namespace vskel {

/// What all tasks of one run link with. Thread-safe.
struct LinkShared {
  const Skel& skel;
  unsigned generation;  ///< the skel's newest
  Executor& executor;
  SealKind seal;
  LiftedSeals seals;
  std::shared_mutex leaders;  ///< one replaces an inode that has all its names while nobody links
  /// Of those who share inodes: a turn is taken for every link, and for every name that moves in a vserver.
  Quiescence* quiescence = nullptr;

  /// Not while `leaders` is locked. Also when this process is asked to end: names may have to go back.
  [[nodiscard]] Result<Quiescence::Turn> turn() const;
  /// Seals again what was lifted in a turn.
  [[nodiscard]] Result<> restore(const DirFd& dir, Name name, std::uint64_t inode);
};

/// Links one file after the other: the next is mostly near the last. Not thread-safe: one for each task.
class SkelLinks {
 public:
  explicit SkelLinks(LinkShared& shared) : shared_(shared) {}
  /// Makes `name` in `dir`, which is ours, a name of the inode that stands at `path` in the skel's global tree, and
  /// gives its number. Its seal is lifted for the call. At EMLINK a copy takes the inode's place in the skel first.
  [[nodiscard]] Result<std::uint64_t> link(const std::string& path, const DirFd& dir, Name name);

 private:
  [[nodiscard]] Result<std::uint64_t> link_once(const DirFd& source, Name source_name, const DirFd& dir, Name name);
  [[nodiscard]] Result<> make_new_leader(const DirFd& source, Name name, const DirFd& scratch);
  LinkShared& shared_;
  std::optional<DirectoryChain> chain_;
};

}  // namespace vskel
