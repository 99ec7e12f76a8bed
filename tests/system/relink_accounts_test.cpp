// Users and groups of a vserver follow the skel's entry by entry, and what the skel has of a number that is another's
// there belongs to whom its name says (upgrade.md, "Accounts").
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/inode_extras.h"
#include "tests/support/requirement.h"
#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {
namespace relink_accounts {

const std::string kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "www:x:33:33:www:/var/www:/bin/sh\n";
const std::string kGroup = "root:x:0:\nwww:x:33:\n";
const std::string kShadow = "root:*:19000:0:99999:7:::\nwww:!:19000:0:99999:7:::\n";
const std::string kAlice = "alice:x:104:104::/home/alice:/bin/sh\n", kAlices = "alice:x:104:\n";

/// A file's bytes as a tool writes them; of shadow nobody else's to read.
std::map<std::string, Thing> accounts(const std::string& passwd, const std::string& group, const std::string& shadow) {
  return {{"etc/passwd", file(passwd)}, {"etc/group", file(group)}, {"etc/shadow", file(shadow, 0640)}};
}
std::map<std::string, Thing> with_redis() {
  return accounts(kPasswd + "redis:x:104:104::/var/lib/redis:/usr/sbin/nologin\n", kGroup + "redis:x:104:\n",
                  kShadow + "redis:$6$salt$hash:19500:0:99999:7:::\n");
}

/// An ACL that lets one more user read.
std::string acl_for(std::uint32_t user) {
  std::string value{"\x02\0\0\0", 4};
  const auto add = [&](unsigned char tag, unsigned char permissions, std::uint32_t id) {
    const unsigned char entry[] = {tag,
                                   0,
                                   permissions,
                                   0,
                                   static_cast<unsigned char>(id),
                                   static_cast<unsigned char>(id >> 8),
                                   static_cast<unsigned char>(id >> 16),
                                   static_cast<unsigned char>(id >> 24)};
    value.append(reinterpret_cast<const char*>(entry), sizeof entry);
  };
  add(0x01, 6, ~0U);
  add(0x02, 4, user);
  add(0x04, 4, ~0U);
  add(0x10, 4, ~0U);
  add(0x20, 0, ~0U);
  return value;
}

Thing with_acl(std::uint32_t user) {
  return file("with an ACL\n", 0640).with_xattr("system.posix_acl_access", acl_for(user));
}

/// What belongs to redis in the skel, or in a vserver.
std::map<std::string, Thing> files_of(unsigned redis) {
  return {{"etc/redis",
           directory({{"redis.conf", file("requirepass secret\n", 0640).owned_by(redis)}}, 0750).owned_by(redis)},
          {"usr/lib/redis",
           directory({{"module", file("code of redis\n", 0750).owned_by(redis)}, {"with-acl", with_acl(redis)}})},
          {"usr/share/redis", symlink_to("/usr/lib/redis").owned_by(redis)},
          {"etc/for-redis", with_acl(redis)}};
}
std::map<std::string, Thing> all_of_redis(unsigned number) {
  std::map<std::string, Thing> things = with_redis();
  things.merge(files_of(number));
  return things;
}

class RelinkAccountsTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (const auto& [path, thing] : accounts(kPasswd, kGroup, kShadow)) put(root() / path, thing);
    put(root() / "etc/other.conf", file("one\n"));
    put(root() / "var/lib/dpkg/status", file("Package: base\n"));
  }
  void make() {
    build();
    for (const std::string& name : names_) create_vserver(name, {"--share", name});
  }
  void change_all(const std::map<std::string, Thing>& things) const {
    for (const std::string& name : names_) change(name, things);
  }
  [[nodiscard]] std::string text(const std::string& name, const std::string& file_name) const {
    return read_file(vserver(name) / "etc" / file_name);
  }
  void expect_files(const std::map<std::string, Thing>& things) const {
    for (const std::string& name : names_)
      for (const auto& [path, thing] : things) {
        EXPECT_EQ(differences_from(thing, vserver(name) / path), "");
        struct stat stat {};
        if (thing.kind != Thing::Kind::symlink) continue;
        EXPECT_EQ(::lstat((vserver(name) / path).c_str(), &stat), 0);
        EXPECT_EQ(stat.st_uid, thing.owner) << path;
      }
  }
  void expect_line(const std::string& file_name, const std::string& line) const {
    for (const std::string& name : names_)
      EXPECT_NE(("\n" + text(name, file_name)).find("\n" + line + "\n"), std::string::npos)
          << name << ", no " << line << " in " << file_name << ":\n"
          << text(name, file_name);
  }
  /// All relinked, as a dry run foretold.
  [[nodiscard]] Relinked relink_all(int code = 0) const {
    const StoreSnapshot before = snapshot_store();
    const Relinked foretold = relink({"--dry-run"});
    EXPECT_EQ(changes_since(before), "") << "by a dry run";
    Relinked done = relink();
    EXPECT_EQ(done.process.code, code) << done.process;
    for (const std::string& name : names_) {
      EXPECT_EQ(foretold.of(name)["accounts"], done.of(name)["accounts"]) << name;
      EXPECT_EQ(foretold.of(name)["kept"], done.of(name)["kept"]) << name;
    }
    return done;
  }
  void expect_told(const Relinked& relinked, const Json& accounts, const Json& kept = Json::array()) const {
    for (const std::string& name : names_) {
      EXPECT_EQ(relinked.of(name)["accounts"], accounts) << name;
      EXPECT_EQ(relinked.of(name)["kept"], kept) << name;
    }
  }
  void expect_settled() const {
    const StoreSnapshot before = snapshot_store();
    const Relinked again = relink();
    EXPECT_EQ(again.process.code, 0) << again.process;
    EXPECT_EQ(changes_since(before), "") << "by a second relink";
    expect_told(again, Json::array());
    EXPECT_EQ(inconsistencies(), "");
    const ProcessResult verified = vskel({"verify"});
    EXPECT_EQ(verified.code, 0) << verified;
  }
  [[nodiscard]] Json ids(const std::string& name) const {
    return Json::parse(read_file(record(name))).value("ids", Json());
  }

  const std::vector<std::string> names_ = {"hardlink", "copy"};
};

