// What reading a package database leaves beside it: nobody changed anything by that. Thread-safe; pure but for
// is_left_by_readers().
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/tree/walk.h"

namespace vskel {

/// The log of an SQLite database. Its last reader takes over what it holds, and removes it: that it is gone says
/// nothing, the database does.
[[nodiscard]] bool is_database_log(std::string_view name);
/// Whether a regular file named so, of `size` bytes, in a package database is a lock or something that comes and goes
/// with the database's readers: it says nothing, and nobody misses it. A log that holds something is none of these: the
/// database lacks what is in it.
[[nodiscard]] bool is_database_leftover(std::string_view name, std::uint64_t size);
/// The same by a path relative to the root, which need not be in a database; of what readers leave only: package
/// managers come with their locks, and those stay in a skel.
[[nodiscard]] bool is_readers_leftover(std::string_view path, std::uint64_t size);
/// The same for what stands in a root that is walked; the size is asked for where the name leaves it open.
[[nodiscard]] bool is_left_by_readers(const WalkDirectory& directory, const WalkEntry& entry);

}  // namespace vskel
