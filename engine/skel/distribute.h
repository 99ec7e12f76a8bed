// One tree becomes the three parts of a skel: every path goes to the part that the layout names, with all its metadata,
// and is written down for the manifest.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "engine/issue/executor.h"
#include "engine/manifest/manifest.h"
#include "engine/model/sharing.h"
#include "engine/skel/layout.h"
#include "engine/tree/walk.h"

namespace vskel {

/// What becomes of one name of the source.
enum class Treatment {
  take,
  leave_out,
  keep_empty,  ///< a directory without what is in it
};

/// How a file comes into its part.
enum class Transfer {
  copy,  ///< the source stays as it is and shares nothing with the skel
  move,  ///< the source is ours and is thrown away afterwards: its inodes are linked over
};

/// A regular file of the source, about to be taken.
struct Candidate {
  const std::string& path;
  Part part;
  const sys::Stat& stat;
  const Metadata& metadata;
  const Fd& file;
};

struct DistributeRequest {
  const DirFd* source = nullptr;
  std::array<const DirFd*, kParts>
      parts{};  ///< roots of the parts, empty directories on one file system, indexed by Part
  const Layout* layout = nullptr;
  Transfer transfer = Transfer::copy;
  std::optional<SealKind> seal;  ///< for linkable files of global; nullopt: none
  std::function<Treatment(const WalkDirectory& directory, const WalkEntry& entry)>
      treatment;  ///< called from many tasks
  /// Asked for every regular file: what the skel has already it may put as `name` into `target` itself, and then keeps
  /// the entry for the manifest itself, too; false: the source's file is taken. May be empty. Called from many tasks.
  std::function<Result<bool>(const Candidate& candidate, const DirFd& target, Name name)> put_known;
  /// Puts what is not of the source into the parts, and its entries behind the others, in no order. Called once, when all
  /// of the source is there and no directory has its owner, mode, attributes and times yet. May be empty.
  std::function<Result<>(ManifestEntries& entries)> add;
  Executor* executor = nullptr;
  Progress* progress = nullptr;
};

struct Distributed {
  ManifestEntries entries;         ///< sorted by path, then part
  std::vector<std::string> notes;  ///< sockets and mount points that were left out
};

/// Runs inside the caller's TBB arena. The first error ends it; the caller throws the parts away.
[[nodiscard]] Result<Distributed> distribute(const DistributeRequest& request);

}  // namespace vskel