const Json kRedisComes = {"group redis (104) added", "user redis (104:104) added"};
const Json kMapped = {{"uid", {{"104", 999}}}, {"gid", {{"104", 999}}}};

TEST_P(RelinkAccountsTest, AUserThatAPackageAddedComesLockedWithItsFiles) {
  make();
  update_skel(all_of_redis(104));
  expect_told(relink_all(), kRedisComes);
  expect_line("passwd", "redis:x:104:104::/var/lib/redis:/usr/sbin/nologin");
  expect_line("group", "redis:*:104:");  // there is no gshadow
  expect_line("shadow", "redis:!:19500:0:99999:7:::");
  for (const std::string& name : names_) {
    EXPECT_EQ(text(name, "shadow").find("$6$"), std::string::npos) << "hashes never travel";
    EXPECT_EQ(ids(name), Json()) << name;
    struct stat stat {};
    ASSERT_EQ(::stat((vserver(name) / "etc/shadow").c_str(), &stat), 0);
    EXPECT_EQ(stat.st_mode & 07777U, 0640U);
  }
  expect_files(files_of(104));
  expect_settled();
}

TEST_P(RelinkAccountsTest, ANumberThatIsTakenIsMappedForAllFilesOfTheSkel) {
  make();
  change_all(accounts(kPasswd + kAlice, kGroup + kAlices, kShadow));
  update_skel(all_of_redis(104));
  expect_told(relink_all(), {"group redis (104) added as 999", "user redis (104:104) added as 999:999"});
  expect_line("passwd", "redis:x:999:999::/var/lib/redis:/usr/sbin/nologin");
  expect_line("passwd", "alice:x:104:104::/home/alice:/bin/sh");
  expect_files(files_of(999));
  for (const std::string& name : names_) {
    EXPECT_EQ(ids(name), kMapped) << name;
    EXPECT_NE(inode_of(vserver(name) / "usr/lib/redis/module"), inode_of(skel() / "global/usr/lib/redis/module"));
  }
  expect_settled();

  // It holds from then on, for what changes and for what comes.
  std::map<std::string, Thing> next = files_of(104);
  next.at("etc/redis").entries.at("redis.conf").text = "requirepass other\n";
  next.at("etc/redis").entries["new.conf"] = file("new\n", 0640).owned_by(104);
  next.at("usr/lib/redis").entries.at("module").text = "other code of redis\n";
  update_skel(next);
  expect_told(relink_all(), Json::array());
  std::map<std::string, Thing> wanted = files_of(999);
  wanted.at("etc/redis").entries.at("redis.conf").text = "requirepass other\n";
  wanted.at("etc/redis").entries["new.conf"] = file("new\n", 0640).owned_by(999);
  wanted.at("usr/lib/redis").entries.at("module").text = "other code of redis\n";
  expect_files(wanted);
  expect_settled();

  // And back.
  (void)vskel_json({"rollback", "base", "2"});
  EXPECT_EQ(relink().process.code, 0);
  expect_files(files_of(999));
  expect_settled();
  for (const std::string& name : names_) EXPECT_EQ(ids(name), kMapped) << name;
}

