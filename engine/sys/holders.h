// Who has hold of a tree, or could have without anybody seeing it: by directories, descriptors, mappings and mounts, as
// /proc tells of them, and by namespaces in which a process can hide what it has.
//
// A directory is in the tree if its file handle, opened on the tree's own mount, stands below the tree's root: whatever
// is mounted where, and whatever was detached. A file is in it if the mount that it was opened by is one of ours and
// shows it there; of a mount that is not ours, if it is immutable: other files of the tree are nobody else's. No path
// that a tenant makes is followed.
//
// A file system that lies over others (overlay, ecryptfs) has their directories in nobody's hands. One that is mounted
// here is in the tree if a layer of it is; of others the layers are not known, so that who has anything of one is told.
//
// Not seen: a descriptor that is on its way in a socket, and a file registered with io_uring. Nor is it said of
// - threads of the kernel, which have no files of their own;
// - this process, and those above it: who started it could have done all that it does;
// - programs that are this one (the same file, with our root and our namespaces), and what these and this one started;
// - a working directory in the tree, if that is all, of another in our process group: the rest of the pipeline that was
//   typed in a shell that stands there.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/sys/processes.h"

namespace vskel::sys {

enum class Hold {
  root,               ///< its root directory is in the tree
  working_directory,  ///< so is the directory that it stands in
  descriptor,         ///< it has something open there
  mapping,            ///< it runs a program, or has mapped a file, from there
  mount,              ///< something of the tree is mounted in its mount namespace
  hidden_mounts,      ///< its mount namespace is another one, and its root hides what is mounted there
  stacked,            ///< it has something of a file system over others, not mounted here: perhaps over the tree
  user_namespace,     ///< it is in another user namespace than this process
  pid_namespace,      ///< it is in another pid namespace
  hidden,             ///< it may not be looked at
};

struct Holder {
  ProcessId id;
  std::string name;  ///< as it calls itself
  Hold hold = Hold::root;
  std::optional<FileId> member;    ///< the entry of the tree that it has something of, where that is known
  std::vector<std::string> group;  ///< its control group in each hierarchy that has a name
};

struct HoldersLook {
  std::vector<Holder> holders;
  /// Tasks that the machine has begun since it booted, before and after: who was born meanwhile may be missing.
  std::uint64_t tasks_before = 0, tasks_after = 0;
};

/// One look at all processes. What ends meanwhile is left out. Threads may ask at the same time.
[[nodiscard]] Result<HoldersLook> find_holders(const DirFd& tree);

}  // namespace vskel::sys
