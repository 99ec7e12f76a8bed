// Random worlds: what the skel had, what it has, and what a tenant made of it, against the plainest model of the table.
// Paths are few and choices are many, so that every combination comes up.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <random>

#include "tests/support/inode_extras.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

/// A file, a symlink or nothing.
struct Leaf {
  char kind = '-';  ///< '-' nothing, 'f' file, 'l' symlink
  char content = '-';
  unsigned mode = 0;
  int time = 0;
  friend bool operator==(const Leaf&, const Leaf&) = default;
};

bool same_but_for_time(Leaf a, const Leaf& b) {
  a.time = b.time;
  return a == b;
}

std::string text_of(const Leaf& leaf) {
  return leaf.kind == '-' ? "nothing"
                          : std::string(1, leaf.kind) + " " + leaf.content + " " + std::to_string(leaf.mode) + " at " +
                                std::to_string(leaf.time);
}

using World = std::map<std::string, Leaf>;

class RelinkPropertyTest : public VskelTest {
 protected:
  static constexpr int kPaths = 40, kBundles = 12;

  static std::string bundle_name(int number) { return "var/lib/b" + std::to_string(number); }

  Leaf random_leaf() {
    const auto pick = [&](int most) { return static_cast<int>(random_() % static_cast<unsigned>(most)); };
    const int kind = pick(10), time = 1 + pick(3);
    if (kind < 2) return {};
    if (kind == 2) return {'l', static_cast<char>('a' + pick(2)), 0, time};
    return {'f', static_cast<char>('a' + pick(2)), pick(3) == 0 ? 0600U : 0644U, time};
  }

  /// Half of a world is as another one, and so are half of its bundles, whole.
  World random_world(const World& like) {
    World world;
    for (int number = 0; number < kBundles * 3; ++number) {
      const std::string path = bundle_name(number / 3) + "/f" + std::to_string(number % 3);
      const auto old = like.find(path);
      if (number % 3 == 0) as_it_was_ = random_() % 2 == 0;
      world[path] = old != like.end() && (as_it_was_ || random_() % 2 == 0) ? old->second : random_leaf();
    }
    for (int number = 0; number < kPaths; ++number) {
      const std::string path = (number % 2 == 0 ? "usr/share/p" : "srv/p") + std::to_string(number);
      const auto old = like.find(path);
      world[path] = old != like.end() && random_() % 2 == 0 ? old->second : random_leaf();
    }
    return world;
  }

  static void lay(const fs::path& root, const World& world) {
    for (const auto& [path, leaf] : world) {
      const fs::path target = root / path;
      fs::create_directories(target.parent_path());
      if (look(root, path) == leaf) continue;
      fs::remove(target);
      if (leaf.kind == 'l') fs::create_symlink(std::string(1, leaf.content), target);
      if (leaf.kind == 'f') {
        write_file(target, std::string(200, leaf.content));
        fs::permissions(target, static_cast<fs::perms>(leaf.mode));
      }
      const timespec time{kFirstTime + leaf.time, 0};
      const std::array times{time, time};
      if (leaf.kind == '-') continue;
      ASSERT_EQ(::utimensat(AT_FDCWD, target.c_str(), times.data(), AT_SYMLINK_NOFOLLOW), 0);
    }
  }

  /// The same in a vserver, where a file may be a sealed inode of the skel's: its name is taken away from that first.
  void lay_as_tenant(const std::string& name, const World& world) const {
    for (const auto& [path, leaf] : world) {
      const fs::path own = vserver(name) / path;
      if (look(vserver(name), path) == leaf || !fs::is_regular_file(fs::symlink_status(own)) || !is_immutable(own))
        continue;
      const fs::path shared = skel() / "global" / path;
      clear_immutable(own);
      fs::remove(own);
      set_immutable(shared);
    }
    lay(vserver(name), world);
  }

  static Leaf look(const fs::path& root, const std::string& path) {
    const fs::path target = root / path;
    const fs::file_status status = fs::symlink_status(target);
    struct stat found {};
    const int time = ::lstat(target.c_str(), &found) == 0 ? static_cast<int>(found.st_mtim.tv_sec - kFirstTime) : 0;
    if (fs::is_symlink(status)) return {'l', fs::read_symlink(target).string()[0], 0, time};
    if (!fs::is_regular_file(status)) return {};
    return {'f', read_file(target)[0], static_cast<unsigned>(status.permissions()) & 07777U, time};
  }

  /// The table, for what is no directory.
  static std::pair<Leaf, std::string> model(const Leaf& base, const Leaf& theirs, const Leaf& mine) {
    const Leaf nothing;
    if (same_but_for_time(mine, theirs) && !same_but_for_time(mine, base)) return {mine, ""};
    if (mine == theirs || base == theirs) return {mine, ""};
    if (mine != nothing && same_but_for_time(base, theirs) && !same_but_for_time(mine, base)) return {mine, ""};
    if (mine != nothing && same_but_for_time(mine, base)) return {theirs, ""};
    if (base == nothing && mine == nothing) return {theirs, ""};
    if (theirs == nothing) return {mine, base == nothing ? "" : "removed in the skel, changed here"};
    if (mine == nothing) return {mine, same_but_for_time(base, theirs) ? "" : "deleted here, changed in the skel"};
    return {mine, base == nothing ? "added on both sides" : "changed on both sides"};
  }

