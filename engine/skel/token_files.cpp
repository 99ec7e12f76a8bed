#include "engine/skel/token_files.h"

#include <mutex>
#include <vector>

#include "engine/skel/account_files.h"
#include "engine/tree/metadata.h"
#include "engine/tree/relative_path.h"
#include "engine/tree/walk.h"

namespace vskel {

namespace {

/// The directory of `path` in `root`, made as static's is where it is missing.
Result<DirFd> directory_for(const DirFd& static_tree, const DirFd& root, std::string_view path) {
  constexpr std::uint32_t kPrivate = 0700;
  DirFd dir = TRY(sys::reopen(root));
  for (std::size_t end = path.find('/'); end != path.npos; end = path.find('/', end + 1)) {
    const std::string_view own = path.substr(0, end);
    const std::string component(own.substr(own.rfind('/') + 1));
    const Name name = *Name::check(component);
    if (!TRY(sys::stat_if_there(dir, name))) {
      const DirFd made = TRY(sys::ensure_dir(dir, name, kPrivate));
      const DirFd like = TRY(sys::open_dirs(static_tree, own));
      TRY(apply_metadata(made, metadata_of(TRY(sys::stat(like)), TRY(sys::xattrs(like))), Fresh::no));
    }
    dir = TRY(sys::open_dir(dir, name));
  }
  return dir;
}

Result<> put(const DirFd& static_tree, const DirFd& root, const std::string& path, std::string_view text,
             const Metadata& metadata) {
  const DirFd dir = TRY(directory_for(static_tree, root, path));
  if (TRY(sys::stat_if_there(dir, last_name(path)))) return {};
  const sys::Stat before = TRY(sys::stat(dir));
  const Fd file = TRY(sys::create_file(dir, last_name(path), 0600));
  TRY(sys::write_all(file, text));
  TRY(apply_metadata(file, metadata, Fresh::no));
  return sys::set_times(dir, before.atime, before.mtime);
}

/// Paths of static's regular files with a token rule.
Result<std::vector<std::string>> token_paths(const Skel& skel) {
  const Layout layout = TRY(skel.layout());
  std::mutex mutex;
  std::vector<std::string> paths;
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void>) -> Result<> {
    for (const WalkEntry& entry : directory->entries) {
      if (entry.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
      if (entry.type != sys::FileType::regular) continue;
      std::string path = directory->path_to(entry.name);
      const auto rule = layout.identity_of(path);
      if (!rule || rule->kind != IdentityKind::token) continue;
      const std::scoped_lock lock(mutex);
      paths.push_back(std::move(path));
    }
    return {};
  };
  (void)TRY(Walk::run({&skel.tree(Part::static_part)}, Mounts::stop, nullptr, visitor));
  return paths;
}

}  // namespace

Result<> lay_in_token_files(const Skel& skel, const DirFd& merged, const DirFd& memory) {
  const DirFd& static_tree = skel.tree(Part::static_part);
  for (const std::string& path : TRY(token_paths(skel))) {
    const Fd file = TRY(sys::open_trusted_file(TRY(sys::open_dirs(static_tree, parent_path(path))), last_name(path)));
    const sys::Stat stat = TRY(sys::stat(file));
    if (stat.size > kMostTokenFile) continue;
    const std::string text = TRY(sys::read_whole(file, kMostTokenFile));
    const Metadata metadata = metadata_of(stat, TRY(sys::xattrs(file)));
    TRY(put(static_tree, merged, path, text, metadata));
    TRY(put(static_tree, memory, path, text, metadata));
  }
  return {};
}

Result<std::optional<std::string>> laid_in_token_file(const Skel& skel, std::string_view path) {
  const DirFd memory = TRY(open_dirs_if_there(skel.dir(), kMergedAccounts.view()));
  if (!memory.open()) return std::nullopt;
  const DirFd dir = TRY(open_dirs_if_there(memory, parent_path(path)));
  const std::string name(path.substr(path.rfind('/') + 1));
  if (!dir.open() || !TRY(sys::stat_if_there(dir, *Name::check(name)))) return std::nullopt;
  return TRY(sys::read_whole(TRY(sys::open_trusted_file(dir, *Name::check(name))), kMostTokenFile));
}

}  // namespace vskel
