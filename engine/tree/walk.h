// The parallel walk: every directory below one or several roots is handed to a visitor, once, in a work-stealing TBB
// task.
//
// Several roots are layers of one tree (a skel's global, local and static): a directory that stands in more than one of
// them is visited once, with its names merged; of other names the highest layer's wins. One root is the plain case.
//
// Directories are opened by the task that visits them, against the parent's descriptor, and a parent's descriptors are
// closed when its last child has opened its own: what is open at a time is bounded by the depth of the tree times the
// number of workers, not by its width. TBB takes a worker's own tasks last in, first out, so the walk goes deep before
// it goes wide.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sys/kernel.h"
#include "engine/tree/listing.h"

namespace vskel {

inline constexpr std::size_t kMostLayers = 3;
/// Deeper directories are an error of the walk (but in a tenant's tree): paths beyond any PATH_MAX that programs could
/// use.
inline constexpr unsigned kDepthLimit = 2048;
/// The same of their paths, in bytes: with a name behind it such a path is not longer than a manifest may have it.
inline constexpr std::size_t kPathLimit = 64 * 1024 - 256;

/// One merged name of a directory.
struct WalkEntry {
  Name name;
  sys::FileType type;
  std::uint64_t inode;     ///< d_ino in its layer
  std::uint8_t layer;      ///< the layer that provides it (for directories: the highest that has it)
  std::uint8_t in_layers;  ///< bit set of the layers that have this directory; for other types only its own
  std::uint8_t hidden;     ///< bit set of the layers whose entry of this name lost to it (0 in a sane skel)
};

/// A directory under visit; alive until its last child has been opened.
struct WalkDirectory {
  std::string path;  ///< relative to the roots; "" for the root itself
  unsigned depth = 0;
  std::array<DirFd, kMostLayers> layers;  ///< closed where this layer has no such directory
  std::uint8_t in_layers = 0;
  std::vector<WalkEntry> entries;

  /// "path/name", or just the name below the root.
  [[nodiscard]] std::string path_to(Name name) const;
  /// The highest layer that has this directory.
  [[nodiscard]] const DirFd& top() const;

  std::vector<Listing> listings;  ///< own the bytes of the names
};

/// What the walk does at a mount point or another file system below a root. A subvolume of btrfs is another one.
enum class Mounts {
  stop,
  cross,
  /// stop, in a tree that its tenant may change meanwhile and need not mean to be walked: a directory that is gone or
  /// is none any more, or is nested too deep for us, is left out likewise.
  stop_in_tenants_tree,
};

class Walk;
/// Called in a task, at the same time as others for other directories. `context` is what the visitor of the parent
/// passed to descend(). The visitor owns its copy of the context and lets go of it early, if that closes descriptors.
/// An error stops the walk.
using Visitor = std::function<Result<void>(Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                                           std::shared_ptr<void> context)>;

class Walk {
 public:
  /// Layers from lowest to highest; each is reopened, the caller keeps its own. Runs inside the TBB arena of the
  /// caller. Gives the paths of the directories that were left out because of `mounts`, or the first error of a visitor
  /// or of the walk itself, after all running tasks have ended.
  [[nodiscard]] static Result<std::vector<std::string>> run(const std::vector<const DirFd*>& layers, Mounts mounts,
                                                            const std::shared_ptr<void>& root_context,
                                                            const Visitor& visitor);

  /// To be called by a visitor: visits the subdirectory `entry` of `directory` in a task of its own.
  void descend(const std::shared_ptr<const WalkDirectory>& directory, const WalkEntry& entry,
               std::shared_ptr<void> context);
  /// A visitor that has nothing more to do with the walk may ask whether it is over.
  [[nodiscard]] bool stopped() const;

  ~Walk();

 private:
  Walk(Mounts mounts, const Visitor& visitor);
  struct State;
  void visit(const std::shared_ptr<WalkDirectory>& directory, std::shared_ptr<void> context);
  void stop(Error error);
  [[nodiscard]] Result<std::shared_ptr<WalkDirectory>> open_child(const WalkDirectory& parent, Name name,
                                                                  std::uint8_t in_layers);
  [[nodiscard]] Result<DirFd> open_in_layer(const WalkDirectory& parent, std::size_t layer, Name name) const;
  [[nodiscard]] bool leaves_out(int code) const;
  void leave_out(const std::string& path);
  std::unique_ptr<State> state_;
};

/// Calls `visit` for every entry below `tree` that is no directory and on the same file system, from many tasks.
[[nodiscard]] Result<> for_each_file(
    const DirFd& tree, const std::function<Result<>(const WalkDirectory& directory, const WalkEntry& entry)>& visit);

}  // namespace vskel
