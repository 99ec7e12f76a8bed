// One step of a plan: what stands at a path of a vserver, what comes in its place, and how that is proved when it is
// carried out.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/relink/generation_tree.h"
#include "engine/sys/kernel.h"
#include "engine/tree/metadata.h"

namespace vskel {

/// A mode with one of these lets whoever runs the file be somebody else.
inline constexpr std::uint32_t kSetIdBits = 06000;

/// What is to be found at a path when its step is carried out.
struct Identity {
  std::uint64_t inode = 0, size = 0;
  sys::Time mtime, ctime;
  std::uint32_t mode = 0, uid = 0, gid = 0;
  sys::FileType type = sys::FileType::unknown;
  bool sealed = false;         ///< as the flag said when it was looked at
  bool further_names = false;  ///< a regular file that had more than one; not written down
};
[[nodiscard]] Identity identity_of(const sys::Stat& stat);
/// The same inode, not changed since as far as its owner lets stat(2) tell; what only moves the ctime (a further name,
/// a seal) is no change.
[[nodiscard]] bool is_still(const Identity& identity, const sys::Stat& stat);

/// How a step makes sure, when it is carried out, that what it replaces is what was planned for.
enum class Proof : std::uint8_t {
  inode,   ///< a sealed inode of the skel's, a symlink or a directory: its identity says all
  theirs,  ///< the bytes of what takes its place
  base,    ///< the bytes of the base's file
  digest,  ///< the base's SHA-256: no file of it is left
};

/// What a step is to the user.
enum class Change : std::uint8_t {
  updated,
  added,
  removed,
  shared,
  moved,   ///< an entry of the tenant's own, to where its directory's link leads
  beside,  ///< theirs of a configuration file that is kept, laid beside it (--new-beside)
  none,    ///< goes along with others and is not told of: times of directories
};
/// "updated" ...
[[nodiscard]] std::string_view change_word(Change change);

/// A file or symbolic link that is made for one vserver.
struct MadeFile {
  sys::FileType type = sys::FileType::regular;
  std::string content;  ///< of a link: where it leads
  Metadata metadata;
  std::string replaces;  ///< SHA-256, in hex, of the bytes that it was made from; of a link: nothing
};

/// There are as many as a vserver has files where private copies are folded: a hundred bytes each.
struct Step {
  enum class Kind : std::uint8_t {
    put_new,
    put_over,
    share_extents,
    remove,
    remove_dir,
    set_metadata,
    move,       ///< within the vserver, from path() to `moved_to`, where nothing stands
    set_times,  ///< of a directory: theirs', if it holds theirs' names and no other
    renew,      ///< of usr: it becomes newer than what systemd-update-done(8) wrote last
  };
  Kind kind = Kind::put_over;
  Change change = Change::updated;
  Proof proof = Proof::inode;
  /// Its bytes were compared while a lease said that nobody could write to it, at a time that its ctime tells from any
  /// later write: under another lease the same ctime says that they are the same bytes.
  bool compared_under_lease = false;
  bool in_use = false;               ///< somebody has it open for writing: tried last, and kept if that is so still
  bool after_moves = false;          ///< only once all moves from below its path are done, see Kind::move
  unsigned base_generation = 0;      ///< the path's base, if the step is not carried out
  std::uint32_t bundle = 0;          ///< of the plan's bundles, counted from 1; 0: in none
  const TreeNode* theirs = nullptr;  ///< what comes
  const TreeNode* base = nullptr;    ///< what was; may be null
  /// What few steps have.
  struct Elsewhere {
    std::string path;              ///< where it is not that of theirs or base (--anywhere, moves)
    std::string moved_to;          ///< of a move
    std::optional<MadeFile> made;  ///< what comes, in place of theirs
  };
  std::unique_ptr<Elsewhere> elsewhere;
  Identity mine;  ///< what stands there; not of put_new

  /// nullptr: it is not made here.
  [[nodiscard]] const MadeFile* made() const {
    return elsewhere != nullptr && elsewhere->made ? &*elsewhere->made : nullptr;
  }
  /// `theirs` comes to stand at the path.
  [[nodiscard]] bool brings_theirs() const {
    return made() == nullptr && (kind == Kind::put_new || kind == Kind::put_over);
  }
  /// It is about a directory itself, and done when all in it is.
  [[nodiscard]] bool is_of_directory() const {
    return kind == Kind::remove_dir || kind == Kind::set_metadata || kind == Kind::set_times || kind == Kind::renew;
  }
  /// Relative to the vserver's root.
  [[nodiscard]] const std::string& path() const {
    return elsewhere != nullptr ? elsewhere->path : theirs != nullptr ? theirs->path() : base->path();
  }
};
/// A deque: to grow, a vector of a million steps would for a moment be there twice.
using Steps = std::deque<Step>;

}  // namespace vskel