TEST_P(RelinkAccountsTest, SharingKeepsAMap) {
  make();
  change_all(accounts(kPasswd + kAlice, kGroup + kAlices, kShadow));
  update_skel(all_of_redis(104));
  (void)relink_all();
  for (const Arguments& options :
       {Arguments{"--share-only"}, Arguments{"--anywhere"}, Arguments{"--to", "copy"}, Arguments{"--to", "hardlink"}}) {
    const Relinked relinked = relink(options);
    EXPECT_EQ(relinked.process.code, 0) << relinked.process;
    expect_files(files_of(999));
    EXPECT_EQ(inconsistencies(), "");
  }
  if (GetParam() != FileSystem::btrfs && GetParam() != FileSystem::xfs) return;
  EXPECT_EQ(relink({"--to", "reflink"}).process.code, 0);
  expect_files(files_of(999));
  expect_settled();
}

TEST_P(RelinkAccountsTest, ANameWithAnotherNumberIsMapped) {
  make();
  change_all(accounts(kPasswd + "redis:x:150:151::/srv:/bin/sh\n", kGroup + "redis:x:151:\n",
                      kShadow + "redis:$6$own$hash:19000::::::\n"));
  update_skel(all_of_redis(104));
  expect_told(relink_all(), {"group redis: 104 in the skel is 151 here", "user redis: 104 in the skel is 150 here"});
  expect_line("passwd", "redis:x:150:151::/srv:/bin/sh");
  expect_line("shadow", "redis:$6$own$hash:19000::::::");
  for (const std::string& name : names_) {
    struct stat stat {};
    ASSERT_EQ(::stat((vserver(name) / "etc/redis/redis.conf").c_str(), &stat), 0);
    EXPECT_EQ(stat.st_uid, 150U);
    EXPECT_EQ(stat.st_gid, 151U);
    EXPECT_EQ(ids(name), Json({{"uid", {{"104", 150}}}, {"gid", {{"104", 151}}}}));
  }
  expect_settled();
}

/// As a fleet is that followed with version 0.1: files whose owner nobody is, or who is the tenant's own.
TEST_P(RelinkAccountsTest, FilesThatAreThereGoToWhomTheNameSays) {
  for (const auto& [path, thing] : files_of(104)) put(root() / path, thing);
  put(root() / "etc/redis/changed.conf", file("one\n").owned_by(104));
  make();
  change_all(accounts(kPasswd + kAlice, kGroup + kAlices, kShadow));
  change_all({{"etc/redis/changed.conf", file("the tenant's\n").owned_by(104)},
              {"home/alice/mail", file("hers\n").owned_by(104)}});
  update_skel(with_redis());
  expect_told(relink_all(), {"group redis (104) added as 999", "user redis (104:104) added as 999:999"},
              {{{"path", "/etc/redis/changed.conf"}, {"why", "changed on both sides"}}});
  std::map<std::string, Thing> wanted = files_of(999);
  wanted.at("etc/redis").entries["changed.conf"] = file("the tenant's\n").owned_by(104);
  expect_files(wanted);
  expect_files({{"home/alice/mail", file("hers\n").owned_by(104)}});
  for (const std::string& name : names_)
    EXPECT_NE(inode_of(vserver(name) / "usr/lib/redis/module"), inode_of(skel() / "global/usr/lib/redis/module"));
  const StoreSnapshot before = snapshot_store();
  EXPECT_EQ(relink().process.code, 0);
  EXPECT_EQ(changes_since(before), "");
}

TEST_P(RelinkAccountsTest, WhatTheSkelChangesFollowsWhereTheTenantDidNot) {
  make();
  change_all({{"etc/shadow", file("root:*:19000:0:99999:7:::\nwww:$6$own$hash:19001:0:99999:7:::\n", 0640)}});
  change("copy", {{"etc/passwd", file("root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/srv/www:/bin/sh\n")}});
  update_skel(accounts("root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/var/www:/usr/sbin/nologin\n", kGroup,
                       "root:$6$skel$hash:19500:0:99999:7:::\nwww:$6$skel$hash:19500:0:99999:7:::\n"));
  const Relinked relinked = relink_all();
  EXPECT_EQ(relinked.of("hardlink")["accounts"], Json({"user www changed"}));
  EXPECT_EQ(relinked.of("copy")["accounts"], Json::array());
  EXPECT_EQ(relinked.kept("copy").at("/etc/passwd"), "user www: changed on both sides");
  EXPECT_EQ(text("hardlink", "passwd"), "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/var/www:/usr/sbin/nologin\n");
  EXPECT_EQ(text("copy", "passwd"), "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/srv/www:/bin/sh\n");
  for (const std::string& name : names_)
    EXPECT_EQ(text(name, "shadow"), "root:*:19000:0:99999:7:::\nwww:$6$own$hash:19001:0:99999:7:::\n");
  expect_settled();
}

