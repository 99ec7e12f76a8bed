// The three-way table (relink.md): what becomes of one path of a vserver, from what the skel had (base), what it has
// (theirs) and what stands there (mine). A pure function; all that must be looked at to ask it is the asker's business.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/sys/kernel.h"

namespace vskel {

/// What counts of a file: the number of links and times other than the modification time don't.
struct Node {
  sys::FileType type = sys::FileType::regular;
  std::uint32_t mode = 0, uid = 0, gid = 0;
  /// Stands for the bytes, the link target or the device number: equal where those are. The asker numbers them as it
  /// compares.
  std::uint64_t content = 0;
  std::uint64_t xattrs = 0;  ///< likewise, for all extended attributes
  sys::Time mtime = {};      ///< of regular files and symlinks; of others it says nothing
};

/// The one definition of equality. The mode of a symlink is nobody's choice and not compared.
[[nodiscard]] bool same_node(const Node& a, const Node& b);
/// The same but for the time: what a tenant left alone may have been touched.
[[nodiscard]] bool same_but_for_time(const Node& a, const Node& b);

/// Does the vserver have it in the way in which it is to have it?
enum class Place {
  as_it_should,  ///< it is the skel's inode, or shares its extents, or nothing is to be shared here
  its_own,
};
/// Which rows may be carried out.
enum class Gate {
  open,
  closed,      ///< the tenant changed the package database: only what is equal already
  share_only,  ///< --share-only: likewise, and nothing is said of the rest
};
/// What keeps a path from being touched, whatever its row.
enum class Obstacle {
  none,
  frozen,   ///< [relink] freeze, or a part that was not asked for
  blocked,  ///< a parent is a symlink, a mount or another file system
  in_use,   ///< open for writing, or it changed while it was looked at
};
/// Of a directory that stands where the skel has none.
enum class Below { as_base, own_entries };
/// Of several names of one inode in the vserver.
enum class Group { whole, torn };

struct Question {
  std::optional<Node> base, theirs, mine;
  bool base_known = true;  ///< false: nobody knows what the skel had (an adopted vserver)
  Place place = Place::its_own;
  Gate gate = Gate::open;
  Obstacle obstacle = Obstacle::none;
  Below below = Below::as_base;
  Group group = Group::whole;
};

enum class Action : std::uint8_t {
  nothing,
  share,         ///< equal: it gets the skel's inode or extents
  replace,       ///< theirs takes its place
  add,           ///< theirs comes where nothing is (a directory with all below it)
  remove,        ///< it goes
  remove_dir,    ///< it goes, if it is empty when all below it is done
  set_metadata,  ///< a directory gets theirs' owner, mode and attributes
  keep,          ///< it stays, and the user is told why
  hold,          ///< it would be carried out if the gate were open
};

struct Decision {
  Action action = Action::nothing;
  std::uint8_t row = 0;    ///< of the table in relink.md
  std::string_view why;    ///< of keep: what stands after "kept: "
  bool base_moves = true;  ///< carried out or equal: from now on theirs is the base
};

[[nodiscard]] Decision decide(const Question& question);

namespace why {
inline constexpr std::string_view kChangedOnBothSides = "changed on both sides";
inline constexpr std::string_view kDeletedHere = "deleted here, changed in the skel";
inline constexpr std::string_view kRemovedInSkel = "removed in the skel, changed here";
inline constexpr std::string_view kAddedOnBothSides = "added on both sides";
inline constexpr std::string_view kTypeChanged = "type changed";
inline constexpr std::string_view kNotEmpty = "not empty";
inline constexpr std::string_view kBlocked = "blocked";
inline constexpr std::string_view kInUse = "in use";
inline constexpr std::string_view kSpecialFile = "special file";
inline constexpr std::string_view kBundleInUse = "in use by the tenant, changed in the skel";
inline constexpr std::string_view kBundleRemoved = "in use by the tenant, removed in the skel";
inline constexpr std::string_view kStaticChanged = "each vserver's own (static), changed in the skel";
inline constexpr std::string_view kStaticRemoved = "each vserver's own (static), removed in the skel";
inline constexpr std::string_view kIdentity = "each vserver's own, added in the skel";
}  // namespace why

}  // namespace vskel
