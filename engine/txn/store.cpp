#include "engine/txn/store.h"

#include <algorithm>
#include <cerrno>

#include "engine/sys/kernel.h"

namespace vskel {

namespace {

constexpr std::uint32_t kPrivate = 0700, kPublic = 0755, kWritableByOthers = 022;

struct SplitPath {
  std::string parent, leaf;
};

/// "/srv/a/" as "/srv" and "a", "/a" as "/" and "a", "a" as "." and "a".
SplitPath split(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  if (slash == path.npos) return {".", std::string(path)};
  return {std::string(slash == 0 ? "/" : path.substr(0, slash)), std::string(path.substr(slash + 1))};
}

/// Opens one of the administrator's two directories, made with its parents where it is not there.
Result<DirFd> make_root(const std::string& path, std::uint32_t mode) {
  auto opened = sys::open_root(path);
  if (opened || opened.error().code != ENOENT) return opened;
  const SplitPath split_path = split(path);
  const auto leaf = Name::check(split_path.leaf);
  if (!leaf) return refuse("make directory", path, "not a path of a directory");
  const DirFd parent = TRY(make_root(split_path.parent, kPublic));
  return sys::ensure_dir(parent, *leaf, mode);
}

/// A directory of vskel's own: root's, and nobody else may write in it.
Result<DirFd> own_dir(const DirFd& parent, Name name) {
  DirFd dir = TRY(sys::ensure_dir(parent, name, kPrivate));
  const sys::Stat stat = TRY(sys::stat(dir));
  if (stat.uid != 0 || (stat.mode & kWritableByOthers) != 0)
    return fail("open", sys::path_of(dir), "must be root's and writable by nobody else");
  return dir;
}

/// Trees are made below it with the metadata that they are to have: a set-group-ID bit or a default ACL that the
/// administrator gave VSERVERS, and that mkdir(2) handed down, would go on into every new inode (inode(7), acl(5)).
Result<> hand_down_nothing(const DirFd& staging) {
  constexpr std::uint32_t kSetGroupId = 02000;
  if ((TRY(sys::stat(staging)).mode & kSetGroupId) != 0) TRY(sys::set_mode(staging, kPrivate));
  for (const sys::Xattr& xattr : TRY(sys::xattrs(staging)))
    if (xattr.name == "system.posix_acl_default") TRY(sys::remove_xattr(staging, xattr.name));
  return {};
}

/// A closed descriptor where there is no such directory.
Result<DirFd> open_if_there(const DirFd& parent, Name name) {
  if (!parent.open()) return DirFd();
  auto dir = sys::open_dir_crossing(parent, name);
  if (!dir && dir.error().code == ENOENT) return DirFd();
  return dir;
}

/// Of a path below VSERVERS: such a mount is part of the store, and is not there in a clone.
bool is_where_a_store_is_opened(std::string_view path) {
  constexpr std::string_view kOwn = ".vskel/";
  if (path == ".skel" || path == ".vskel") return true;
  return path.starts_with(kOwn) && path.find('/', kOwn.size()) == path.npos;
}

constexpr const char* kCloneMount = "clone mount";

std::string what_is_missing(const Error& why) {
  return why.line() + "; without it, vskel's own checks alone keep it from links and devices in vservers";
}

}  // namespace

Result<> Store::clone_mount() {
  auto clone = sys::MountClone::of(vservers_);
  if (!clone && !sys::MountClone::is_refusal(clone.error())) return std::unexpected(std::move(clone).error());
  if (!clone) {
    without_clone_ = what_is_missing(clone.error());
    return {};
  }
  const auto& mounted = clone->mount_points();
  if (const auto own = std::ranges::find_if(mounted, is_where_a_store_is_opened); own != mounted.end()) {
    without_clone_ = what_is_missing(fail(kCloneMount, paths_.vservers, "something is mounted on " + *own).error());
    return {};
  }
  if (!clone->stops_links())
    without_clone_ = what_is_missing(fail(kCloneMount, paths_.vservers, std::string("no nosymfollow here")).error());
  vservers_ = TRY(clone->open_root());
  clone_ = std::move(*clone);
  return {};
}

Result<Store> Store::open_existing(const StorePaths& paths) {
  Store store;
  store.paths_ = paths;
  store.vservers_ = TRY(sys::open_root(paths.vservers));
  TRY(store.clone_mount());
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

Result<Store> Store::open_whatever_is_there(const StorePaths& paths) {
  auto store = open_existing(paths);
  if (store || store.error().code != ENOENT) return store;
  Store nothing;
  nothing.paths_ = paths;
  return nothing;
}

Result<Store> Store::open_or_create(const StorePaths& paths) {
  Store store;
  store.paths_ = paths;
  store.vservers_ = TRY(make_root(paths.vservers, kPrivate));
  TRY(store.clone_mount());
  store.skels_ = TRY(sys::ensure_dir(store.vservers_, ".skel", kPublic));
  const DirFd own = TRY(own_dir(store.vservers_, ".vskel"));
  store.journal_ = TRY(own_dir(own, "journal"));
  store.locks_ = TRY(own_dir(own, "locks"));
  store.staging_ = TRY(own_dir(own, "staging"));
  TRY(hand_down_nothing(store.staging_));
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