  /// The three files of a bundle in a world.
  static std::array<Leaf, 3> bundle_in(const World& world, const std::string& name) {
    return {world.at(name + "/f0"), world.at(name + "/f1"), world.at(name + "/f2")};
  }

  /// A bundle whose tenant left all of it alone is theirs, any other is mine; a conflict is told of once.
  static std::pair<std::array<Leaf, 3>, std::string> model_of_bundle(const std::array<Leaf, 3>& base,
                                                                     const std::array<Leaf, 3>& theirs,
                                                                     const std::array<Leaf, 3>& mine) {
    if (base == theirs) return {mine, ""};
    if (std::ranges::equal(mine, base, same_but_for_time)) {
      std::array<Leaf, 3> after = mine;
      // What differs in its time alone follows only where the skel's did, too.
      for (std::size_t at = 0; at < after.size(); ++at)
        if (base[at] != theirs[at]) after[at] = theirs[at];
      return {after, ""};
    }
    if (std::ranges::equal(mine, theirs, same_but_for_time)) return {mine, ""};
    return {mine, "in use by the tenant, changed in the skel"};
  }

  static constexpr time_t kFirstTime = 1'000'000'000;
  bool as_it_was_ = false;
  std::mt19937 random_{20031123};
};

TEST_P(RelinkPropertyTest, RandomWorldsEndAsTheModelSays) {
  std::vector<std::string> shares = {"hardlink", "copy"};
  if (has_reflinks(GetParam())) shares.emplace_back("reflink");
  const fs::path root = mount() / "root", merged = vservers() / "tmp_skel_base";
  write_file((fs::create_directories(root / "etc"), root / "etc/passwd"), "root:x:0:0::/root:/bin/sh\n");
  World base = random_world({});
  lay(root, base);
  ASSERT_EQ(vskel({"build-skel", "base", "--from", root.string()}).code, 0);
  for (std::size_t at = 0; at < shares.size(); ++at)
    create(shares[at], "192.0.2." + std::to_string(at + 1), {"--share", shares[at]});
  for (int round = 0; round < 6; ++round) {
    const World theirs = random_world(base);
    std::map<std::string, World> mine;
    for (const std::string& share : shares) {
      mine[share] = random_world(base);
      lay_as_tenant(share, mine[share]);
    }
    ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
    lay(merged, theirs);
    const ProcessResult split = vskel({"split-skel", "base"});
    ASSERT_EQ(split.code, 0) << split;
    const ProcessResult result = vskel({"relink", "base", "--json"});
    ASSERT_EQ(result.code, 0) << result;
    const Json document = Json::parse(result.out);
    for (const Json& vserver : document.at("vservers")) {
      const std::string share = vserver.at("name");
      auto kept = kept_of(vserver);
      for (int number = 0; number < kBundles; ++number) {
        const std::string bundle = bundle_name(number);
        const auto [expected, why] = model_of_bundle(bundle_in(base, bundle), bundle_in(theirs, bundle),
                                                     bundle_in(mine.at(share), bundle));
        const std::string trace = "round " + std::to_string(round) + ", " + share + ", " + bundle;
        EXPECT_EQ(kept["/" + bundle], why) << trace;
        for (std::size_t at = 0; at < expected.size(); ++at) {
          const std::string path = bundle + "/f" + std::to_string(at);
          EXPECT_EQ(text_of(look(this->vserver(share), path)), text_of(expected[at]))
              << trace << ": base " << text_of(base.at(path)) << ", theirs " << text_of(theirs.at(path)) << ", mine "
              << text_of(mine.at(share).at(path));
        }
      }
      for (const auto& [path, leaf] : mine.at(share)) {
        if (path.starts_with("var/lib/")) continue;
        const bool global = path.starts_with("usr/");
        const auto [expected, why] = model(base.at(path), theirs.at(path), leaf);
        const std::string trace = "round " + std::to_string(round) + ", " + share + ", " + path + ": base " +
                                  text_of(base.at(path)) + ", theirs " + text_of(theirs.at(path)) + ", mine " +
                                  text_of(leaf);
        EXPECT_EQ(text_of(look(this->vserver(share), path)), text_of(expected)) << trace;
        EXPECT_EQ(kept["/" + path], why) << trace;
        const bool shared = share == "hardlink" && global && expected.kind == 'f' && expected == theirs.at(path);
        if (shared) {
          EXPECT_EQ(inode_of(this->vserver(share) / path), inode_of(skel() / "global" / path)) << trace;
        }
      }
    }
    // The next round begins with the base known and equal everywhere: what was kept has been seen.
    ASSERT_EQ(vskel({"relink", "base", "--ack"}).code, 0);
    ASSERT_EQ(vskel({"verify"}).code, 0);
    base = theirs;
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(On, RelinkPropertyTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
