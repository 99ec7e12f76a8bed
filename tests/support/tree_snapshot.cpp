// Every node is reached as a single name below an open directory; for calls that have no *at form (lgetxattr) as
// /proc/self/fd/N/NAME, which is short whatever the depth. Contents are kept as XXH3-128: two trees of a test do not
// collide by accident.
#include "tests/support/tree_snapshot.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <iomanip>
#include <memory>
#include <optional>
#include <sstream>
#include <system_error>

#include "tests/support/guard_map.h"

namespace vskel::test {
namespace {

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  throw std::system_error(errno, std::generic_category(), what + " " + path);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

struct CloseStream {
  void operator()(DIR* stream) const { ::closedir(stream); }
};
using Stream = std::unique_ptr<DIR, CloseStream>;
using HashState = std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)>;

// Made once: some test looks at a tree a thousand times, and most nodes need a few bytes of them.
constexpr std::size_t kMostText = 65536;  // of a list of attributes, or an attribute
std::string& scratch() {
  static thread_local std::string buffer(kMostText, '\0');
  return buffer;
}

std::string digest_of(int file, const std::string& name) {
  const HashState state(XXH3_createState(), &XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::string& buffer = scratch();
  for (;;) {
    const ssize_t got = ::read(file, buffer.data(), buffer.size());
    if (got < 0) fail("read", name);
    if (got == 0) break;
    XXH3_128bits_update(state.get(), buffer.data(), static_cast<std::size_t>(got));
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  std::ostringstream text;
  text << std::hex << hash.high64 << '-' << hash.low64;
  return text.str();
}

// `list` and `get` are the calls for a descriptor or for a path.
template <class List, class Get>
std::map<std::string, std::string> xattrs_by(List list, Get get, const std::string& path) {
  const ssize_t length = list(scratch().data(), kMostText);
  if (length == 0 || (length < 0 && errno == EOPNOTSUPP)) return {};
  if (length < 0) fail("list attributes of", path);
  const std::string names = scratch().substr(0, static_cast<std::size_t>(length));
  std::map<std::string, std::string> all;
  for (std::size_t at = 0; at < names.size(); at += std::strlen(&names[at]) + 1) {
    const ssize_t size = get(&names[at], scratch().data(), kMostText);
    if (size < 0) fail("read attribute of", path);
    all[&names[at]] = scratch().substr(0, static_cast<std::size_t>(size));
  }
  return all;
}

std::map<std::string, std::string> xattrs_of(int directory, const std::string& name) {
  const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + name;
  return xattrs_by(
      [&](char* to, std::size_t size) { return ::llistxattr(path.c_str(), to, size); },
      [&](const char* key, char* to, std::size_t size) { return ::lgetxattr(path.c_str(), key, to, size); }, path);
}

std::map<std::string, std::string> xattrs_of_file(int file, const std::string& name) {
  return xattrs_by([&](char* to, std::size_t size) { return ::flistxattr(file, to, size); },
                   [&](const char* key, char* to, std::size_t size) { return ::fgetxattr(file, key, to, size); }, name);
}

std::string link_target(int directory, const std::string& name) {
  const ssize_t length = ::readlinkat(directory, name.c_str(), scratch().data(), kMostText);
  if (length < 0) fail("readlink", name);
  return scratch().substr(0, static_cast<std::size_t>(length));
}

Node node_of(int directory, const std::string& name) {
  struct statx status {};
  if (::statx(directory, name.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status) != 0) fail("stat", name);
  Node node;
  node.mode = status.stx_mode;
  node.uid = status.stx_uid;
  node.gid = status.stx_gid;
  node.size = status.stx_size;
  node.blocks = status.stx_blocks;
  node.device = makedev(status.stx_dev_major, status.stx_dev_minor);
  node.inode = status.stx_ino;
  node.links = status.stx_nlink;
  node.rdev = makedev(status.stx_rdev_major, status.stx_rdev_minor);
  node.immutable = (status.stx_attributes & STATX_ATTR_IMMUTABLE) != 0;
  node.mtime_s = status.stx_mtime.tv_sec;
  node.mtime_ns = status.stx_mtime.tv_nsec;
  if (S_ISLNK(node.mode)) node.target = link_target(directory, name);
  if (!S_ISREG(node.mode)) {
    node.xattrs = xattrs_of(directory, name);
    return node;
  }
  const Descriptor file(::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC));
  if (file.get() < 0) fail("open", name);
  node.xattrs = xattrs_of_file(file.get(), name);
  node.content_digest = digest_of(file.get(), name);
  node.guarded = is_guarded(file.get());
  return node;
}

std::vector<std::string> names_in(int directory) {
  const int own = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) fail("open", ".");
  const Stream stream(::fdopendir(own));
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

void add_directory(int directory, const std::string& path, TreeSnapshot& tree) {
  for (const std::string& name : names_in(directory)) {
    const std::string child = path.empty() ? name : path + "/" + name;
    const Node& node = tree[child] = node_of(directory, name);
    if (!S_ISDIR(node.mode)) continue;
    const Descriptor below(
        ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC));
    if (below.get() < 0) fail("open", child);
    add_directory(below.get(), child, tree);
  }
}

bool matches(const std::string& pattern, const std::string& path) {
  if (pattern == "**") return true;
  if (pattern.ends_with("/**")) return path.starts_with(pattern.substr(0, pattern.size() - 2));
  return pattern == path;
}

bool excepted(std::span<const Exception> exceptions, const std::string& path, Aspect aspect) {
  for (const Exception& exception : exceptions) {
    if (exception.aspects.contains(aspect) && matches(exception.pattern, path)) return true;
  }
  return false;
}

std::string printable(const std::string& text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      shown.push_back(c);
    } else {
      shown += std::string("\\x") + "0123456789abcdef"[byte >> 4] + "0123456789abcdef"[byte & 15];
    }
  }
  return shown.size() <= 200 ? shown : shown.substr(0, 197) + "...";
}

