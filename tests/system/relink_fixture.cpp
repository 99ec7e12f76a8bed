#include "tests/system/relink_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>

#include "tests/support/inode_extras.h"

namespace vskel::test {

namespace {

constexpr time_t kTimeOfAll = 1'000'000'000;

void must_be_zero(int result, const fs::path& path) {
  if (result != 0) throw std::system_error(errno, std::generic_category(), "put " + path.string());
}

void make_content(const fs::path& path, const std::string& content) {
  std::ofstream stream(path, std::ios::binary);
  stream << content;
  stream.close();
  must_be_zero(stream ? 0 : -1, path);
}

/// Makes what `thing` is, without its metadata. Nothing is there.
void make(const fs::path& path, const Thing& thing) {
  const auto node = [&](mode_t type, dev_t device = 0) { must_be_zero(::mknod(path.c_str(), type, device), path); };
  switch (thing.kind) {
    case Thing::Kind::absent:
      break;
    case Thing::Kind::file:
      make_content(path, thing.text);
      break;
    case Thing::Kind::directory:
      fs::create_directory(path);
      for (const auto& [name, entry] : thing.entries) put(path / name, entry);
      break;
    case Thing::Kind::symlink:
      must_be_zero(::symlink(thing.text.c_str(), path.c_str()), path);
      break;
    case Thing::Kind::hard_link:
      must_be_zero(::link((path.parent_path() / thing.text).c_str(), path.c_str()), path);
      break;
    case Thing::Kind::fifo:
      node(S_IFIFO | 0600);
      break;
    case Thing::Kind::socket:
      node(S_IFSOCK | 0600);
      break;
    case Thing::Kind::device:
      node(S_IFCHR | 0600, makedev(1, thing.device));
      break;
  }
}

Thing::Kind kind_of(mode_t mode) {
  if (S_ISREG(mode)) return Thing::Kind::file;
  if (S_ISDIR(mode)) return Thing::Kind::directory;
  if (S_ISLNK(mode)) return Thing::Kind::symlink;
  if (S_ISFIFO(mode)) return Thing::Kind::fifo;
  return S_ISSOCK(mode) ? Thing::Kind::socket : Thing::Kind::device;
}

std::string word_for(Thing::Kind kind) {
  constexpr std::array<const char*, 8> kWords{"absent",      "a file", "a directory", "a symlink",
                                              "a hard link", "a FIFO", "a socket",    "a device"};
  return kWords.at(static_cast<std::size_t>(kind));
}

std::map<std::string, std::string> xattrs_of(const fs::path& path) {
  std::array<char, 4096> names{}, value{};
  std::map<std::string, std::string> found;
  const ssize_t length = ::llistxattr(path.c_str(), names.data(), names.size());
  for (ssize_t at = 0; at < length;) {
    const std::string name = names.data() + at;
    at += static_cast<ssize_t>(name.size()) + 1;
    if (name.starts_with("trusted.SGI_ACL_")) continue;  // XFS shows ACLs in its own form, too
    const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (size >= 0) found[name] = std::string(value.data(), static_cast<std::size_t>(size));
  }
  return found;
}

std::string brief(const std::string& content) {
  return content.size() <= 60 ? content : content.substr(0, 60) + "... (" + std::to_string(content.size()) + " bytes)";
}

std::string metadata_differences(const Thing& thing, const fs::path& path, const struct stat& status) {
  std::ostringstream text;
  if ((status.st_mode & 07777) != thing.mode)
    text << path << ": mode " << std::oct << (status.st_mode & 07777) << ", not " << thing.mode << std::dec << "\n";
  if (status.st_uid != thing.owner || status.st_gid != thing.owner)
    text << path << ": owner " << status.st_uid << ":" << status.st_gid << ", not " << thing.owner << "\n";
  if (xattrs_of(path) != thing.xattrs) text << path << ": other extended attributes\n";
  return text.str();
}

std::string entry_differences(const Thing& thing, const fs::path& path) {
  std::string text;
  for (const auto& [name, entry] : thing.entries) text += differences_from(entry, path / name);
  for (const std::string& name : names_in(path))
    if (!thing.entries.contains(name)) text += (path / name).string() + ": is there, but should not be\n";
  return text;
}

}  // namespace

Thing Thing::owned_by(unsigned id) const {
  Thing thing = *this;
  thing.owner = id;
  return thing;
}

Thing Thing::with_xattr(const std::string& name, const std::string& value) const {
  Thing thing = *this;
  thing.xattrs[name] = value;
  return thing;
}

Thing absent() { return {}; }

Thing file(const std::string& content, unsigned mode) {
  Thing thing;
  thing.kind = Thing::Kind::file;
  thing.text = content;
  thing.mode = mode;
  return thing;
}

Thing directory(const std::map<std::string, Thing>& entries, unsigned mode) {
  Thing thing;
  thing.kind = Thing::Kind::directory;
  thing.entries = entries;
  thing.mode = mode;
  return thing;
}

Thing symlink_to(const std::string& target) {
  Thing thing;
  thing.kind = Thing::Kind::symlink;
  thing.text = target;
  return thing;
}

Thing hard_link_to(const std::string& sibling) {
  Thing thing;
  thing.kind = Thing::Kind::hard_link;
  thing.text = sibling;
  return thing;
}

Thing fifo(unsigned mode) {
  Thing thing;
  thing.kind = Thing::Kind::fifo;
  thing.mode = mode;
  return thing;
}

Thing socket_node() {
  Thing thing;
  thing.kind = Thing::Kind::socket;
  thing.mode = 0755;
  return thing;
}

Thing device(unsigned minor) {
  Thing thing;
  thing.kind = Thing::Kind::device;
  thing.mode = 0660;
  thing.device = minor;
  return thing;
}

void put(const fs::path& path, const Thing& thing) {
  fs::remove_all(path);
  if (thing.kind == Thing::Kind::absent) return;
  fs::create_directories(path.parent_path());
  make(path, thing);
  if (thing.kind == Thing::Kind::hard_link) return;
  must_be_zero(::lchown(path.c_str(), thing.owner, thing.owner), path);
  if (thing.kind != Thing::Kind::symlink) must_be_zero(::chmod(path.c_str(), thing.mode), path);
  for (const auto& [name, value] : thing.xattrs) set_xattr(path, name, value);
  const std::array<timespec, 2> times{timespec{kTimeOfAll, 0}, timespec{kTimeOfAll, 0}};
  must_be_zero(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW), path);
}

