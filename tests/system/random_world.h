// Trees of a few paths and many choices, so that every combination of what a skel had, what it has and what a tenant
// made of it comes up: files, symlinks and directories, with owners and ACLs out of a few numbers.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <random>
#include <string>

namespace vskel::test {

using Random = std::mt19937;
/// 0 to most - 1. The library's distributions are another's on every system.
inline unsigned pick(Random& random, unsigned most) { return static_cast<unsigned>(random() % most); }

/// Numbers of accounts: system's and others, next to the ends of their ranges, where free ones are looked for.
inline constexpr std::array<unsigned, 10> kSomeNumbers{101, 102, 103, 104, 105, 997, 998, 999, 1000, 1001};

/// A number in the skel -> in the vserver; what is not in it is the same there.
struct Numbering {
  std::map<unsigned, unsigned> uid, gid;
  friend bool operator==(const Numbering&, const Numbering&) = default;
};
[[nodiscard]] unsigned number_in(const std::map<unsigned, unsigned>& map, unsigned number);

/// A file, a symlink, a directory or nothing.
struct Leaf {
  char kind = '-';  ///< '-' nothing, 'f' file, 'l' symlink, 'd' directory
  char content = '-';
  unsigned mode = 0;
  int time = 0;  ///< of a directory always 0: it changes with its entries
  unsigned uid = 0, gid = 0;
  unsigned acl_user = 0;  ///< who else may read; 0: nobody
  friend bool operator==(const Leaf&, const Leaf&) = default;
};
[[nodiscard]] bool same_but_for_time(Leaf a, const Leaf& b);
[[nodiscard]] std::string text_of(const Leaf& leaf);
/// As a vserver with this numbering has it.
[[nodiscard]] Leaf mapped(Leaf leaf, const Numbering& ids);

using World = std::map<std::string, Leaf>;

inline constexpr unsigned kBundles = 12, kFilesOfBundle = 3;
[[nodiscard]] std::string bundle_name(unsigned number);

/// Half of a world is as another one, and so are half of its bundles, whole.
[[nodiscard]] World random_world(Random& random, const World& like);
[[nodiscard]] Leaf random_leaf(Random& random);

/// What stands at `path` below `root`.
[[nodiscard]] Leaf look(const std::filesystem::path& root, const std::string& path);
/// Makes `root` what `world` says. What is so already is left alone.
void lay(const std::filesystem::path& root, const World& world);

}  // namespace vskel::test
