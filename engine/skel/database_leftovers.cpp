#include "engine/skel/database_leftovers.h"

#include <algorithm>
#include <array>

#include "engine/skel/layout.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

// dpkg(1), apk(8) and pacman(8) take these to read, too.
constexpr std::array<std::string_view, 4> kLocks{"lock", "lock-frontend", "Lock", "db.lck"};
// The last counts the weeks in which dnf asked its mirrors.
constexpr std::array<std::string_view, 3> kReaders{".rpm.lock", ".dbenv.lock", "countme"};

/// rpm, dnf and dnf5. An SQLite database's shared memory is its readers'; its log may be theirs too, and then it is
/// empty (sqlite.org/walformat.html). Berkeley DB's regions are __db.001 and so on.
bool is_of_readers(std::string_view name, std::uint64_t size) {
  return std::ranges::find(kReaders, name) != kReaders.end() || name.ends_with(".sqlite-shm") ||
         name.starts_with("__db.") || (is_database_log(name) && size == 0);
}

bool is_in_database(std::string_view path) {
  return std::ranges::any_of(package_databases(), [path](std::string_view database) {
    database.remove_prefix(1);
    return path.size() > database.size() && path.starts_with(database) && path[database.size()] == '/';
  });
}

}  // namespace

bool is_database_log(std::string_view name) { return name.ends_with(".sqlite-wal"); }

bool is_database_leftover(std::string_view name, std::uint64_t size) {
  return std::ranges::find(kLocks, name) != kLocks.end() || is_of_readers(name, size);
}

bool is_readers_leftover(std::string_view path, std::uint64_t size) {
  return is_in_database(path) && is_of_readers(path.substr(path.rfind('/') + 1), size);
}

bool is_left_by_readers(const WalkDirectory& directory, const WalkEntry& entry) {
  if (entry.type != sys::FileType::regular) return false;
  if (!is_database_log(entry.name.view()))
    return is_of_readers(entry.name.view(), 0) && is_in_database(directory.path_to(entry.name));
  if (!is_in_database(directory.path_to(entry.name))) return false;
  const auto stat = sys::stat(directory.top(), entry.name);
  return stat && is_of_readers(entry.name.view(), stat->size);
}

}  // namespace vskel
