#include "engine/relink/database.h"

#include <algorithm>
#include <array>
#include <set>

#include "engine/content/compare.h"
#include "engine/packages/dpkg_bookkeeping.h"
#include "engine/relink/own_file.h"
#include "engine/skel/database_leftovers.h"
#include "engine/skel/layout.h"
#include "engine/tree/listing.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

/// When dnf last asked which mirror: written with each refresh of what is on offer.
constexpr std::string_view kReposOfDnf = "var/lib/dnf/repos";

/// Where a link at `path` leads, by its text alone: relative to the root, without "." and ".."; nullopt: out of it.
std::optional<std::string> lexical_target(std::string_view path, std::string_view target) {
  std::string out(target.starts_with('/') ? std::string_view() : parent_path(path));
  while (!target.empty()) {
    const std::string_view component = target.substr(0, target.find('/'));
    target.remove_prefix(std::min(target.size(), component.size() + 1));
    if (component.empty() || component == ".") continue;
    if (component == "..") {
      if (out.empty()) return std::nullopt;
      out = std::string(parent_path(out));
    } else {
      out = joined_path(out, component);
    }
  }
  return out;
}

class DatabaseComparison {
 public:
  DatabaseComparison(const SkelView& view, const Record& record, std::vector<std::string> databases)
      : view_(view), record_(record), databases_(std::move(databases)) {}

  Result<DatabaseLook> run(const DirFd& root) {
    for (const std::string& path : databases_) {
      if (!look_.untouched) break;
      TRY(look_at(path, root));
    }
    return std::move(look_);
  }

 private:
  struct Sides {
    const TreeNode* base = nullptr;
    const TreeNode* theirs = nullptr;
    unsigned generation = 0;
  };

  /// One database, wherever it lies.
  Result<> look_at(const std::string& path, const DirFd& root) {
    const unsigned inherited = base_of(record_, path);
    const Sides own = sides(path, inherited);
    // A package manager that the skel has not is the tenant's own affair.
    if (own.base == nullptr && own.theirs == nullptr) return {};
    const auto parent = sys::open_dirs(root, parent_path(path));
    const Name name = last_name(path);
    const auto stat = parent ? TRY(sys::stat_if_there(*parent, name)) : std::nullopt;
    if (!stat) {
      // A database that was there and is not to be had any more is a changed one.
      if (own.base != nullptr) changed(path);
      return {};
    }
    if (stat->type == sys::FileType::symlink) return look_at_link(path, own, *parent, name);
    return compare_entry(path, inherited, *parent, {name, stat->type, stat->inode});
  }

  Result<> look_at_link(const std::string& path, const Sides& own, const DirFd& parent, Name name) {
    const std::string target = TRY(sys::read_link(parent, name));
    const auto leads = lexical_target(path, target);
    const bool into_another = leads && std::ranges::any_of(databases_, [&](const std::string& database) {
                                return database != path && is_below_any(std::span(&database, 1), *leads);
                              });
    if (!into_another || !leads_as(own, target)) changed(path);
    return {};
  }

  [[nodiscard]] static bool leads_as(const Sides& own, std::string_view target) {
    return std::ranges::any_of(std::array{own.base, own.theirs}, [target](const TreeNode* node) {
      return node != nullptr && node->type() == sys::FileType::symlink && node->entry->link_target() == target;
    });
  }

  /// One directory; `inherited` is the base generation of the one above.
  Result<> compare(const std::string& path, unsigned inherited, const DirFd& dir) {
    const Sides own = sides(path, inherited);
    const Listing listing = TRY(Listing::read(dir));
    std::set<std::string, std::less<>> present;
    for (const Listed& listed : listing.entries()) {
      if (!look_.untouched) return {};
      if (TRY(is_leftover(dir, listed))) continue;
      present.emplace(listed.name.view());
      TRY(compare_entry(joined_path(path, listed.name.view()), own.generation, dir, listed));
    }
    // What both generations have and is not there was deleted; what one of them lacks may be missing.
    if (own.base == nullptr || own.theirs == nullptr) return {};
    for (const TreeNode* child : own.base->children()) {
      const bool in_both = GenerationTree::child(*own.theirs, child->name()) != nullptr;
      // Files of info are lists of what packages installed: without one, dpkg knows nothing of its files any more.
      const bool of_info = path == kDpkgInfo || child->path() == kDpkgInfo;
      const bool missed = of_info || !is_dpkg_bookkeeping(child->path());
      if (in_both && missed && !is_database_leftover(*child) && !is_database_log(child->name()) &&
          !present.contains(child->name()))
        changed(child->path());
    }
    return {};
  }

