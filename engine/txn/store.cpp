#include "engine/txn/store.h"

#include <cerrno>

#include "engine/sys/kernel.h"

namespace vskel {

namespace {

constexpr std::uint32_t kPrivate = 0700, kPublic = 0755, kWritableByOthers = 022;

Result<DirFd> make_root(const std::string& path, std::uint32_t mode) {
  auto opened = sys::open_root(path);
  if (opened || opened.error().code != ENOENT) return opened;
  const std::size_t slash = path.find_last_not_of('/') == path.npos ? 0 : path.rfind('/', path.find_last_not_of('/'));
  if (slash == path.npos || slash == 0) {
    const DirFd parent = TRY(sys::open_root(slash == 0 ? "/" : "."));
    const std::string name = path.substr(slash == 0 ? 1 : 0, path.find_last_not_of('/') + 1 - (slash == 0 ? 1 : 0));
    return sys::ensure_dir(parent, *Name::check(name), mode);
  }
  const DirFd parent = TRY(make_root(path.substr(0, slash), kPublic));
  const std::string name = path.substr(slash + 1, path.find_last_not_of('/') - slash);
  const auto component = Name::check(name);
  if (!component) return refuse("make directory", path, "not a path of a directory");
  return sys::ensure_dir(parent, *component, mode);
}

/// A directory of vskel's own: root's, and nobody else may write in it.
Result<DirFd> own_dir(const DirFd& parent, Name name) {
  DirFd dir = TRY(sys::ensure_dir(parent, name, kPrivate));
  const sys::Stat stat = TRY(sys::stat(dir));
  if (stat.uid != 0 || (stat.mode & kWritableByOthers) != 0) return fail("open", sys::path_of(dir), "must be root's and writable by nobody else");
  return dir;
}

/// A closed descriptor where there is no such directory.
Result<DirFd> open_if_there(const DirFd& parent, Name name) {
  if (!parent.open()) return DirFd();
  auto dir = sys::open_dir_crossing(parent, name);
  if (!dir && dir.error().code == ENOENT) return DirFd();
  return dir;
}

}  // namespace

Result<Store> Store::open_existing(const StorePaths& paths) {
  Store store;
  store.paths_ = paths;
  store.vservers_ = TRY(sys::open_root(paths.vservers));
  store.skels_ = TRY(open_if_there(store.vservers_, ".skel"));
  const DirFd own = TRY(open_if_there(store.vservers_, ".vskel"));
  store.journal_ = TRY(open_if_there(own, "journal"));
  store.locks_ = TRY(open_if_there(own, "locks"));
  store.staging_ = TRY(open_if_there(own, "staging"));
  store.trash_ = TRY(open_if_there(own, "trash"));
  store.quarantine_ = TRY(open_if_there(own, "quarantine"));
  store.log_ = TRY(open_if_there(own, "log"));
  if (auto etc = sys::open_root(paths.etc)) {
    store.etc_ = std::move(*etc);
  } else if (etc.error().code != ENOENT) {
    return std::unexpected(std::move(etc).error());
  }
  store.contexts_ = TRY(open_if_there(store.etc_, "contexts"));
  store.own_etc_ = TRY(open_if_there(store.etc_, "vskel"));
  store.scripts_ = TRY(open_if_there(store.own_etc_, "scripts"));
  return store;
}

Result<Store> Store::open_or_create(const StorePaths& paths) {
  Store store;
  store.paths_ = paths;
  store.vservers_ = TRY(make_root(paths.vservers, kPrivate));
  store.skels_ = TRY(sys::ensure_dir(store.vservers_, ".skel", kPublic));
  const DirFd own = TRY(own_dir(store.vservers_, ".vskel"));
  store.journal_ = TRY(own_dir(own, "journal"));
  store.locks_ = TRY(own_dir(own, "locks"));
  store.staging_ = TRY(own_dir(own, "staging"));
  store.trash_ = TRY(own_dir(own, "trash"));
  store.quarantine_ = TRY(own_dir(own, "quarantine"));
  store.log_ = TRY(own_dir(own, "log"));
  store.etc_ = TRY(make_root(paths.etc, kPublic));
  store.contexts_ = TRY(sys::ensure_dir(store.etc_, "contexts", kPublic));
  store.own_etc_ = TRY(sys::ensure_dir(store.etc_, "vskel", kPublic));
  store.scripts_ = TRY(sys::ensure_dir(store.own_etc_, "scripts", kPublic));
  return store;
}

}  // namespace vskel
