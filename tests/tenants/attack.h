// An attacker's moves, each of them one thing that a tenant can do to a path of his vserver, and what must be found of
// it afterwards.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace vskel::test {

/// What is attacked, and with what.
struct AttackPlace {
  std::string path;                       ///< in the vserver, relative; the working directory is its root
  std::string partner;                    ///< another path of it, for exchanges
  std::string canary;                     ///< directory outside, absolute, with a file "file"
  const std::set<std::uint64_t>* sealed;  ///< inodes that are the skel's: what a seal keeps a tenant from is not tried
};

/// What a move left behind to be done when the command is over (the write through what was kept open).
struct Kept {
  int fd = -1;
  char* mapped = nullptr;
  int mount = -1;
};

/// What must be found after the run.
enum class Trace {
  nothing,       ///< the command may undo it by rights, or it shows in the content only
  node,          ///< the very inode that the attacker put at `path`
  moved_parent,  ///< the parent directory, under kMovedName
  parent_node,   ///< the very inode that the attacker put where the parent was
  absent,        ///< nobody puts back what the tenant deleted
  mark,          ///< kMark in the file at `path`
  emptied,       ///< an empty file
  mode,          ///< kAttackerMode
  owner,         ///< kAttackerOwner
  xattr,         ///< user.attacker
  file_beside,   ///< kMark in `path` + kBesideSuffix
};

struct Move {
  const char* name;
  Trace trace;
  /// 0, or the errno that it met. `kept` is what finish() goes on with.
  int (*make)(const AttackPlace& place, Kept& kept);
};

inline constexpr const char* kMark = "<attacker>";
inline constexpr const char* kMovedName = "attacker-moved";
inline constexpr const char* kBesideSuffix = ".attacker";
inline constexpr unsigned kAttackerMode = 0604;
inline constexpr unsigned kAttackerOwner = 4711;

[[nodiscard]] const std::vector<Move>& all_moves();
/// After the command: writes through what was kept, takes away what was mounted.
void finish(Kept& kept);
/// Directory part and last part of a relative path; "" has no parent: ".".
[[nodiscard]] std::string parent_of(const std::string& path);

}  // namespace vskel::test
