// One tree becomes the three parts of a skel: every path goes to the part that the layout names, with all its metadata,
// and is written down for the manifest.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <span>
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
  std::span<const std::string> paths;  ///< all names of its inode that go to `part`, sorted
  Part part;
  const sys::Stat& stat;
  const Metadata& metadata;
  const Fd& file;
};

/// Files that the skel has already, one of which may take the place of a candidate. Called from many tasks.
class KnownFiles {
 public:
  KnownFiles() = default;
  KnownFiles(const KnownFiles&) = delete;
  KnownFiles& operator=(const KnownFiles&) = delete;
  virtual ~KnownFiles() = default;
  /// The number of the file that is to take its place, under all of its names; nullopt: none is.
  [[nodiscard]] virtual Result<std::optional<std::size_t>> find(const Candidate& candidate) = 0;
  /// Gives that file a further name. False, and nothing is done, if its file system allows it no more.
  [[nodiscard]] virtual Result<bool> link(std::size_t known, const DirFd& target, Name name) = 0;
  /// Takes such a name back.
  [[nodiscard]] virtual Result<> unlink(std::size_t known, const DirFd& target, Name name) = 0;
  /// It has all names of the candidate. Their entries for the manifest are this object's to keep.
  [[nodiscard]] virtual Result<> keep(std::size_t known, const Candidate& candidate) = 0;
};

struct DistributeRequest {
  const DirFd* source = nullptr;
  std::array<const DirFd*, kParts>
      parts{};  ///< roots of the parts, empty directories on one file system, indexed by Part
  const Layout* layout = nullptr;
  Transfer transfer = Transfer::copy;
  std::optional<SealKind> seal;  ///< for linkable files of global; nullopt: none
  std::function<Treatment(const WalkDirectory& directory, const WalkEntry& entry)>
      treatment;                ///< called from many tasks
  KnownFiles* known = nullptr;  ///< asked for every regular file; may be null
  /// Puts another file than the source's as `name` into `target`, and then keeps its entry for the manifest itself;
  /// false: the source's file is taken. Asked for every name of a regular file that is not known, each by itself. May
  /// be empty. Called from many tasks.
  std::function<Result<bool>(const Candidate& candidate, const DirFd& target, Name name)> put_instead;
  /// Puts what is not of the source into the parts, and its entries behind the others, in no order. Called once, when
  /// all of the source is there and no directory has its owner, mode, attributes and times yet. May be empty.
  std::function<Result<>(ManifestEntries& entries)> add;
  Executor* executor = nullptr;
  Progress* progress = nullptr;
};

struct Distributed {
  ManifestEntries entries;         ///< sorted by path, then part
  std::vector<std::string> notes;  ///< sockets and mount points that were left out, flags that were not kept
};

/// Runs inside the caller's TBB arena. The first error ends it; the caller throws the parts away.
[[nodiscard]] Result<Distributed> distribute(const DistributeRequest& request);

/// What to say of a file or directory that is immutable or append-only, which its copy is not; nullopt for all others.
[[nodiscard]] std::optional<std::string> lost_flag(std::string_view path, const sys::Stat& stat);

}  // namespace vskel