TEST_P(RelinkAccountsTest, MembersComeAndWhoIsRemovedInTheSkelStays) {
  make();
  update_skel(
      accounts(kPasswd + "redis:x:104:104::/:/bin/false\n", "root:x:0:\nwww:x:33:redis\nredis:x:104:www\n", kShadow));
  expect_told(relink_all(), {"group redis (104) added", "user redis (104:104) added", "group www: member redis added"});
  expect_line("group", "www:x:33:redis");
  expect_line("group", "redis:*:104:www");
  expect_settled();
  update_skel(accounts(kPasswd, kGroup, kShadow));
  const Relinked relinked = relink_all();
  for (const std::string& name : names_) {
    EXPECT_EQ(relinked.kept(name).at("/etc/passwd"), "user redis: removed in the skel, files may be its");
    EXPECT_EQ(relinked.kept(name).at("/etc/group"), "group redis: removed in the skel, files may be its");
  }
  expect_line("passwd", "redis:x:104:104::/:/bin/false");
  expect_settled();
}

TEST_P(RelinkAccountsTest, AGroupThatTheTenantDeletedStaysDeletedBesideConflicts) {
  std::map<std::string, Thing> conflicts;
  for (int number = 0; number < 8; ++number) conflicts["etc/conflict" + std::to_string(number)] = file("one\n");
  for (const auto& [path, thing] : conflicts) put(root() / path, thing);
  make();
  for (auto& [path, thing] : conflicts) thing.text = "the tenant's\n";
  change_all(conflicts);
  for (auto& [path, thing] : conflicts) thing.text = "two\n";
  conflicts["etc/group"] = file(kGroup + "redis:x:104:\n");
  update_skel(conflicts);
  EXPECT_EQ(relink().process.code, 0);
  expect_line("group", "redis:*:104:");
  change_all({{"etc/group", file(kGroup)}});
  EXPECT_EQ(relink().process.code, 0);
  for (const std::string& name : names_) EXPECT_EQ(text(name, "group"), kGroup);
}

TEST_P(RelinkAccountsTest, AUserWhomTheSkelRenumberedWithItsFilesIsNoChangeOfABundle) {
  const auto all_of = [](unsigned number) {
    std::map<std::string, Thing> things = with_redis();
    for (const char* of : {"etc/passwd", "etc/group"}) {
      std::string& text = things.at(of).text;
      for (std::size_t at = 0; (at = text.find("104", at)) != text.npos; at += 3)
        text.replace(at, 3, std::to_string(number));
    }
    things["var/lib/redis"] = directory({{"dump", file("data\n").owned_by(number)}}).owned_by(number);
    return things;
  };
  for (const auto& [path, thing] : all_of(104)) put(root() / path, thing);
  put(root() / "var/lib/dpkg/status", absent());
  make();
  change_all({{"var/lib/redis/dump", file("the tenant's\n").owned_by(104)}});
  update_skel(all_of(105));
  expect_told(relink_all(), {"group redis: 105 in the skel is 104 here", "user redis: 105 in the skel is 104 here"});
  expect_files({{"var/lib/redis", directory({{"dump", file("the tenant's\n").owned_by(104)}}).owned_by(104)}});
  expect_settled();
}

TEST_P(RelinkAccountsTest, AccountsMoveWithThePackageDatabase) {
  make();
  change_all({{"var/lib/dpkg/status", file("Package: own\n")}});
  update_skel(all_of_redis(104));
  for (const std::string& name : names_) EXPECT_EQ(text(name, "passwd"), kPasswd);
  const Relinked closed = relink_all(3);
  for (const std::string& name : names_) {
    EXPECT_EQ(closed.of(name)["status"], "skipped");
    EXPECT_EQ(closed.of(name)["accounts"], Json::array());
    EXPECT_EQ(text(name, "passwd"), kPasswd);
    EXPECT_FALSE(fs::exists(vserver(name) / "etc/redis"));
  }
  change_all({{"var/lib/dpkg/status", file("Package: base\n")}});
  expect_told(relink_all(), kRedisComes);
  expect_files(files_of(104));
  expect_settled();
}