std::string owner_text(const Node& node) { return std::to_string(node.uid) + ":" + std::to_string(node.gid); }

std::string time_text(const Node& node) {
  std::ostringstream text;
  text << node.mtime_s << '.' << std::setw(9) << std::setfill('0') << node.mtime_ns;
  return text.str();
}

std::string octal(std::uint32_t mode) {
  std::ostringstream text;
  text << std::oct << (mode & 07777);
  return text.str();
}

std::string type_name(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFIFO:
      return "FIFO";
    case S_IFSOCK:
      return "socket";
    case S_IFCHR:
      return "character device";
    case S_IFBLK:
      return "block device";
    default:
      return "unknown";
  }
}

std::string xattr_text(const std::map<std::string, std::string>& xattrs) {
  std::string text;
  for (const auto& [name, value] : xattrs) text += name + "=" + printable(value) + " ";
  return "[" + text + "]";
}

// Names are one inode if they have the same leader: the first name of the group that counts in both trees.
class LinkGroups {
 public:
  LinkGroups(const TreeSnapshot& tree, const TreeSnapshot& other, std::span<const Exception> exceptions) {
    for (const auto& [path, node] : tree) {
      if (S_ISDIR(node.mode) || !other.contains(path) || excepted(exceptions, path, Aspect::links)) continue;
      leaders_.try_emplace({node.device, node.inode}, path);
    }
  }
  [[nodiscard]] std::string leader_of(const Node& node) const { return leaders_.at({node.device, node.inode}); }

 private:
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::string> leaders_;
};

class Comparison {
 public:
  Comparison(std::span<const Exception> exceptions, Identity identity) : exceptions_(exceptions), identity_(identity) {}

  void note(const std::string& path, Aspect aspect, const std::string& what) {
    if (!excepted(exceptions_, path, aspect))
      lines_.push_back((path.empty() ? "(root)" : printable(path)) + ": " + what);
  }

  void values(const std::string& path, Aspect aspect, const std::string& what, const std::string& expected,
              const std::string& actual) {
    if (expected != actual) note(path, aspect, what + " " + actual + ", not " + expected);
  }

