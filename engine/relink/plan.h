// What a relink will do to one vserver: every step, every conflict, all counted, before anything is changed. A dry run
// ends here.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/relink/skel_view.h"
#include "engine/relink/table.h"
#include "engine/vserver/record.h"

namespace vskel {

enum class PackageDatabases {
  skip,   ///< a vserver whose tenant changed its database gets only what is equal already
  force,  ///< the table, file by file, without the database
};

struct PlanOptions {
  Share share = Share::hardlink;  ///< how the vserver is to share from now on
  bool share_only = false, global_only = false, anywhere = false;
  bool acknowledge = false;  ///< --ack: what is kept has been seen, its base moves on
  PackageDatabases databases = PackageDatabases::skip;
  std::vector<std::string> freeze;          ///< globs (glob_matches)
  std::vector<std::string> more_databases;  ///< absolute paths beside package_databases()
};

/// What is to be found at a path when its step is carried out.
struct Identity {
  std::uint64_t inode = 0, size = 0;
  sys::Time mtime, ctime;
  std::uint32_t mode = 0, uid = 0, gid = 0;
  sys::FileType type = sys::FileType::unknown;
  bool sealed = false;  ///< as the flag said when it was looked at
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
enum class Change : std::uint8_t { updated, added, removed, shared };
/// "updated" ...
[[nodiscard]] std::string_view change_word(Change change);

/// There are as many as a vserver has files where private copies are folded: a hundred bytes each.
struct Step {
  enum class Kind : std::uint8_t { put_new, put_over, share_extents, remove, remove_dir, set_metadata };
  Kind kind = Kind::put_over;
  Change change = Change::updated;
  Proof proof = Proof::inode;
  /// Its bytes were compared while a lease said that nobody could write to it, at a time that its ctime tells from any
  /// later write: under another lease the same ctime says that they are the same bytes.
  bool compared_under_lease = false;
  bool in_use = false;               ///< somebody has it open for writing: tried last, and kept if that is so still
  unsigned base_generation = 0;      ///< the path's base, if the step is not carried out
  const TreeNode* theirs = nullptr;  ///< what comes
  const TreeNode* base = nullptr;    ///< what was; may be null
  std::unique_ptr<std::string> elsewhere;  ///< the path, where it is not that of theirs or base (--anywhere)
  Identity mine;                           ///< what stands there; not of put_new

  /// `theirs` comes to stand at the path.
  [[nodiscard]] bool brings_theirs() const { return kind == Kind::put_new || kind == Kind::put_over; }
  /// Relative to the vserver's root.
  [[nodiscard]] const std::string& path() const {
    return elsewhere != nullptr ? *elsewhere : theirs != nullptr ? theirs->path() : base->path();
  }
};
/// A deque: to grow, a vector of a million steps would for a moment be there twice.
using Steps = std::deque<Step>;

struct KeptPath {
  std::string path;  ///< "/etc/motd"
  std::string why;   ///< "changed on both sides"
  friend auto operator<=>(const KeptPath&, const KeptPath&) = default;
};

struct VserverPlan {
  Steps steps;  ///< in the order in which they are to be carried out
  std::vector<KeptPath> kept;
  std::set<std::string> old_set_id;        ///< set-id files that are not the skel's: "usr/bin/su"
  std::vector<const TreeNode*> conflicts;  ///< theirs of what is kept, for --export-new
  Gate gate = Gate::open;
  bool held_back = false;  ///< the gate is closed, and something but the database itself waits behind it
  std::uint64_t shared_before = 0, shared_now = 0, bytes_saved = 0, bytes_read = 0;
  sys::Time since;                        ///< by the inodes' clock, before the first look at the vserver
  unsigned generation = 0;                ///< of the record when all is done
  std::map<std::string, unsigned> bases;  ///< likewise
};

/// Looks at `root`, the vserver of `record`, and at nothing that neither generation has (but for --anywhere).
/// Thread-safe over one SkelView. An error is one of the kernel's; a tenant's doings are in the plan.
[[nodiscard]] Result<VserverPlan> plan_vserver(const SkelView& view, const Record& record, const DirFd& root,
                                               const PlanOptions& options);

}  // namespace vskel