TEST_P(RelinkAccountsTest, WhoIsAtWorkOnAccountsIsLeftWhole) {
  make();
  update_skel({{"etc/other.conf", file("two\n")}, {"usr/bin/program", file("#!/bin/sh\n# two\n", 0755)}});
  update_skel(all_of_redis(104));
  {
    const int held = ::open((vserver("hardlink") / "etc/group").c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_GE(held, 0);
    const TreeSnapshot before = snapshot_tree(vserver("hardlink"));
    const std::string record_before = read_file(record("hardlink"));
    const Relinked relinked = relink();
    EXPECT_EQ(relinked.process.code, 3) << relinked.process;
    EXPECT_EQ(relinked.of("hardlink")["status"], "failed");
    EXPECT_EQ(relinked.of("hardlink")["updated"], 0);
    EXPECT_EQ(relinked.of("hardlink")["added"], 0);
    EXPECT_NE(std::string(relinked.of("hardlink")["error"]).find("in use"), std::string::npos);
    EXPECT_EQ(relinked.of("copy")["status"], "done");
    const TreeSnapshot after = snapshot_tree(vserver("hardlink"));
    ASSERT_EQ(before.size(), after.size());
    for (const auto& [path, node] : before) EXPECT_EQ(after.at(path).inode, node.inode) << path;
    EXPECT_EQ(read_file(record("hardlink")), record_before);
    EXPECT_EQ(inconsistencies(), "");
    ::close(held);
  }
  const Relinked later = relink();
  EXPECT_EQ(later.process.code, 0) << later.process;
  EXPECT_EQ(later.of("hardlink")["accounts"], kRedisComes);
  expect_files(files_of(104));
  expect_files({{"etc/other.conf", file("two\n")}});
  expect_settled();
}

TEST_P(RelinkAccountsTest, AFileThatCannotBeTakenApartSkipsTheVserverWhole) {
  make();
  change_all({{"etc/passwd", file(kPasswd + "nonsense\n")}});
  update_skel(all_of_redis(104));
  const StoreSnapshot before = snapshot_store();
  for (const Arguments& arguments : {Arguments{"--dry-run"}, Arguments{}}) {
    const Relinked relinked = relink(arguments);
    EXPECT_EQ(relinked.process.code, 3) << relinked.process;
    for (const std::string& name : names_) {
      EXPECT_EQ(relinked.of(name)["status"], "skipped");
      EXPECT_NE(std::string(relinked.of(name)["error"]).find("/etc/passwd:3"), std::string::npos) << relinked.of(name);
    }
  }
  EXPECT_EQ(changes_since(before), "");
  change_all({{"etc/passwd", file(kPasswd)}});
  expect_told(relink_all(), kRedisComes);
  expect_settled();
}

/// A link, a pipe or a directory where a file is to be, or one of two that is missing: who is who is not known, and an
/// update without accounts would not be one.
TEST_P(RelinkAccountsTest, FilesThatAreNoneSkipTheVserverAndFollowWhenTheyAreMended) {
  make();
  update_skel(all_of_redis(104));
  const std::vector<std::pair<std::string, Thing>> odd = {{"etc/passwd", symlink_to("passwd.real")},
                                                          {"etc/group", absent()},
                                                          {"etc/passwd", absent()},
                                                          {"etc/group", fifo()},
                                                          {"etc/passwd", directory({})},
                                                          {"etc/shadow", symlink_to("shadow.real")},
                                                          {"etc/gshadow", fifo()},
                                                          {"etc/subuid", symlink_to("passwd.real")}};
  for (const auto& [path, thing] : odd) {
    SCOPED_TRACE(path);
    change_all({{"etc/passwd.real", file(kPasswd + kAlice)}, {"etc/shadow.real", file(kShadow)}, {path, thing}});
    const StoreSnapshot before = snapshot_store();
    for (const Arguments& arguments : {Arguments{"--dry-run"}, Arguments{}}) {
      const Relinked relinked = relink(arguments);
      EXPECT_EQ(relinked.process.code, 3) << relinked.process;
      for (const std::string& name : names_) {
        EXPECT_EQ(relinked.of(name)["status"], "skipped");
        EXPECT_NE(std::string(relinked.of(name)["error"]).find("/" + path), std::string::npos) << relinked.of(name);
      }
    }
    EXPECT_EQ(changes_since(before), "");
    change_all(accounts(kPasswd, kGroup, kShadow));
    change_all({{"etc/gshadow", absent()}, {"etc/subuid", absent()}});
  }
  expect_told(relink_all(), kRedisComes);
  expect_files(files_of(104));
  expect_settled();
}

TEST_P(RelinkAccountsTest, WhereNoAccountChangedOnlyFilesOfUsersWaitForThem) {
  put(root() / "etc/www.conf", file("one\n", 0640).owned_by(33));
  make();
  change_all({{"etc/passwd.real", file(kPasswd)}, {"etc/passwd", symlink_to("passwd.real")}});
  update_skel({{"etc/other.conf", file("two\n")}});
  expect_told(relink_all(), Json::array());
  expect_files({{"etc/other.conf", file("two\n")}});
  update_skel({{"etc/www.conf", file("two\n", 0640).owned_by(33)}});
  const StoreSnapshot before = snapshot_store();
  (void)relink_all(3);
  EXPECT_EQ(changes_since(before), "");
  change_all({{"etc/passwd", file(kPasswd)}});
  expect_told(relink_all(), Json::array());
  expect_files({{"etc/www.conf", file("two\n", 0640).owned_by(33)}});
  expect_settled();
}

TEST_P(RelinkAccountsTest, WhomTheTenantRenumberedOwnsWhatComes) {
  make();
  change("copy", accounts(kPasswd + kAlice, kGroup + kAlices, kShadow));
  update_skel(all_of_redis(104));
  (void)relink_all();
  EXPECT_EQ(ids("copy"), kMapped);
  // usermod -u, groupmod -g; his own chown reaches one of the files.
  for (const std::string& name : names_) {
    const std::string alice = name == "copy" ? kAlice : "", alices = name == "copy" ? kAlices : "";
    change(name, accounts(kPasswd + alice + "redis:x:600:601::/var/lib/redis:/usr/sbin/nologin\n",
                          kGroup + alices + "redis:*:601:\n", text(name, "shadow")));
    ASSERT_EQ(::chown((vserver(name) / "etc/redis/redis.conf").c_str(), 600, 601), 0);
  }
  update_skel(
      {{"etc/new.conf", file("new\n", 0640).owned_by(104)}, {"usr/lib/redis/new", file("new\n", 0750).owned_by(104)}});
  const Relinked relinked = relink_all();
  for (const std::string& name : names_) {
    EXPECT_EQ(relinked.of(name)["accounts"],
              Json({"group redis: 104 in the skel is 601 here", "user redis: 104 in the skel is 600 here"}));
    EXPECT_EQ(ids(name), Json({{"uid", {{"104", 600}}}, {"gid", {{"104", 601}}}}));
    for (const char* path : {"etc/new.conf", "usr/lib/redis/new", "usr/lib/redis/module", "etc/redis/redis.conf"}) {
      struct stat stat {};
      ASSERT_EQ(::stat((vserver(name) / path).c_str(), &stat), 0) << path;
      EXPECT_EQ(stat.st_uid, 600U) << path;
      EXPECT_EQ(stat.st_gid, 601U) << path;
    }
  }
  expect_settled();
}

TEST_P(RelinkAccountsTest, WhomTheTenantRenamedOrDeletedIsToldOfWithWhatComes) {
  make();
  change("copy", accounts(kPasswd + kAlice, kGroup + kAlices, kShadow));
  update_skel(all_of_redis(104));
  (void)relink_all();
  change("hardlink", accounts(kPasswd + "mal:x:104:104::/:/bin/sh\n", kGroup + "mal:x:104:\n", kShadow));
  change("copy", accounts(kPasswd + kAlice, kGroup + kAlices, kShadow));
  expect_told(relink_all(), Json::array());
  update_skel({{"etc/new.conf", file("new\n", 0640).owned_by(104)}});
  const Relinked relinked = relink_all();
  EXPECT_EQ(relinked.kept("hardlink"),
            (std::map<std::string, std::string>{
                {"/etc/passwd", "user redis: not here, what is its in the skel comes as 104, which is mal's"},
                {"/etc/group", "group redis: not here, what is its in the skel comes as 104, which is mal's"}}));
  EXPECT_EQ(relinked.kept("copy"),
            (std::map<std::string, std::string>{
                {"/etc/passwd", "user redis: not here, what is its in the skel comes as 999, which is nobody's"},
                {"/etc/group", "group redis: not here, what is its in the skel comes as 999, which is nobody's"}}));
  expect_settled();
}

TEST_P(RelinkAccountsTest, WhatIsAUsersIsNotGivenToWhomTheTenantMadeRoot) {
  make();
  change_all(accounts(kPasswd + "redis:x:0:0::/:/bin/sh\n", kGroup + "redis:x:0:\n", kShadow));
  update_skel(all_of_redis(104));
  const StoreSnapshot before = snapshot_store();
  const Relinked relinked = relink_all(3);
  for (const std::string& name : names_) {
    EXPECT_EQ(relinked.of(name)["status"], "skipped");
    EXPECT_EQ(relinked.kept(name).at("/etc/passwd"),
              "user redis: 104 in the skel is 0 here: what is root's is not mapped");
  }
  EXPECT_EQ(changes_since(before), "");
  change_all(accounts(kPasswd, kGroup, kShadow));
  expect_told(relink_all(), kRedisComes);
  expect_files(files_of(104));
  expect_settled();
}

TEST_P(RelinkAccountsTest, SubordinateNumbersComeWithTheirFiles) {
  make();
  update_skel({{"etc/subgid", file("")}, {"etc/subuid", file("www:100000:65536\n")}});
  change("copy", {{"etc/subuid", file("own:300000:65536\n")}});
  const Relinked relinked = relink_all();
  EXPECT_EQ(relinked.of("hardlink")["accounts"],
            Json({"subuid added", "subuid range www:100000:65536 added", "subgid added"}));
  EXPECT_EQ(relinked.of("copy")["accounts"], Json({"subuid range www:100000:65536 added", "subgid added"}));
  EXPECT_EQ(differences_from(file("www:100000:65536\n"), vserver("hardlink") / "etc/subuid"), "");
  EXPECT_EQ(text("copy", "subuid"), "own:300000:65536\nwww:100000:65536\n");
  expect_settled();
  change("hardlink", {{"etc/subuid", absent()}});
  std::map<std::string, Thing> more = with_redis();
  more["etc/subuid"] = file("www:100000:65536\nredis:400000:65536\n");
  more["etc/subgid"] = file("redis:400000:65536\n");
  update_skel(more);
  const Relinked later = relink_all();
  EXPECT_EQ(later.kept("hardlink").at("/etc/subuid"), "subuid range redis:400000:65536: there is no such file here");
  EXPECT_EQ(text("copy", "subuid"), "own:300000:65536\nwww:100000:65536\nredis:400000:65536\n");
  expect_files({{"etc/subgid", file("redis:400000:65536\n")}});
  expect_settled();
}

TEST_P(RelinkAccountsTest, WhoDidNotComeIsNotToldOf) {
  if (has_reflinks(GetParam())) return;  // which are clones, and no copies that fail
  VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
  make();
  std::map<std::string, Thing> update = with_redis();
  update["etc/large.conf"] = file(std::string(400'000, 'n'));
  update_skel(update);
  const ProcessResult full = vskel_injecting(":error=ENOSPC", "copy_file_range", {"--json", "relink", "base"});
  EXPECT_EQ(full.code, 3) << full;
  const Relinked relinked{full, Json::parse(full.out)};
  for (const std::string& name : names_) {
    EXPECT_EQ(relinked.of(name)["status"], "failed");
    EXPECT_EQ(relinked.of(name)["accounts"], Json::array());
    EXPECT_EQ(text(name, "passwd"), kPasswd);
  }
  expect_told(relink_all(), kRedisComes);
  expect_settled();
}

TEST_P(RelinkAccountsTest, WhatIsEditedInStaticFollowsWithoutAGeneration) {
  make();
  for (const auto& [path, thing] : with_redis()) put(skel() / "static" / path, thing);
  expect_told(relink_all(), kRedisComes);
  expect_line("passwd", "redis:x:104:104::/var/lib/redis:/usr/sbin/nologin");
  expect_settled();
}

TEST_P(RelinkAccountsTest, FrozenAccountsStay) {
  make();
  update_skel(all_of_redis(104));
  const std::string config = config_file("[relink]\nfreeze = [\"/etc/passwd\"]\n");
  const ProcessResult result = vskel({"--config", config, "relink", "base"});
  EXPECT_EQ(result.code, 0) << result;
  for (const std::string& name : names_) EXPECT_EQ(text(name, "group"), kGroup);
  expect_told(relink_all(), kRedisComes);
  expect_settled();
}

TEST_P(RelinkAccountsTest, AnAdoptedVserverIsMappedByNames) {
  for (const auto& [path, thing] : all_of_redis(104)) put(root() / path, thing);
  build();
  ASSERT_EQ(run({"cp", "-a", root().string(), vserver("old").string()}).code, 0);
  for (const auto& [path, thing] : files_of(150)) put(vserver("old") / path, thing);
  const std::map<std::string, Thing> own =
      accounts(kPasswd + "redis:x:150:150::/:/bin/sh\n" + kAlice, kGroup + "redis:x:150:\n" + kAlices, kShadow);
  for (const auto& [path, thing] : own) put(vserver("old") / path, thing);
  ASSERT_EQ(vskel({"adopt", "base", "old"}).code, 0);
  EXPECT_EQ(ids("old"), Json({{"uid", {{"104", 150}}}, {"gid", {{"104", 150}}}}));
  for (const Arguments& options : {Arguments{"--share-only"}, Arguments{}, Arguments{"--anywhere"}}) {
    const Relinked relinked = relink(options);
    EXPECT_EQ(relinked.process.code, 0) << relinked.process;
    for (const auto& [path, why] : relinked.kept("old"))
      EXPECT_TRUE(path != "/etc" && path.find('/', 1) == path.npos) << path << ": " << why;
    EXPECT_EQ(relinked.of("old")["updated"], 0);
    for (const auto& [path, thing] : files_of(150)) EXPECT_EQ(differences_from(thing, vserver("old") / path), "");
    for (const auto& [path, thing] : own) EXPECT_EQ(differences_from(thing, vserver("old") / path), "");
  }
  EXPECT_EQ(inode_of(vserver("old") / "usr/bin/program"), inode_of(skel() / "global/usr/bin/program"));
  EXPECT_NE(inode_of(vserver("old") / "usr/lib/redis/module"), inode_of(skel() / "global/usr/lib/redis/module"));
}

TEST_P(RelinkAccountsTest, KilledAnywhereItIsFinishedOrUndone) {
  VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
  make();
  change_all(accounts(kPasswd + "alice:x:200:200::/:/bin/sh\n", kGroup + "alice:x:200:\n", kShadow));
  std::string passwd = kPasswd, group = kGroup;
  std::map<std::string, Thing> mine, theirs;
  unsigned number = 200;
  const std::vector<KillPoint> all = {{"renameat,renameat2", 1},
                                      {"renameat,renameat2", 2},
                                      {"renameat,renameat2", 3},
                                      {"renameat,renameat2", 5},
                                      {"renameat,renameat2", 7},
                                      {"unlinkat", 1},
                                      {"unlinkat", 2},
                                      {"unlinkat", 3},
                                      {"syncfs", 1},
                                      {"syncfs", 2},
                                      {"fsync", 1},
                                      {"fdatasync", 2}};
  const std::vector<KillPoint> few = {{"renameat,renameat2", 2}, {"unlinkat", 2}, {"syncfs", 2}};
  int killed = 0;
  for (const KillPoint& point : GetParam() == FileSystem::ext4 ? all : few) {
    SCOPED_TRACE(point.system_call + " number " + std::to_string(point.when));
    const std::string name = "u" + std::to_string(number), id = std::to_string(number);
    passwd += name + ":x:" + id + ":" + id + "::/:/bin/false\n";
    group += name + ":x:" + id + ":\n";
    std::map<std::string, Thing> update = accounts(passwd, group, kShadow);
    update["etc/of-" + name] = file(name + "\n", 0600).owned_by(number);
    update["usr/lib/of-" + name] = file(name + "\n", 0700).owned_by(number);
    update_skel(update);
    const ProcessResult result = vskel_killed_at(point, {"relink", "base"});
    killed += result.signal == 9 || result.code == 137 ? 1 : 0;
    const ProcessResult recovered = vskel({"recover"});
    ASSERT_EQ(recovered.code, 0) << recovered;
    ASSERT_EQ(inconsistencies(), "") << recovered;
    const unsigned here = number == 200 ? 999 : number;
    for (const std::string& vserver_name : names_) {
      const std::string line = "\n" + name + ":x:" + std::to_string(here) + ":" + std::to_string(here) + ":";
      const bool user = text(vserver_name, "passwd").find(line) != std::string::npos;
      for (const char* of : {"etc/of-", "usr/lib/of-"}) {
        const fs::path path = vserver(vserver_name) / (of + name);
        struct stat stat {};
        if (::lstat(path.c_str(), &stat) != 0) continue;
        EXPECT_TRUE(user) << "a file of nobody's: " << path;
        EXPECT_EQ(stat.st_uid, here) << path;
      }
    }
    const Relinked relinked = relink();
    ASSERT_EQ(relinked.process.code, 0) << relinked.process;
    expect_files({{"etc/of-" + name, file(name + "\n", 0600).owned_by(here)},
                  {"usr/lib/of-" + name, file(name + "\n", 0700).owned_by(here)}});
    expect_line("group", name + ":*:" + std::to_string(here) + ":");
    if (HasFailure()) return;
    ++number;
  }
  EXPECT_GT(killed, 1);
  expect_settled();
}

INSTANTIATE_TEST_SUITE_P(On, RelinkAccountsTest, kAllFileSystems, kParameterName);

}  // namespace relink_accounts
}  // namespace
}  // namespace vskel::test
