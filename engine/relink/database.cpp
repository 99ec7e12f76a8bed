#include "engine/relink/database.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

#include "engine/content/compare.h"
#include "engine/relink/observe.h"
#include "engine/skel/layout.h"
#include "engine/tree/listing.h"

namespace vskel {

namespace {

// dpkg(1) and rpm(8) take these to read, too; the shared memory of an SQLite database comes and goes with its readers
// (sqlite.org/walformat.html; its log does not: it may hold what the database lacks).
constexpr std::array<std::string_view, 7> kLeftovers{"lock",   "lock-frontend",    "Lock",       ".rpm.lock",
                                                     "db.lck", "rpmdb.sqlite-shm", ".dbenv.lock"};

class DatabaseComparison {
 public:
  DatabaseComparison(const SkelView& view, const Record& record) : view_(view), record_(record) {}

  /// One directory; `inherited` is the base generation of the one above.
  Result<> compare(const std::string& path, unsigned inherited, const DirFd& dir) {
    const Sides own = sides(path, inherited);
    const Listing listing = TRY(Listing::read(dir));
    std::set<std::string> present;
    for (const Listed& listed : listing.entries()) {
      if (!look_.untouched) return {};
      const std::string name(listed.name.view());
      present.insert(name);
      if (!is_database_leftover(name)) TRY(compare_entry(path + "/" + name, own.generation, dir, listed));
    }
    // What both generations have and is not there was deleted; what one of them lacks may be missing.
    if (own.base == nullptr || own.theirs == nullptr) return {};
    for (const TreeNode* child : own.base->children()) {
      const bool in_both = GenerationTree::child(*own.theirs, child->name()) != nullptr;
      if (in_both && !is_database_leftover(child->name()) && !present.contains(std::string(child->name())))
        look_.untouched = false;
    }
    return {};
  }

  [[nodiscard]] const DatabaseLook& look() const { return look_; }

 private:
  struct Sides {
    const TreeNode* base = nullptr;
    const TreeNode* theirs = nullptr;
    unsigned generation = 0;
  };

  [[nodiscard]] Sides sides(const std::string& path, unsigned inherited) const {
    const auto exception = record_.bases.find(path);
    Sides sides;
    sides.generation = exception == record_.bases.end() ? inherited : exception->second;
    if (const GenerationTree* tree = view_.base(sides.generation)) sides.base = tree->find(path);
    sides.theirs = view_.newest().find(path);
    return sides;
  }

  Result<> compare_entry(const std::string& path, unsigned inherited, const DirFd& dir, const Listed& listed) {
    const Sides own = sides(path, inherited);
    if (listed.type == sys::FileType::directory) {
      const bool known =
          (own.base != nullptr && own.base->is_directory()) || (own.theirs != nullptr && own.theirs->is_directory());
      auto opened = sys::open_dir(dir, listed.name);
      if (!known || !opened) {
        look_.untouched = false;
        return {};
      }
      return compare(path, own.generation, *opened);
    }
    if (!TRY(is_one_of(own, dir, listed))) look_.untouched = false;
    return {};
  }

  Result<bool> is_one_of(const Sides& own, const DirFd& dir, const Listed& listed) {
    if (own.base == nullptr && own.theirs == nullptr) return false;
    const auto stat = TRY(sys::stat_if_there(dir, listed.name));
    if (!stat) return false;
    if (stat->type == sys::FileType::symlink) {
      const std::string target = TRY(sys::read_link(dir, listed.name));
      const auto leads_there = [&](const TreeNode* node) {
        return node != nullptr && node->entry->link_target() == target;
      };
      return leads_there(own.base) || leads_there(own.theirs);
    }
    if (stat->type != sys::FileType::regular) return false;
    auto file = sys::open_file(dir, listed.name);
    if (!file) return false;
    for (const TreeNode* node : {own.theirs, own.base}) {
      if (node == nullptr || node->type() != stat->type || node->entry->size != stat->size) continue;
      const bool lost = node == own.base && node->kept_in == 0 && !node->as_newest;
      if (lost) continue;
      const Comparison compared = TRY(compare_content(TRY(view_.open(*node)), *file));
      look_.bytes_read += compared.bytes_read;
      if (compared.same) return true;
      if (node == own.theirs && own.base != nullptr && own.base->as_newest) return false;
    }
    return false;
  }

  const SkelView& view_;
  const Record& record_;
  DatabaseLook look_;
};

}  // namespace

bool is_database_leftover(std::string_view name) { return std::ranges::find(kLeftovers, name) != kLeftovers.end(); }

std::vector<std::string> database_paths(std::span<const std::string> more) {
  std::vector<std::string> out;
  for (const std::string_view path : package_databases()) out.emplace_back(path.substr(1));
  for (const std::string& path : more) out.push_back(path.starts_with('/') ? path.substr(1) : path);
  return out;
}

bool is_below_any(std::span<const std::string> directories, std::string_view path) {
  return std::ranges::any_of(directories, [&](const std::string& directory) {
    return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
  });
}

Result<DatabaseLook> look_at_databases(const SkelView& view, const Record& record, const DirFd& root,
                                       std::span<const std::string> more) {
  DatabaseComparison comparison(view, record);
  for (const std::string& path : database_paths(more)) {
    const unsigned generation = base_of(record, path);
    const GenerationTree* const base = view.base(generation);
    const TreeNode* const was = base != nullptr ? base->find(path) : nullptr;
    const auto dir = sys::open_dirs(root, path);
    if (!dir) {
      // A database that was there and is not to be had any more is a changed one.
      if (was != nullptr) return DatabaseLook{false, comparison.look().bytes_read};
      continue;
    }
    TRY(comparison.compare(path, generation, *dir));
  }
  return comparison.look();
}

}  // namespace vskel