std::string differences_from(const Thing& thing, const fs::path& path) {
  struct stat status {};
  const bool there = ::lstat(path.c_str(), &status) == 0;
  if (!there || thing.kind == Thing::Kind::absent) {
    if (there == (thing.kind != Thing::Kind::absent)) return "";
    return path.string() + (there ? ": is there, but should not be\n" : ": is not there\n");
  }
  if (thing.kind == Thing::Kind::hard_link) {
    if (status.st_ino == inode_of(path.parent_path() / thing.text)) return "";
    return path.string() + ": is no longer one inode with " + thing.text + "\n";
  }
  if (kind_of(status.st_mode) != thing.kind)
    return path.string() + ": is " + word_for(kind_of(status.st_mode)) + ", not " + word_for(thing.kind) + "\n";
  if (thing.kind == Thing::Kind::symlink) {
    const std::string target = fs::read_symlink(path);
    return target == thing.text ? "" : path.string() + ": points to " + target + ", not to " + thing.text + "\n";
  }
  std::string text = metadata_differences(thing, path, status);
  if (thing.kind == Thing::Kind::directory) text += entry_differences(thing, path);
  if (thing.kind == Thing::Kind::device && minor(status.st_rdev) != thing.device)
    text += path.string() + ": is another device\n";
  if (thing.kind == Thing::Kind::file && read_file(path) != thing.text)
    text += path.string() + ": holds \"" + brief(read_file(path)) + "\", not \"" + brief(thing.text) + "\"\n";
  return text;
}

