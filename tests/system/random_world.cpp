#include "tests/system/random_world.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "tests/support/inode_extras.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

constexpr time_t kFirstTime = 1'000'000'000;
constexpr const char* kAcl = "system.posix_acl_access";
constexpr unsigned kPaths = 40, kDirectories = 8;

void must_be_zero(int result, const fs::path& path) {
  if (result != 0) throw std::system_error(errno, std::generic_category(), path.string());
}

/// The named user of an ACL that posix_acl() made; 0 without one.
unsigned acl_user_of(const fs::path& path, unsigned mode) {
  std::array<char, 256> buffer{};
  const ssize_t size = ::lgetxattr(path.c_str(), kAcl, buffer.data(), buffer.size());
  if (size < 0) return 0;
  const std::string acl(buffer.data(), static_cast<std::size_t>(size));
  for (const unsigned number : kSomeNumbers)
    if (acl == posix_acl(mode, {number, 4})) return number;
  // A free number that was made up for an account: the second entry's.
  const auto byte = [&acl](std::size_t at) { return static_cast<unsigned>(static_cast<unsigned char>(acl.at(at))); };
  return byte(16) | byte(17) << 8 | byte(18) << 16 | byte(19) << 24;
}

unsigned random_owner(Random& random) {
  return pick(random, 2) == 0 ? 0 : kSomeNumbers.at(pick(random, kSomeNumbers.size()));
}

Leaf random_directory(Random& random) {
  return {'d', '-', pick(random, 2) == 0 ? 0755U : 0750U, 0, random_owner(random), random_owner(random), 0};
}

}  // namespace

unsigned number_in(const std::map<unsigned, unsigned>& map, unsigned number) {
  const auto found = map.find(number);
  return found == map.end() ? number : found->second;
}

bool same_but_for_time(Leaf a, const Leaf& b) {
  a.time = b.time;
  return a == b;
}

std::string text_of(const Leaf& leaf) {
  if (leaf.kind == '-') return "nothing";
  return std::string(1, leaf.kind) + " " + leaf.content + " " + std::to_string(leaf.mode) + " of " +
         std::to_string(leaf.uid) + ":" + std::to_string(leaf.gid) +
         (leaf.acl_user == 0 ? "" : " for " + std::to_string(leaf.acl_user)) + " at " + std::to_string(leaf.time);
}

Leaf mapped(Leaf leaf, const Numbering& ids) {
  leaf.uid = number_in(ids.uid, leaf.uid);
  leaf.gid = number_in(ids.gid, leaf.gid);
  leaf.acl_user = number_in(ids.uid, leaf.acl_user);
  return leaf;
}

std::string bundle_name(unsigned number) { return "var/lib/b" + std::to_string(number); }

Leaf random_leaf(Random& random) {
  const unsigned kind = pick(random, 10);
  if (kind < 2) return {};
  Leaf leaf{kind == 2 ? 'l' : 'f', static_cast<char>('a' + pick(random, 2)), 0, static_cast<int>(1 + pick(random, 3))};
  if (pick(random, 2) == 0) leaf.uid = random_owner(random);
  if (pick(random, 2) == 0) leaf.gid = random_owner(random);
  if (leaf.kind == 'l') return leaf;
  leaf.mode = pick(random, 3) == 0 ? 0600U : 0644U;
  // With a mode that an ACL's mask does not change.
  if (leaf.mode == 0644 && pick(random, 6) == 0) leaf.acl_user = random_owner(random);
  return leaf;
}

World random_world(Random& random, const World& like) {
  World world;
  const auto old_or = [&](const std::string& path, bool stays, Leaf (*make)(Random&)) {
    const auto old = like.find(path);
    world[path] = old != like.end() && (stays || pick(random, 2) == 0) ? old->second : make(random);
  };
  for (unsigned number = 0; number < kBundles; ++number) {
    const bool stays = pick(random, 2) == 0;
    old_or(bundle_name(number), stays || pick(random, 2) == 0, random_directory);
    for (unsigned file = 0; file < kFilesOfBundle; ++file)
      old_or(bundle_name(number) + "/f" + std::to_string(file), stays, random_leaf);
  }
  for (unsigned number = 0; number < kPaths; ++number)
    old_or((number % 2 == 0 ? "usr/share/p" : "srv/p") + std::to_string(number), false, random_leaf);
  for (unsigned number = 0; number < kDirectories; ++number)
    old_or((number % 2 == 0 ? "usr/lib/d" : "etc/d") + std::to_string(number), false, random_directory);
  return world;
}

Leaf look(const fs::path& root, const std::string& path) {
  const fs::path target = root / path;
  struct stat found {};
  if (::lstat(target.c_str(), &found) != 0) return {};
  Leaf leaf{'-', '-', 0, static_cast<int>(found.st_mtim.tv_sec - kFirstTime), found.st_uid, found.st_gid, 0};
  if (S_ISLNK(found.st_mode)) {
    leaf.kind = 'l';
    leaf.content = fs::read_symlink(target).string()[0];
    return leaf;
  }
  leaf.mode = found.st_mode & 07777U;
  if (S_ISDIR(found.st_mode)) {
    leaf.kind = 'd';
    leaf.time = 0;
    return leaf;
  }
  leaf.kind = 'f';
  leaf.content = read_file(target)[0];
  leaf.acl_user = acl_user_of(target, leaf.mode);
  return leaf;
}

void lay(const fs::path& root, const World& world) {
  for (const auto& [path, leaf] : world) {
    const fs::path target = root / path;
    if (leaf.kind == 'd') fs::create_directories(target);
    fs::create_directories(target.parent_path());
    if (look(root, path) == leaf) continue;
    if (leaf.kind != 'd') fs::remove(target);
    if (leaf.kind == '-') continue;
    if (leaf.kind == 'l') fs::create_symlink(std::string(1, leaf.content), target);
    if (leaf.kind == 'f') write_file(target, std::string(200, leaf.content));
    must_be_zero(::lchown(target.c_str(), leaf.uid, leaf.gid), target);
    if (leaf.kind != 'l') fs::permissions(target, static_cast<fs::perms>(leaf.mode));
    if (leaf.acl_user != 0) set_xattr(target, kAcl, posix_acl(leaf.mode, {leaf.acl_user, 4}));
    if (leaf.kind == 'd') continue;
    const timespec time{kFirstTime + leaf.time, 0};
    const std::array times{time, time};
    must_be_zero(::utimensat(AT_FDCWD, target.c_str(), times.data(), AT_SYMLINK_NOFOLLOW), target);
  }
}

}  // namespace vskel::test