  static Result<bool> is_leftover(const DirFd& dir, const Listed& listed) {
    if (listed.type != sys::FileType::regular || !is_database_leftover(listed.name.view(), 0)) return false;
    const auto stat = TRY(sys::stat_if_there(dir, listed.name));
    return !stat || is_database_leftover(listed.name.view(), stat->size);
  }

  /// The first that is found is told.
  void changed(std::string_view path) {
    if (look_.untouched) look_.changed = "/" + std::string(path);
    look_.untouched = false;
  }

  [[nodiscard]] Sides sides(const std::string& path, unsigned inherited) const {
    const auto exception = record_.bases.find(path);
    Sides sides;
    sides.generation = exception == record_.bases.end() ? inherited : exception->second;
    if (const GenerationTree* tree = view_.base(sides.generation)) sides.base = tree->find(path);
    sides.theirs = view_.newest().find(path);
    return sides;
  }

  Result<> compare_entry(const std::string& path, unsigned inherited, const DirFd& dir, const Listed& listed) {
    if (path == kReposOfDnf) return {};
    const Sides own = sides(path, inherited);
    if (path == kDpkgStatus) return look_at_status(own, dir, listed);
    if (is_dpkg_bookkeeping(path) && (path != kDpkgInfo || listed.type != sys::FileType::directory)) return {};
    if (listed.type == sys::FileType::directory) {
      const bool known =
          (own.base != nullptr && own.base->is_directory()) || (own.theirs != nullptr && own.theirs->is_directory());
      auto opened = sys::open_dir(dir, listed.name);
      if (known && opened) return compare(path, own.generation, *opened);
      changed(path);
      return {};
    }
    if (!TRY(is_one_of(own, dir, listed))) changed(path);
    return {};
  }

  /// What it says of packages counts; what is wanted of them, and how it is written, does not.
  Result<> look_at_status(const Sides& own, const DirFd& dir, const Listed& listed) {
    if (TRY(is_one_of(own, dir, listed))) return {};
    const auto base = TRY(view_.text_of(own.base, kMaxDpkgStatus));
    const auto theirs = TRY(view_.text_of(own.theirs, kMaxDpkgStatus));
    const auto mine = read_own_file(dir, listed.name, kMaxDpkgStatus);
    if (!mine && mine.error().code != EFBIG) return std::unexpected(mine.error());
    if (!base || !theirs || !mine || !*mine) {
      changed(kDpkgStatus);
      return {};
    }
    look_.bytes_read += (*mine)->bytes.size();
    const auto differing = differing_from_both({*base, *theirs, (*mine)->bytes});
    if (differing && differing->empty()) return {};
    changed(kDpkgStatus);
    look_.packages = differing ? first_few(*differing) : differing.error().line();
    return {};
  }

  /// The packages in which mine is not as base; none if it is as theirs.
  static Result<std::vector<std::string>> differing_from_both(const ListSides& sides) {
    const std::string source = "/" + std::string(kDpkgStatus);
    const DpkgPackages base = TRY(parse_dpkg_status(sides.base, source)),
                       theirs = TRY(parse_dpkg_status(sides.theirs, source)),
                       mine = TRY(parse_dpkg_status(sides.mine, source));
    if (differing_packages(theirs, mine).empty()) return std::vector<std::string>();
    return differing_packages(base, mine);
  }

  static std::string first_few(const std::vector<std::string>& all) {
    constexpr std::size_t kMost = 5;
    std::string out;
    for (std::size_t at = 0; at < std::min(all.size(), kMost); ++at) out += (at == 0 ? "" : ", ") + all[at];
    if (all.size() > kMost) out += " and " + std::to_string(all.size() - kMost) + " more";
    return out;
  }

  Result<bool> is_one_of(const Sides& own, const DirFd& dir, const Listed& listed) {
    if (own.base == nullptr && own.theirs == nullptr) return false;
    const auto stat = TRY(sys::stat_if_there(dir, listed.name));
    if (!stat) return false;
    if (stat->type == sys::FileType::symlink) return leads_as(own, TRY(sys::read_link(dir, listed.name)));
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
  const std::vector<std::string> databases_;
  DatabaseLook look_;
};

}  // namespace

bool is_database_leftover(const TreeNode& node) {
  return node.type() == sys::FileType::regular && is_database_leftover(node.name(), node.entry->size);
}

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
  return DatabaseComparison(view, record, database_paths(more)).run(root);
}

}  // namespace vskel