TenantAtWork::TenantAtWork(const fs::path& vserver, const fs::path& skel) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(vserver)) {
    if (!entry.is_symlink() && entry.is_regular_file() && is_immutable(entry.path())) found.push_back(entry.path());
  }
  for (const fs::path& path : found) {
    sealed_.push_back(skel / "global" / path.lexically_relative(vserver));
    clear_immutable(path);
  }
}

TenantAtWork::~TenantAtWork() {
  for (const fs::path& path : sealed_) {
    try {
      set_immutable(path);
    } catch (const std::exception& error) {
      ADD_FAILURE() << "sealing again: " << error.what();
    }
  }
}

Json Relinked::of(const std::string& vserver) const {
  if (!report.is_object() || !report.contains("vservers")) return nullptr;
  for (const Json& entry : report["vservers"])
    if (entry["name"] == vserver) return entry;
  return nullptr;
}

std::map<std::string, std::string> Relinked::kept(const std::string& vserver) const {
  std::map<std::string, std::string> paths;
  const Json entry = of(vserver);
  EXPECT_TRUE(entry.is_object()) << "no report of " << vserver;
  if (!entry.is_object()) return paths;
  for (const Json& kept : entry["kept"])
    EXPECT_TRUE(paths.emplace(kept["path"], kept["why"]).second) << "reported twice: " << kept;
  return paths;
}

fs::path RelinkTest::theirs(const std::string& path) const {
  const fs::path global = skel() / "global" / path;
  return fs::exists(fs::symlink_status(global)) ? global : skel() / "local" / path;
}

void RelinkTest::SetUp() {
  VskelTest::SetUp();
  if (IsSkipped() || HasFatalFailure()) return;
  fs::create_directory(root());
  put(root() / "etc/passwd", file("root:x:0:0:root:/root:/bin/sh\n"));
  put(root() / "etc/group", file("root:x:0:\n"));
  put(root() / "etc/hosts", file("127.0.0.1 localhost\n"));
  put(root() / "usr/bin/program", file("#!/bin/sh\n", 0755));
  put(root() / "var/log", directory({}));
}

void RelinkTest::build() const {
  const ProcessResult result = vskel({"build-skel", "base", "--from", root().string()});
  ASSERT_EQ(result.code, 0) << result;
}

void RelinkTest::create_vserver(const std::string& name, const Arguments& options) const {
  create(name, "192.0.2." + std::to_string(names_in(skel() / "instances").size() + 1), options);
}

void RelinkTest::merge() const {
  const ProcessResult result = vskel({"merge-skel", "base"});
  ASSERT_EQ(result.code, 0) << result;
}

void RelinkTest::split() const {
  const ProcessResult result = vskel({"split-skel", "base"});
  ASSERT_EQ(result.code, 0) << result;
}

Relinked RelinkTest::relink(const Arguments& arguments) const {
  Arguments all = {"--json", "relink", "base"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  Relinked relinked{vskel(all), nullptr};
  relinked.report = Json::parse(relinked.process.out, nullptr, false);
  EXPECT_TRUE(relinked.report.is_object()) << relinked.process;
  return relinked;
}

void RelinkTest::update_skel(const std::map<std::string, Thing>& things) const {
  merge();
  if (HasFatalFailure()) return;
  for (const auto& [path, thing] : things) put(merged() / path, thing);
  split();
}

void RelinkTest::change(const std::string& vserver_name, const std::map<std::string, Thing>& things) const {
  const TenantAtWork tenant(vserver(vserver_name), skel());
  for (const auto& [path, thing] : things) put(vserver(vserver_name) / path, thing);
}

std::string RelinkTest::config_file(const std::string& text) const {
  const fs::path path = mount() / "test.toml";
  write_file(path, text);
  return path.string();
}

std::uint64_t RelinkTest::shared_files(const std::string& vserver_name) const {
  std::uint64_t count = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(skel() / "global")) {
    struct stat mine {};
    const fs::path path = vserver(vserver_name) / entry.path().lexically_relative(skel() / "global");
    if (entry.is_symlink() || !entry.is_regular_file() || ::lstat(path.c_str(), &mine) != 0) continue;
    count += mine.st_ino == inode_of(entry.path()) ? 1 : 0;
  }
  return count;
}

}  // namespace vskel::test
