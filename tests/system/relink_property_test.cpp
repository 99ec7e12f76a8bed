// Random worlds: what the skel had, what it has, and what a tenant made of it, against the plainest model of the table.
// Users and groups are a part of them, and whose a path is goes by their numbers. What was kept is kept over several
// generations, old ones come back, and at the end of each round nothing is left to be done.
//
// VSKEL_TEST_SEED makes other worlds; VSKEL_LONG=1 goes on for longer.
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>

#include "tests/support/inode_extras.h"
#include "tests/system/accounts_model.h"
#include "tests/system/random_world.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {
namespace relink_property {

using Bundle = std::array<Leaf, kFilesOfBundle + 1>;

/// One generation of the skel.
struct Generation {
  World world;
  AccountFiles accounts;
};

/// What the tenant of one vserver made of it, and what is to become of that.
struct Tenant {
  World skels_base;    ///< the skel's at the base of each path
  World base, theirs;  ///< as the vserver has them, by its numbers
  World mine;
  AccountFiles accounts;
  FollowedAccounts followed;
};

/// The table, for what is no directory.
std::pair<Leaf, std::string> model_of_path(const Leaf& base, const Leaf& theirs, const Leaf& mine) {
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

/// A bundle whose tenant left all of it alone is theirs, any other is mine; a conflict is told of once.
std::pair<Bundle, std::string> model_of_bundle(const Bundle& base, const Bundle& theirs, const Bundle& mine) {
  if (base == theirs) return {mine, ""};
  if (std::ranges::equal(mine, base, same_but_for_time)) {
    Bundle after = mine;
    // What differs in its time alone follows only where the skel's did, too.
    for (std::size_t at = 0; at < after.size(); ++at)
      if (base[at] != theirs[at]) after[at] = theirs[at];
    return {after, ""};
  }
  if (std::ranges::equal(mine, theirs, same_but_for_time)) {
    Bundle after = mine;
    for (std::size_t at = 0; at < after.size(); ++at) after[at] = model_of_path(base[at], theirs[at], mine[at]).first;
    return {after, ""};
  }
  return {mine, "in use by the tenant, changed in the skel"};
}

/// A bundle's directory and files.
std::array<std::string, kFilesOfBundle + 1> paths_of_bundle(unsigned number) {
  const std::string name = bundle_name(number);
  return {name, name + "/f0", name + "/f1", name + "/f2"};
}
Bundle bundle_in(const World& world, unsigned number) {
  Bundle bundle;
  std::ranges::transform(paths_of_bundle(number), bundle.begin(), [&](const auto& path) { return world.at(path); });
  return bundle;
}

bool is_in_bundle(const std::string& path) { return path.starts_with("var/lib/"); }

std::pair<Bundle, std::string> model_of_bundle(const Tenant& tenant, unsigned number) {
  return model_of_bundle(bundle_in(tenant.base, number), bundle_in(tenant.theirs, number),
                         bundle_in(tenant.mine, number));
}

/// A directory that the tenant changed stays so, and nothing is told of it.
std::pair<Leaf, std::string> model_of_path(const Tenant& tenant, const std::string& path) {
  const Leaf &base = tenant.base.at(path), &theirs = tenant.theirs.at(path), &mine = tenant.mine.at(path);
  if (mine.kind == 'd') return {mine == base ? theirs : mine, ""};
  return model_of_path(base, theirs, mine);
}

World mapped(World world, const Numbering& ids) {
  for (auto& [path, leaf] : world) leaf = mapped(leaf, ids);
  return world;
}

class RelinkPropertyTest : public VskelTest {
 protected:
  static bool is_long() { return std::getenv("VSKEL_LONG") != nullptr; }
  static unsigned seed() {
    const char* const asked = std::getenv("VSKEL_TEST_SEED");
    return asked == nullptr ? 20031123U : static_cast<unsigned>(std::stoul(asked));
  }

  void must(const Arguments& arguments) const {
    const ProcessResult result = vskel(arguments);
    ASSERT_EQ(result.code, 0) << result;
  }

  void make() {
    if (has_reflinks(GetParam())) shares_.emplace_back("reflink");
    base_ = {random_world(random_, {}), changed_by_packages(random_, first_accounts())};
    const fs::path root = mount() / "root";
    lay(root, base_.world);
    write_accounts(root / "etc", base_.accounts);
    fs::permissions(root / "etc/shadow", fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
    must({"build-skel", "base", "--from", root.string()});
    for (std::size_t at = 0; at < shares_.size(); ++at)
      create(shares_[at], "192.0.2." + std::to_string(at + 1), {"--share", shares_[at]});
    // One tenant has ranges of his own, and tools that know no gshadow.
    write_file(vserver("copy") / "etc/login.defs", "SYS_UID_MAX 500\nSYS_GID_MAX 500\n");
    fs::remove(vserver("copy") / "etc/gshadow");
    for (const std::string& name : shares_) tenants_[name].skels_base = base_.world;
    generations_.push_back(base_);
  }

  /// As lay(), in a vserver, where a file may be a sealed inode of the skel's: its name is taken away from that first.
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

  [[nodiscard]] Numbering ids_of(const std::string& name) const {
    const Json document = Json::parse(read_file(record(name)));
    Numbering ids;
    if (!document.contains("ids")) return ids;
    const auto read = [&](const char* kind, std::map<unsigned, unsigned>& map) {
      if (!document.at("ids").contains(kind)) return;
      for (const auto& [number, own] : document.at("ids").at(kind).items())
        map[static_cast<unsigned>(std::stoul(number))] = own;
    };
    read("uid", ids.uid);
    read("gid", ids.gid);
    return ids;
  }

  /// The tenant at work: some of it as the base, some as what the skel is about to have, some anything.
  void work(const std::string& name, const Generation& theirs) {
    Tenant& tenant = tenants_[name];
    tenant.accounts = changed_by_tenant(random_, read_accounts(vserver(name) / "etc"));
    write_accounts(vserver(name) / "etc", tenant.accounts);
    const Numbering before = ids_of(name);
    tenant.followed =
        model_of_accounts({base_.accounts, theirs.accounts, tenant.accounts, before, name == "copy" ? 500U : 999U});
    tenant.base = mapped(tenant.skels_base, before);
    tenant.theirs = mapped(theirs.world, tenant.followed.ids);
    tenant.mine = random_world(random_, tenant.base);
    for (auto& [path, leaf] : tenant.mine)
      if (pick(random_, 6) == 0) leaf = tenant.theirs.at(path);
    lay_as_tenant(name, tenant.mine);
    // Where nothing of anybody's comes or is kept, nobody asks for numbers that the tenant gave meanwhile.
    if (bytes_of(base_.accounts) != bytes_of(theirs.accounts)) return;
    Tenant as_recorded = tenant;
    as_recorded.theirs = mapped(theirs.world, before);
    if (!asks_for_owners(as_recorded, theirs)) tenant.followed.ids = before;
    tenant.theirs = mapped(theirs.world, tenant.followed.ids);
  }

  static bool asks_for_owners(const Tenant& tenant, const Generation& theirs) {
    const auto is_somebodys = [&](const std::string& path) {
      const Leaf& skels = theirs.world.at(path);
      return skels.kind != '-' && has_owner(theirs.accounts, skels.uid, skels.gid);
    };
    for (unsigned number = 0; number < kBundles; ++number) {
      const auto [expected, why] = model_of_bundle(tenant, number);
      const auto paths = paths_of_bundle(number);
      if (!why.empty() && is_somebodys(paths[0])) return true;
      for (std::size_t at = 0; at < paths.size(); ++at)
        if (expected[at] != tenant.mine.at(paths[at]) && is_somebodys(paths[at])) return true;
    }
    return std::ranges::any_of(tenant.mine, [&](const auto& pair) {
      if (is_in_bundle(pair.first)) return false;
      const auto [expected, why] = model_of_path(tenant, pair.first);
      return (expected != pair.second || !why.empty()) && is_somebodys(pair.first);
    });
  }

  void check_bundles(const std::string& name, const Tenant& tenant, const Json& report) const {
    auto kept = kept_of(report);
    for (unsigned number = 0; number < kBundles; ++number) {
      const auto [expected, why] = model_of_bundle(tenant, number);
      const auto paths = paths_of_bundle(number);
      std::string sides;
      for (const std::string& path : paths) sides += sides_of(tenant, path) + "\n";
      EXPECT_EQ(kept["/" + bundle_name(number)], why) << sides;
      for (std::size_t at = 0; at < paths.size(); ++at)
        EXPECT_EQ(text_of(look(vserver(name), paths[at])), text_of(expected[at])) << sides_of(tenant, paths[at]);
    }
  }

  static std::string sides_of(const Tenant& tenant, const std::string& path) {
    return path + ": base " + text_of(tenant.base.at(path)) + ", theirs " + text_of(tenant.theirs.at(path)) +
           ", mine " + text_of(tenant.mine.at(path));
  }

  void check_paths(const std::string& name, const Tenant& tenant, const Generation& theirs, const Json& report) const {
    auto kept = kept_of(report);
    for (const auto& [path, mine] : tenant.mine) {
      if (is_in_bundle(path)) continue;
      const Leaf& now = tenant.theirs.at(path);
      const auto [expected, why] = model_of_path(tenant, path);
      EXPECT_EQ(text_of(look(vserver(name), path)), text_of(expected)) << sides_of(tenant, path);
      EXPECT_EQ(kept["/" + path], why) << sides_of(tenant, path);
      if (name != "hardlink" || !path.starts_with("usr/") || expected.kind != 'f' || now.kind != 'f') continue;
      const bool shared = expected == now && now == theirs.world.at(path) && now.acl_user == 0;
      EXPECT_EQ(inode_of(vserver(name) / path) == inode_of(skel() / "global" / path), shared)
          << sides_of(tenant, path) << ", in the skel " << text_of(theirs.world.at(path));
    }
  }

  /// Of what is about to come, whose owners are not there.
  static std::multiset<std::string> lines_of_strays(const Tenant& tenant, const Generation& theirs) {
    std::set<std::string> lines;
    const auto look_at = [&](const std::string& path, const Leaf& expected) {
      if (expected == tenant.mine.at(path) || expected.kind == '-') return;
      const Leaf& skels = theirs.world.at(path);
      lines.insert(line_of_stray("passwd", skels.uid, theirs.accounts, tenant.followed));
      lines.insert(line_of_stray("group", skels.gid, theirs.accounts, tenant.followed));
    };
    for (unsigned number = 0; number < kBundles; ++number) {
      const Bundle expected = model_of_bundle(tenant, number).first;
      const auto paths = paths_of_bundle(number);
      for (std::size_t at = 0; at < paths.size(); ++at) look_at(paths[at], expected[at]);
    }
    for (const auto& [path, mine] : tenant.mine)
      if (!is_in_bundle(path)) look_at(path, model_of_path(tenant, path).first);
    lines.erase("");
    return {lines.begin(), lines.end()};
  }

  void check_accounts(const std::string& name, const Tenant& tenant, const Generation& theirs,
                      const Json& report) const {
    const std::string sides = "base\n" + bytes_of(base_.accounts) + "theirs\n" + bytes_of(theirs.accounts) + "mine\n" +
                              bytes_of(tenant.accounts);
    EXPECT_EQ(bytes_of(read_accounts(vserver(name) / "etc")), bytes_of(tenant.followed.files)) << sides;
    const Numbering ids = ids_of(name);
    EXPECT_EQ(ids.uid, tenant.followed.ids.uid) << sides;
    EXPECT_EQ(ids.gid, tenant.followed.ids.gid) << sides;
    std::multiset<std::string> kept;
    for (const Json& entry : report.at("kept")) {
      const std::string path = entry.at("path");
      if (path == "/etc/passwd" || path == "/etc/group") kept.insert(entry.at("why"));
    }
    std::multiset<std::string> expected = tenant.followed.kept;
    expected.merge(lines_of_strays(tenant, theirs));
    EXPECT_EQ(kept, expected) << sides;
    struct stat shadow {};
    ASSERT_EQ(::stat((vserver(name) / "etc/shadow").c_str(), &shadow), 0);
    EXPECT_EQ(shadow.st_mode & 07777U, 0640U);
  }

  /// The skel's next generation: changed, or now and then an old one again, `back_to_`, with its users.
  Generation next_generation(bool back) {
    back_to_ = back ? 1 + pick(random_, static_cast<unsigned>(generations_.size() - 1)) : 0;
    if (!back) return {random_world(random_, base_.world), changed_by_packages(random_, base_.accounts)};
    const Generation& then = generations_.at(back_to_ - 1);
    return {then.world, model_of_restored(then.accounts, base_.accounts)};
  }
  void update(const Generation& theirs) {
    if (back_to_ != 0) {
      must({"rollback", "base", std::to_string(back_to_)});
    } else {
      const fs::path merged = vservers() / "tmp_skel_base";
      must({"merge-skel", "base"});
      lay(merged, theirs.world);
      write_accounts(merged / "etc", theirs.accounts);
      must({"split-skel", "base"});
    }
    generations_.push_back(theirs);
    ASSERT_EQ(bytes_of(read_accounts(skel() / "static/etc")), bytes_of(theirs.accounts));
  }

  void relink_as_the_model_says(const Generation& theirs) const {
    const Json document = vskel_json({"relink", "base"});
    for (const Json& report : document.at("vservers")) {
      const std::string name = report.at("name");
      SCOPED_TRACE(name);
      check_accounts(name, tenants_.at(name), theirs, report);
      check_bundles(name, tenants_.at(name), report);
      check_paths(name, tenants_.at(name), theirs, report);
    }
  }

  /// After a relink: what was kept has the base that it had, by the numbers of now, and all else the newest.
  void settle(const std::string& name, Tenant& tenant, const Generation& theirs) const {
    const auto settle_path = [&](const std::string& path, bool kept) {
      if (!kept) tenant.skels_base.at(path) = theirs.world.at(path);
    };
    for (unsigned number = 0; number < kBundles; ++number) {
      const bool kept = !model_of_bundle(tenant, number).second.empty();
      for (const std::string& path : paths_of_bundle(number)) settle_path(path, kept);
    }
    for (auto& [path, mine] : tenant.mine) {
      if (!is_in_bundle(path)) settle_path(path, !model_of_path(tenant, path).second.empty());
      mine = look(vserver(name), path);
    }
    tenant.base = mapped(tenant.skels_base, tenant.followed.ids);
    tenant.accounts = tenant.followed.files;
    tenant.followed.kept.clear();
  }

  /// A second relink finds what the first kept; it goes by numbers that are known from the beginning now. A third
  /// changes nothing at all.
  void relink_until_settled(const Generation& theirs) {
    relink_as_the_model_says(theirs);
    if (HasFailure()) return;
    for (auto& [name, tenant] : tenants_) settle(name, tenant, theirs);
    {
      SCOPED_TRACE("second relink");
      relink_as_the_model_says(theirs);
    }
    for (auto& [name, tenant] : tenants_) settle(name, tenant, theirs);
    const StoreSnapshot settled = snapshot_store();
    must({"relink", "base"});
    EXPECT_EQ(changes_since(settled), "") << "by a third relink";
  }

  void run_round(bool back) {
    const Generation theirs = next_generation(back);
    for (const std::string& name : shares_) work(name, theirs);
    update(theirs);
    if (HasFailure()) return;
    relink_until_settled(theirs);
    if (pick(random_, 2) == 0) {
      must({"relink", "base", "--ack"});
      for (auto& [name, tenant] : tenants_) tenant.skels_base = theirs.world;
    }
    must({"verify"});
    base_ = theirs;
  }

  std::vector<std::string> shares_ = {"hardlink", "copy"};
  Random random_{seed()};
  Generation base_;
  std::vector<Generation> generations_;  ///< from the first
  unsigned back_to_ = 0;                 ///< the old generation that this round goes back to; 0: to none
  std::map<std::string, Tenant> tenants_;
};

TEST_P(RelinkPropertyTest, RandomWorldsEndAsTheModelSays) {
  make();
  const int rounds = is_long() ? 40 : 6;
  for (int round = 0; round < rounds && !HasFailure(); ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed()) + ", round " + std::to_string(round));
    run_round(round % 3 == 2);
  }
}

INSTANTIATE_TEST_SUITE_P(On, RelinkPropertyTest, kAllFileSystems, kParameterName);

}  // namespace relink_property
}  // namespace
}  // namespace vskel::test