  void nodes(const std::string& path, const Node& expected, const Node& actual) {
    if (type_name(expected.mode) != type_name(actual.mode)) {
      note(path, Aspect::type, "is a " + type_name(actual.mode) + ", not a " + type_name(expected.mode));
      return;
    }
    values(path, Aspect::mode, "mode", octal(expected.mode), octal(actual.mode));
    values(path, Aspect::owner, "owner", owner_text(expected), owner_text(actual));
    values(path, Aspect::mtime, "mtime", time_text(expected), time_text(actual));
    values(path, Aspect::xattrs, "attributes", xattr_text(expected.xattrs), xattr_text(actual.xattrs));
    values(path, Aspect::target, "target", printable(expected.target), printable(actual.target));
    if (S_ISCHR(expected.mode) || S_ISBLK(expected.mode)) {
      values(path, Aspect::device, "device", std::to_string(expected.rdev), std::to_string(actual.rdev));
    }
    if (S_ISREG(expected.mode)) files(path, expected, actual);
    if (identity_ == Identity::compared) {
      values(path, Aspect::inode, "inode", std::to_string(expected.inode), std::to_string(actual.inode));
      values(path, Aspect::seal, "immutable", expected.immutable ? "yes" : "no", actual.immutable ? "yes" : "no");
      values(path, Aspect::seal, "guarded", expected.guarded ? "yes" : "no", actual.guarded ? "yes" : "no");
    }
  }

  std::vector<std::string> take_lines() { return std::move(lines_); }

 private:
  void files(const std::string& path, const Node& expected, const Node& actual) {
    values(path, Aspect::size, "size", std::to_string(expected.size), std::to_string(actual.size));
    values(path, Aspect::content, "content", expected.content_digest, actual.content_digest);
    // File systems round and preallocate; a lost hole of our test files is far bigger than that.
    constexpr std::uint64_t kSlack = 512;  // blocks of 512 bytes
    const bool sparse = expected.blocks * 512 < expected.size / 2;
    if (sparse && actual.blocks > expected.blocks + kSlack) {
      note(path, Aspect::holes,
           "takes " + std::to_string(actual.blocks) + " blocks, not " + std::to_string(expected.blocks));
    }
  }

  std::span<const Exception> exceptions_;
  Identity identity_;
  std::vector<std::string> lines_;
};

}  // namespace

TreeSnapshot snapshot_tree(const std::filesystem::path& root) {
  const Descriptor directory(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) fail("open", root.string());
  TreeSnapshot tree;
  tree[""] = node_of(directory.get(), ".");
  add_directory(directory.get(), "", tree);
  return tree;
}

std::vector<std::string> compare_snapshots(const TreeSnapshot& expected, const TreeSnapshot& actual,
                                           std::span<const Exception> exceptions, Identity identity) {
  Comparison comparison(exceptions, identity);
  const LinkGroups expected_groups(expected, actual, exceptions), actual_groups(actual, expected, exceptions);
  for (const auto& [path, node] : expected) {
    const auto found = actual.find(path);
    if (found == actual.end()) {
      comparison.note(path, Aspect::presence, "is missing");
      continue;
    }
    comparison.nodes(path, node, found->second);
    if (S_ISDIR(node.mode) || S_ISDIR(found->second.mode) || excepted(exceptions, path, Aspect::links)) continue;
    comparison.values(path, Aspect::links, "is one inode with", printable(expected_groups.leader_of(node)),
                      printable(actual_groups.leader_of(found->second)));
  }
  for (const auto& [path, node] : actual) {
    if (!expected.contains(path)) comparison.note(path, Aspect::presence, "should not be there");
  }
  return comparison.take_lines();
}

std::vector<std::string> compare_trees(const std::filesystem::path& expected, const std::filesystem::path& actual,
                                       std::span<const Exception> exceptions) {
  return compare_snapshots(snapshot_tree(expected), snapshot_tree(actual), exceptions);
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace vskel::test
