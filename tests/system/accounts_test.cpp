// Users and groups go into the merged tree with merge-skel and come out of it, entry by entry, with split-skel; static
// may be edited at any time; every generation remembers its own.
#include <sys/stat.h>

#include <algorithm>

#include "tests/support/inode_extras.h"
#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

const std::vector<std::string> kFiles = {"passwd", "shadow", "group", "gshadow"};

class AccountsTest : public VskelTest {
 protected:
  [[nodiscard]] fs::path merged() const { return vservers() / "tmp_skel_base"; }
  [[nodiscard]] fs::path of_static(const std::string& name) const { return skel() / "static/etc" / name; }
  [[nodiscard]] std::string of_generation(const std::string& number, const std::string& name) const {
    return read_file(skel() / "generations" / (number + ".accounts") / "etc" / name);
  }
  void merge(const Arguments& options = {}) const {
    Arguments arguments = {"merge-skel", "base"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const ProcessResult result = vskel(arguments);
    ASSERT_EQ(result.code, 0) << result;
  }
  /// A split's report, after a dry run that said the same and changed nothing.
  [[nodiscard]] Json split() const {
    const StoreSnapshot before = snapshot_store();
    Json foretold = vskel_json({"split-skel", "base", "--dry-run"});
    EXPECT_EQ(changes_since(before), "") << "by a dry run";
    Json done = vskel_json({"split-skel", "base"});
    foretold["elapsed_s"] = done.at("elapsed_s");
    EXPECT_EQ(foretold, done);
    return done;
  }
  /// As a tool does it: the new file takes the name.
  static void append(const fs::path& path, const std::string& text) {
    const fs::path beside = path.string() + "+";
    fs::copy_file(path, beside);
    struct stat stat {};
    ASSERT_EQ(::stat(path.c_str(), &stat), 0);
    ASSERT_EQ(::chown(beside.c_str(), stat.st_uid, stat.st_gid), 0);
    ASSERT_EQ(::chmod(beside.c_str(), stat.st_mode & 07777), 0);
    write_file(beside, read_file(path) + text);
    fs::rename(beside, path);
  }
  /// As a package that adds a daemon's user does, with all that the tools leave behind.
  static void add_redis(const fs::path& etc) {
    for (const std::string& name : kFiles) fs::copy_file(etc / name, etc / (name + "-"));
    append(etc / "passwd", "redis:x:104:108::/var/lib/redis:/usr/sbin/nologin\n");
    append(etc / "shadow", "redis:!:19500::::::\n");
    append(etc / "group", "redis:x:108:\n");
    append(etc / "gshadow", "redis:!::\n");
    write_file(etc / ".pwd.lock", "");
  }
  void expect_sound() const {
    const ProcessResult verified = vskel({"verify"});
    EXPECT_EQ(verified.code, 0) << verified;
    EXPECT_EQ(inconsistencies(), "");
  }
  void expect_no_memory() const { EXPECT_FALSE(fs::exists(skel() / "merged.accounts")); }
};

const Json kRedisAdded = {"user redis (104:108) added", "group redis (108) added"};

TEST_P(AccountsTest, MergeLaysUsersAndGroupsInAndNothingElseOfStatic) {
  build_base();
  merge();
  for (const std::string& name : kFiles) {
    SCOPED_TRACE(name);
    EXPECT_EQ(read_file(merged() / "etc" / name), read_file(of_static(name)));
    struct stat laid {
    }, own{};
    ASSERT_EQ(::stat((merged() / "etc" / name).c_str(), &laid), 0);
    ASSERT_EQ(::stat(of_static(name).c_str(), &own), 0);
    EXPECT_EQ(laid.st_mode, own.st_mode);
    EXPECT_EQ(laid.st_gid, own.st_gid);
    EXPECT_NE(laid.st_ino, own.st_ino);
  }
  EXPECT_FALSE(fs::exists(merged() / "etc/hosts"));
  EXPECT_EQ(fs::last_write_time(merged() / "etc"), fs::last_write_time(skel() / "local.bak/etc"));
  const Json document = split();
  EXPECT_EQ(document.at("generation"), 1) << "taken out as they were laid in: " << document;
  EXPECT_EQ(document.at("accounts"), Json::array());
  expect_no_memory();
  expect_sound();
}

TEST_P(AccountsTest, WithoutStaticNothingIsLaidIn) {
  build_base();
  merge({"--without-static"});
  EXPECT_EQ(fs::exists(merged() / "etc/passwd"), false);
  write_file(merged() / "etc/passwd", "redis:x:104:108::/:/bin/false\n");
  const std::string before = read_file(of_static("passwd"));
  const Json document = split();
  EXPECT_EQ(document.at("set_aside").size(), 1U) << document;
  EXPECT_EQ(read_file(of_static("passwd")), before) << "where nothing was laid in, nothing is taken out";
  EXPECT_EQ(vskel({"merge-skel", "base", "--with-static", "--without-static"}).code, 2);
  EXPECT_EQ(vskel({"merge-skel", "base", "--without-static", "--abort"}).code, 2);
  expect_sound();
}

TEST_P(AccountsTest, ADaemonsUserComesOutAndIsInNewVservers) {
  build_base();
  create("before", "192.0.2.1");
  merge();
  add_redis(merged() / "etc");
  fs::create_directories(merged() / "etc/redis");
  write_file(merged() / "etc/redis/redis.conf", "port 6379\n");
  ASSERT_EQ(::chown((merged() / "etc/redis/redis.conf").c_str(), 104, 108), 0);
  const Json document = split();
  EXPECT_EQ(document.at("generation"), 2);
  EXPECT_EQ(document.at("accounts"), kRedisAdded);
  EXPECT_EQ(document.at("set_aside"), Json::array());
  EXPECT_EQ(document.at("parts").at("static").at("changed"), 4) << document;
  EXPECT_EQ(document.at("parts").at("local").at("added"), 1) << "no backup and no lock: " << document;
  expect_no_memory();
  expect_sound();
  create("after", "192.0.2.2");
  EXPECT_NE(read_file(vserver("after") / "etc/passwd").find("\nredis:x:104:108:"), std::string::npos);
  EXPECT_NE(read_file(vserver("after") / "etc/shadow").find("\nredis:!:"), std::string::npos);
  EXPECT_NE(read_file(vserver("after") / "etc/group").find("\nredis:x:108:"), std::string::npos);
  struct stat stat {};
  ASSERT_EQ(::stat((vserver("after") / "etc/redis/redis.conf").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_uid, 104U);
  ASSERT_EQ(::stat((vserver("after") / "etc/shadow").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777U, 0640U);
  EXPECT_EQ(stat.st_gid, 42U);
  for (const fs::path& root : {skel() / "static", skel() / "local", vserver("after")})
    for (const char* left : {"passwd-", "shadow-", "group-", "gshadow-", ".pwd.lock"})
      EXPECT_FALSE(fs::exists(root / "etc" / left)) << root << left;
}

TEST_P(AccountsTest, ToolsOfTheHostWorkInTheMergedTree) {
  VSKEL_REQUIRE(has_program("useradd") ? std::nullopt : std::optional<std::string>("needs useradd"));
  build_base();
  merge();
  const std::string root = merged().string();
  const auto must = [](const Arguments& arguments) {
    const ProcessResult result = run(arguments);
    ASSERT_EQ(result.code, 0) << result;
  };
  must({"groupadd", "--prefix", root, "-g", "300", "web"});
  must({"useradd", "--prefix", root, "-u", "301", "-g", "300", "-M", "-s", "/bin/sh", "daemon1"});
  must({"usermod", "--prefix", root, "-s", "/bin/false", "user"});
  Json document = split();
  EXPECT_EQ(document.at("generation"), 2);
  const Json& told = document.at("accounts");
  for (const char* line :
       {"user user (1000:1000) changed: shell", "user daemon1 (301:300) added", "group web (300) added"})
    EXPECT_NE(std::ranges::find(told, line), told.end()) << line << " of " << told;
  EXPECT_EQ(names_in(skel() / "static/etc").contains("passwd-"), false);
  merge();
  must({"userdel", "--prefix", root, "daemon1"});
  document = split();
  EXPECT_EQ(document.at("accounts").at(0), "user daemon1 (301:300) removed") << document;
  EXPECT_EQ(read_file(of_static("passwd")).find("daemon1"), std::string::npos);
  expect_sound();
}

TEST_P(AccountsTest, AbortForgetsAll) {
  build_base();
  const std::string before = read_file(of_static("passwd"));
  merge();
  add_redis(merged() / "etc");
  ASSERT_EQ(vskel({"merge-skel", "base", "--abort"}).code, 0);
  expect_no_memory();
  EXPECT_EQ(read_file(of_static("passwd")), before);
  EXPECT_EQ(names_in(skel() / "generations"), (std::set<std::string>{"0001.accounts", "0001.mtree"}));
  expect_sound();
}

TEST_P(AccountsTest, WhatWasEditedInStaticMeanwhileStays) {
  build_base();
  const std::string passwd = read_file(of_static("passwd"));
  merge();
  add_redis(merged() / "etc");
  append(of_static("passwd"), "admin:x:1001:1000::/home/admin:/bin/sh\n");
  write_file(of_static("passwd-"), passwd);
  const Json document = split();
  EXPECT_EQ(document.at("set_aside"), Json::array());
  EXPECT_EQ(read_file(of_static("passwd")), passwd + "admin:x:1001:1000::/home/admin:/bin/sh\n" +
                                                "redis:x:104:108::/var/lib/redis:/usr/sbin/nologin\n");
  EXPECT_EQ(document.at("accounts").at(0), "user admin (1001:1000) added") << document;
  expect_sound();
  create("web1", "192.0.2.1");
  EXPECT_FALSE(fs::exists(vserver("web1") / "etc/passwd-"));
}

TEST_P(AccountsTest, WhatBothChangedStaysAndIsSetAside) {
  build_base();
  merge();
  const auto replaced = [](const fs::path& path, const std::string& from, const std::string& to) {
    std::string text = read_file(path);
    write_file(path, text.replace(text.find(from), from.size(), to));
  };
  replaced(merged() / "etc/passwd", "/root:/bin/sh", "/root:/bin/bash");
  replaced(of_static("passwd"), "/root:/bin/sh", "/root:/bin/zsh");
  add_redis(merged() / "etc");
  const Json document = split();
  const Json& told = document.at("accounts");
  const char* conflict = "user root was changed in static, too, and stays as it is there";
  EXPECT_NE(std::ranges::find(told, conflict), told.end()) << told;
  EXPECT_NE(read_file(of_static("passwd")).find("/root:/bin/zsh\n"), std::string::npos);
  EXPECT_NE(read_file(of_static("passwd")).find("\nredis:x:104:"), std::string::npos) << "the rest is taken";
  ASSERT_EQ(document.at("set_aside").size(), 1U) << document;
  EXPECT_NE(read_file(skel() / "generations/0002.set-aside/etc/passwd").find("/root:/bin/bash"), std::string::npos);
  expect_sound();
}

TEST_P(AccountsTest, AFileThatIsNoneIsTakenAsAWholeOrSetAside) {
  build_base();
  merge();
  write_file(merged() / "etc/group", "root:x:0:\nno entry\n");
  Json document = split();
  EXPECT_EQ(read_file(of_static("group")), "root:x:0:\nno entry\n");
  EXPECT_NE(document.at("accounts").at(0).get<std::string>().find("/etc/group is taken as a whole: "),
            std::string::npos)
      << document;
  merge();
  write_file(merged() / "etc/group", "root:x:0:\n");
  write_file(of_static("group"), "root:x:0:user\n");
  document = split();
  EXPECT_EQ(read_file(of_static("group")), "root:x:0:user\n");
  EXPECT_EQ(document.at("set_aside").size(), 1U) << document;
  expect_sound();
}

TEST_P(AccountsTest, ModeAndOwnerFollowTheMergedTree) {
  build_base();
  merge();
  fs::permissions(merged() / "etc/shadow", fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(split().at("parts").at("static").at("changed"), 1);
  EXPECT_EQ(fs::status(of_static("shadow")).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  expect_sound();
}

TEST_P(AccountsTest, AMergeOfVersion01IsSplitAsThen) {
  build_base();
  merge({"--with-static"});
  fs::remove_all(skel() / "merged.accounts");
  fs::remove_all(skel() / "generations/0001.accounts");
  const std::string before = read_file(of_static("passwd"));
  add_redis(merged() / "etc");
  const Json document = split();
  EXPECT_EQ(document.at("set_aside").size(), 4U) << document;
  EXPECT_EQ(read_file(of_static("passwd")), before);
  expect_sound();
}

TEST_P(AccountsTest, WhatVersion01LeftBehindIsNoBase) {
  build_base();
  fs::create_directories(skel() / "merged.accounts/etc");
  write_file(skel() / "merged.accounts/etc/passwd", "long:x:5:5::/:/bin/sh\n");
  merge();
  EXPECT_EQ(read_file(skel() / "merged.accounts/etc/passwd"), read_file(of_static("passwd")));
  EXPECT_EQ(split().at("generation"), 1);
  expect_sound();
}

TEST_P(AccountsTest, EveryGenerationKeepsItsAccountsForRoot) {
  build_base();
  const std::string first = read_file(of_static("shadow"));
  EXPECT_EQ(of_generation("0001", "shadow"), first);
  create("web1", "192.0.2.1");
  merge();
  add_redis(merged() / "etc");
  write_file(merged() / "usr/bin/new-tool", "new");
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
  EXPECT_EQ(of_generation("0001", "shadow"), first);
  EXPECT_EQ(of_generation("0002", "shadow"), read_file(of_static("shadow")));
  struct stat stat {};
  ASSERT_EQ(::stat((skel() / "generations/0002.accounts").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777U, 0700U);
  ASSERT_EQ(::stat((skel() / "generations/0002.accounts/etc/shadow").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777U, 0600U);
  EXPECT_EQ(stat.st_uid, 0U);
  // Files go back, numbers do not.
  const Json back = vskel_json({"rollback", "base", "1"});
  EXPECT_EQ(back.at("generation"), 3);
  EXPECT_FALSE(fs::exists(skel() / "global/usr/bin/new-tool"));
  EXPECT_NE(read_file(of_static("passwd")).find("\nredis:x:104:"), std::string::npos);
  EXPECT_EQ(of_generation("0003", "passwd"), read_file(of_static("passwd")));
  expect_sound();
  ASSERT_EQ(vskel({"prune", "base"}).code, 0);
  const std::set<std::string> left = names_in(skel() / "generations");
  EXPECT_TRUE(left.contains("0001.accounts")) << "web1's base";
  EXPECT_FALSE(left.contains("0002.accounts"));
  EXPECT_TRUE(left.contains("0003.accounts"));
  fs::permissions(skel() / "generations/0003.accounts/etc/shadow", fs::perms::all);
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 1);
  EXPECT_NE(verified.out.find("0003.accounts/etc/shadow: not root's alone"), std::string::npos) << verified;
}

TEST_P(AccountsTest, StaticEditedByHandIsTheNextStateAndNoErrorOfVerify) {
  build_base();
  append(of_static("passwd"), "admin:x:1001:1000::/home/admin:/bin/sh\n");
  write_file(of_static("passwd-"), "old");
  write_file(of_static(".pwd.lock"), "");
  expect_sound();
  merge();
  const Json document = split();
  EXPECT_EQ(document.at("generation"), 2);
  EXPECT_EQ(document.at("accounts"), Json::array({"user admin (1001:1000) added"}));
  EXPECT_EQ(of_generation("0002", "passwd"), read_file(of_static("passwd")));
  expect_sound();
  fs::permissions(of_static("shadow"), fs::perms::all);
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 1) << "who may read it is not left to an editor";
  EXPECT_NE(verified.out.find("static/etc/shadow: mode differs"), std::string::npos) << verified;
}

TEST_P(AccountsTest, SubordinateNumbersAreStaticInANewSkel) {
  write_file(source() / "etc/subuid", "user:100000:65536\n");
  build_base();
  EXPECT_TRUE(fs::exists(of_static("subuid")));
  EXPECT_EQ(of_generation("0001", "subuid"), "user:100000:65536\n");
  merge();
  append(merged() / "etc/subuid", "redis:165536:65536\n");
  write_file(merged() / "etc/subgid", "redis:165536:65536\n");
  const Json document = split();
  EXPECT_EQ(document.at("accounts").at(0), "subuid range redis:165536:65536 added") << document;
  EXPECT_EQ(read_file(of_static("subuid")), "user:100000:65536\nredis:165536:65536\n");
  EXPECT_EQ(read_file(of_static("subgid")), "redis:165536:65536\n") << "one that static had not";
  EXPECT_EQ(of_generation("0002", "subgid"), "redis:165536:65536\n");
  expect_sound();
}

TEST_P(AccountsTest, ASkelWhoseLayoutHasThemLocalIsAsItWas) {
  ASSERT_EQ(vskel({"build-skel", "base", "--from", source().string(), "--local", "/etc"}).code, 0);
  EXPECT_TRUE(fs::exists(skel() / "local/etc/passwd"));
  merge();
  append(merged() / "etc/passwd", "redis:x:104:108::/:/bin/false\n");
  const Json document = split();
  EXPECT_EQ(document.at("accounts"), Json::array());
  EXPECT_EQ(document.at("parts").at("local").at("changed"), 1) << document;
  expect_sound();
}

TEST_P(AccountsTest, AdoptMapsByName) {
  build_base();
  ASSERT_EQ(run({"cp", "-a", source().string(), vserver("old").string()}).code, 0);
  append(of_static("passwd"), "redis:x:104:108::/:/bin/false\n");
  append(of_static("group"), "redis:x:108:\n");
  append(vserver("old") / "etc/passwd", "redis:x:998:997::/:/bin/false\neve:x:104:1::/:/bin/sh\n");
  append(vserver("old") / "etc/group", "redis:x:997:\n");
  ASSERT_EQ(vskel({"adopt", "base", "old"}).code, 0);
  const Json shown = vskel_json({"show", "old"});
  EXPECT_EQ(shown.at("ids"), (Json{{"uid", {{"104", 998}}}, {"gid", {{"108", 997}}}}));
  EXPECT_EQ(Json::parse(read_file(record("old"))).at("ids"), shown.at("ids"));
  const ProcessResult text = vskel({"show", "old"});
  EXPECT_NE(text.out.find("104 is 998"), std::string::npos) << text;
}

TEST_P(AccountsTest, AdoptOfWhatCantBeTakenApartMapsNothingAndSaysSo) {
  build_base();
  ASSERT_EQ(run({"cp", "-a", source().string(), vserver("old").string()}).code, 0);
  write_file(vserver("old") / "etc/passwd", "root:x:00:0::/:/bin/sh\n");
  const ProcessResult adopted = vskel({"adopt", "base", "old"});
  EXPECT_EQ(adopted.code, 0) << adopted;
  EXPECT_NE(adopted.err.find("old/etc/passwd:1"), std::string::npos) << adopted;
  EXPECT_FALSE(Json::parse(read_file(record("old"))).contains("ids"));
  // Nothing is followed out of the vserver.
  ASSERT_EQ(run({"cp", "-a", source().string(), vserver("other").string()}).code, 0);
  fs::remove_all(vserver("other") / "etc");
  fs::create_directory_symlink(skel() / "static/etc", vserver("other") / "etc");
  EXPECT_EQ(vskel({"adopt", "base", "other"}).code, 0);
  EXPECT_FALSE(Json::parse(read_file(record("other"))).contains("ids"));
}

/// Killed anywhere: accounts are before or after, all of them, with the generation.
TEST_P(AccountsTest, KilledAtAnyCallTheyAreBeforeOrAfter) {
  VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
  build_base();
  const auto killed = [](const ProcessResult& result) { return result.signal == 9 || result.code == 137; };
  const auto recovered = [&] {
    ASSERT_EQ(vskel({"recover"}).code, 0);
    expect_sound();
  };
  int kills = 0, number = 2000;
  for (const char* call : {"renameat,renameat2", "syncfs", "mkdirat", "fdatasync"})
    for (const int when : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}) {
      if (call != std::string("renameat,renameat2") && when > 4) continue;
      SCOPED_TRACE(std::string(call) + " number " + std::to_string(when));
      const ProcessResult merging = vskel_killed_at({call, when}, {"merge-skel", "base"});
      kills += killed(merging) ? 1 : 0;
      recovered();
      ASSERT_EQ(fs::exists(skel() / "merged.accounts"), fs::exists(skel() / "global.bak"));
      if (!fs::exists(skel() / "global.bak")) merge();
      const std::string name = "u" + std::to_string(++number), id = std::to_string(number);
      append(merged() / "etc/passwd", name + ":x:" + id + ":" + id + "::/:/bin/false\n");
      append(merged() / "etc/group", name + ":x:" + id + ":\n");
      append(merged() / "etc/shadow", name + ":!:::::::\n");
      const ProcessResult splitting = vskel_killed_at({call, when}, {"split-skel", "base"});
      kills += killed(splitting) ? 1 : 0;
      recovered();
      const bool done = !fs::exists(merged());
      ASSERT_EQ(fs::exists(skel() / "merged.accounts"), !done);
      for (const char* file : {"passwd", "group", "shadow"})
        ASSERT_EQ(read_file(of_static(file)).find("\n" + name + ":") != std::string::npos, done) << file;
      if (!done) {
        ASSERT_EQ(split().at("accounts").size(), 2U);
      }
      const std::string newest = *names_in(skel() / "generations").rbegin();
      ASSERT_EQ(of_generation(newest.substr(0, 4), "passwd"), read_file(of_static("passwd")));
      ASSERT_EQ(read_file(of_static("shadow")).find(name + ":!") != std::string::npos, true);
      if (HasFatalFailure()) return;
    }
  EXPECT_GT(kills, 10);
}

INSTANTIATE_TEST_SUITE_P(On, AccountsTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
