// The oracle: everything that can be seen of a tree, and every difference between two trees in words.
//
// It shares no code with the engine, opens directories by descriptor (paths may be longer than PATH_MAX) and follows
// nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace vskel::test {

/// What two nodes of the same path may differ in.
enum class Aspect : unsigned {
  presence = 1,
  type = 2,
  mode = 4,
  owner = 8,
  size = 16,
  mtime = 32,
  xattrs = 64,
  target = 128,
  device = 256,
  content = 512,
  links = 1024,  ///< which names of the tree are one inode
  holes = 2048,  ///< a sparse file that is no longer sparse
  inode = 4096,  ///< not compared unless asked for (compare_snapshots of one tree at two times)
  seal = 8192,   ///< the immutable flag, the guard; compared together with the inode
};

/// A set of aspects.
class Aspects {
 public:
  constexpr Aspects(Aspect one) : bits_(static_cast<unsigned>(one)) {}
  [[nodiscard]] constexpr bool contains(Aspect one) const { return (bits_ & static_cast<unsigned>(one)) != 0; }
  friend constexpr Aspects operator|(Aspects a, Aspects b) { return Aspects(a.bits_ | b.bits_); }
  [[nodiscard]] static constexpr Aspects all() { return Aspects(~0U); }

 private:
  constexpr explicit Aspects(unsigned bits) : bits_(bits) {}
  unsigned bits_;
};
constexpr Aspects operator|(Aspect a, Aspect b) { return Aspects(a) | Aspects(b); }

/// Where a difference is as it should be.
struct Exception {
  std::string
      pattern;  ///< a path relative to the root ("" is the root itself), or "DIR/**": all below DIR, or "**": all
  Aspects aspects;
};

/// One name of a tree.
struct Node {
  std::uint32_t mode = 0;  ///< type and permissions
  std::uint32_t uid = 0, gid = 0;
  std::uint64_t size = 0, blocks = 0, device = 0, inode = 0, links = 0;
  std::uint64_t rdev = 0;
  bool immutable = false;
  bool guarded = false;  ///< held by the guard in the kernel
  std::int64_t mtime_s = 0;
  std::int64_t mtime_ns = 0;
  std::map<std::string, std::string> xattrs;
  std::string target;          ///< of a symlink
  std::string content_digest;  ///< of a regular file
};

/// Path relative to the root -> node; "" is the root.
using TreeSnapshot = std::map<std::string, Node>;

/// Throws std::system_error where something cannot be read.
[[nodiscard]] TreeSnapshot snapshot_tree(const std::filesystem::path& root);

enum class Identity { ignored, compared };

/// Every difference, a line each: "usr/bin/su: mode 4755, not 0755". Empty if there is none. With Identity::compared,
/// inode numbers and seals count too.
[[nodiscard]] std::vector<std::string> compare_snapshots(const TreeSnapshot& expected, const TreeSnapshot& actual,
                                                         std::span<const Exception> exceptions = {},
                                                         Identity identity = Identity::ignored);
[[nodiscard]] std::vector<std::string> compare_trees(const std::filesystem::path& expected,
                                                     const std::filesystem::path& actual,
                                                     std::span<const Exception> exceptions = {});

/// The lines under each other, for messages.
[[nodiscard]] std::string joined(const std::vector<std::string>& lines);

}  // namespace vskel::test
