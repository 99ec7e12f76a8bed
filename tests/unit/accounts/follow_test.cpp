// How a vserver's accounts follow its skel's: every row of upgrade.md's table, what is never done, and what a tenant
// may have written.

#include "engine/accounts/follow.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

using Lines = std::vector<std::string>;
using Ids = std::map<std::uint32_t, std::uint32_t>;

struct Files {
  std::string passwd, shadow, group, gshadow;
};

/// root, and a daemon's group that others may join.
const Files kPlain{"root:x:0:0:root:/root:/bin/sh\n", "root:$6$secret:19000:0:99999:7:::\n",
                   "root:x:0:\nssl-cert:x:50:\n", "root:*::\nssl-cert:!::\n"};

Files with(Files files, const Files& more) {
  files.passwd += more.passwd;
  files.shadow += more.shadow;
  files.group += more.group;
  files.gshadow += more.gshadow;
  return files;
}

const Files kRedis{"redis:x:104:108:Redis:/var/lib/redis:/usr/sbin/nologin\n", "redis:!:19500:1:99999:7:::\n",
                   "redis:x:108:\n", "redis:!::\n"};

Accounts accounts_of(const Files& files) {
  auto accounts =
      Accounts::parse({files.passwd, files.shadow, files.group, files.gshadow, std::nullopt, std::nullopt}, "");
  EXPECT_TRUE(accounts) << accounts.error().line();
  return std::move(*accounts);
}

struct Outcome {
  Files files;
  IdMap ids;
  Lines done, kept;
};

Outcome followed(const Files& base, const Files& theirs, const Files& mine, const IdMap& ids = {},
                 std::string_view login_defs = "") {
  const Accounts b = accounts_of(base), t = accounts_of(theirs);
  auto out = follow_accounts({&b, &t, login_defs, ids}, accounts_of(mine));
  EXPECT_TRUE(out) << out.error().line();
  if (!out) return {};
  const AccountTexts texts = out->accounts.texts();
  // Whatever was done is done: the next run from there has nothing to do.
  const auto again = follow_accounts({&t, &t, login_defs, out->ids}, out->accounts);
  EXPECT_TRUE(again);
  EXPECT_EQ(again->accounts.texts(), texts);
  EXPECT_EQ(again->ids, out->ids);
  EXPECT_EQ(again->done, Lines());
  return {{*texts[0], *texts[1], *texts[2], *texts[3]}, out->ids, out->done, out->kept};
}

void expect_files(const Files& are, const Files& wanted) {
  EXPECT_EQ(are.passwd, wanted.passwd);
  EXPECT_EQ(are.shadow, wanted.shadow);
  EXPECT_EQ(are.group, wanted.group);
  EXPECT_EQ(are.gshadow, wanted.gshadow);
}

TEST(FollowTest, Row1AddsTheEntryItsShadowEntryAndItsMemberships) {
  Files theirs = with(kPlain, kRedis);
  theirs.group = "root:x:0:\nssl-cert:x:50:redis\nredis:x:108:\n";
  theirs.gshadow = "root:*::\nssl-cert:!:redis:redis\nredis:!::\n";
  const Files own{"bob:x:1000:1000::/home/bob:/bin/sh\n", "bob:$6$bobs:::::::\n", "bob:x:1000:\n", "bob:!::\n"};
  const Outcome out = followed(kPlain, theirs, with(kPlain, own));
  Files wanted = with(with(kPlain, own), kRedis);
  wanted.group = "root:x:0:\nssl-cert:x:50:redis\nbob:x:1000:\nredis:x:108:\n";
  wanted.gshadow = "root:*::\nssl-cert:!:redis:redis\nbob:!::\nredis:!::\n";
  expect_files(out.files, wanted);
  EXPECT_TRUE(out.ids.empty());
  EXPECT_EQ(out.done,
            (Lines{"group redis (108) added", "user redis (104:108) added", "group ssl-cert: member redis added"}));
  EXPECT_EQ(out.kept, Lines());
}

TEST(FollowTest, Row2GivesAFreeNumberOfTheSameRangeAndMapsIt) {
  const Files own{"bob:x:104:108::/home/bob:/bin/sh\n", "", "bobs:x:108:\n", ""};
  const Outcome out = followed(kPlain, with(kPlain, kRedis), with(kPlain, own));
  EXPECT_EQ(out.ids, (IdMap{{{104, 999}}, {{108, 999}}}));
  EXPECT_EQ(out.files.passwd, kPlain.passwd + own.passwd + "redis:x:999:999:Redis:/var/lib/redis:/usr/sbin/nologin\n");
  EXPECT_EQ(out.files.group, kPlain.group + own.group + "redis:x:999:\n");
  EXPECT_EQ(out.done, (Lines{"group redis (108) added as 999", "user redis (104:108) added as 999:999"}));
}

TEST(FollowTest, TheVserversLoginDefsSaysWhichNumbersAreFree) {
  const Files own{"bob:x:104:5::/:\nsys:x:499:5::/:\n", "", "five:x:5:\n", ""};
  const std::string defs = "# SYS_UID_MAX 900\nSYS_UID_MIN\t\t 201\nSYS_UID_MAX 499\nUID_MIN 500\n";
  const Outcome out = followed(kPlain, with(kPlain, kRedis), with(kPlain, own), {}, defs);
  EXPECT_EQ(out.ids, (IdMap{{{104, 498}}, {}}));
  const Files theirs = with(kPlain, {"alice:x:1000:1000::/home/alice:/bin/sh\n", "", "alice:x:1000:\n", ""});
  const Files other{"bob:x:1000:1000::/:\ncarol:x:500:5::/:\n", "", "bob:x:1000:\nfive:x:5:\n", ""};
  EXPECT_EQ(followed(kPlain, theirs, with(kPlain, other), {}, defs).ids, (IdMap{{{1000, 501}}, {{1000, 1001}}}));
  const std::string none = "SYS_UID_MIN 104\nSYS_UID_MAX 104\n";
  const Accounts b = accounts_of(kPlain), t = accounts_of(with(kPlain, kRedis));
  const auto full = follow_accounts({&b, &t, none, {}}, accounts_of(with(kPlain, own)));
  ASSERT_FALSE(full);
  EXPECT_NE(full.error().line().find("no number from 104 to 104 is free"), std::string::npos) << full.error().line();
}

TEST(FollowTest, NumbersAreTakenFromNobody) {
  // 999 is the vserver's, 998 a name's of the skel that comes later, 997 stands in the map.
  const Files theirs = with(kPlain, with(kRedis, {"late:x:998:50::/:\n", "", "", ""}));
  const Files own{"bob:x:104:50::/:\nsys:x:999:50::/:\n", "", "", ""};
  const Outcome out = followed(kPlain, theirs, with(kPlain, own), {{{55, 997}}, {}});
  EXPECT_EQ(out.ids, (IdMap{{{55, 997}, {104, 996}}, {}}));
  // A number that stands for another's, whose account is gone, is not given to a third.
  const Outcome stands = followed(kPlain, with(kPlain, kRedis), kPlain, {{{55, 104}}, {}});
  EXPECT_EQ(stands.ids, (IdMap{{{55, 104}, {104, 999}}, {}}));
}

TEST(FollowTest, Rows3And4MapByName) {
  const Files same = with(kPlain, with(kRedis, {"", "", "", ""}));
  const Outcome nothing = followed(kPlain, same, same);
  expect_files(nothing.files, same);
  EXPECT_TRUE(nothing.ids.empty());
  EXPECT_EQ(nothing.done, Lines());
  const Files own{"redis:x:998:997:mine:/srv/redis:/bin/sh\n", "redis:$6$mine:::::::\n", "redis:x:997:\n",
                  "redis:!::\n"};
  const Outcome mapped = followed(kPlain, with(kPlain, kRedis), with(kPlain, own));
  expect_files(mapped.files, with(kPlain, own));
  EXPECT_EQ(mapped.ids, (IdMap{{{104, 998}}, {{108, 997}}}));
  EXPECT_EQ(mapped.done,
            (Lines{"group redis: 108 in the skel is 997 here", "user redis: 104 in the skel is 998 here"}));
  // The group is there already, the user is not: its primary group is the vserver's.
  const Outcome half = followed(kPlain, with(kPlain, kRedis), with(kPlain, {"", "", own.group, own.gshadow}));
  EXPECT_EQ(half.files.passwd, kPlain.passwd + "redis:x:104:997:Redis:/var/lib/redis:/usr/sbin/nologin\n");
}

TEST(FollowTest, ASkelThatGaveAnotherNumberIsMappedAndNobodyIsRenumbered) {
  const Files base = with(kPlain, kRedis);
  const Files theirs = with(kPlain, {"redis:x:110:108:Redis:/var/lib/redis:/usr/sbin/nologin\nnew:x:104:50::/:\n",
                                     kRedis.shadow, kRedis.group, kRedis.gshadow});
  const Outcome out = followed(base, theirs, base);
  EXPECT_EQ(out.ids, (IdMap{{{104, 999}, {110, 104}}, {}}));
  EXPECT_EQ(out.files.passwd, base.passwd + "new:x:999:50::/:\n");
}

TEST(FollowTest, ANumberThatTheSkelGivesToAnotherNameIsMappedAnew) {
  // redis came as 998 once, is removed in the skel, and valkey has its number there.
  const Files valkey{"valkey:x:104:50::/:\n", "", "", ""};
  const Files mine = with(kPlain, {"bob:x:104:50::/:\nredis:x:998:50::/:\n", "", "", ""});
  const Outcome out = followed(kPlain, with(kPlain, valkey), mine, {{{104, 998}}, {}});
  EXPECT_EQ(out.ids, (IdMap{{{104, 999}}, {}}));
  EXPECT_EQ(out.files.passwd, mine.passwd + "valkey:x:999:50::/:\n");
}

TEST(FollowTest, Row5FollowsAndNeverThePasswordOfWhoIsThere) {
  const Files base = with(kPlain, kRedis);
  Files theirs = base;
  theirs.passwd = "root:x:0:0:Admin:/root:/bin/bash\nredis:x:104:50:Redis:/srv/redis:/bin/false\n";
  theirs.shadow = "root:$6$skels:1::::::\nredis:$6$skels:2::::::\n";
  theirs.group = "root:x:0:\nssl-cert:x:50:redis,root,nobody-here\nredis:x:108:\n";
  const Outcome out = followed(base, theirs, base);
  EXPECT_EQ(out.files.passwd, theirs.passwd);
  EXPECT_EQ(out.files.shadow, base.shadow);
  EXPECT_EQ(out.files.group, "root:x:0:\nssl-cert:x:50:redis,root\nredis:x:108:\n") << "only who is there is a member";
  EXPECT_EQ(out.done, (Lines{"user root changed", "user redis changed", "group ssl-cert: member redis added",
                             "group ssl-cert: member root added"}));
  EXPECT_EQ(out.kept, Lines());
  // Back again.
  EXPECT_EQ(followed(theirs, base, out.files).files.group, base.group);
}

TEST(FollowTest, WhatIsUnchangedButForAMappedNumberIsAsBase) {
  const Files base = with(kPlain, kRedis);
  Files theirs = base;
  theirs.passwd = kPlain.passwd + "redis:x:104:108:Redis:/srv/redis:/usr/sbin/nologin\n";
  const Files mine = with(kPlain, {"redis:x:998:997:Redis:/var/lib/redis:/usr/sbin/nologin\n", kRedis.shadow,
                                   "redis:x:997:\n", kRedis.gshadow});
  const Outcome out = followed(base, theirs, mine, {{{104, 998}}, {{108, 997}}});
  EXPECT_EQ(out.files.passwd, kPlain.passwd + "redis:x:998:997:Redis:/srv/redis:/usr/sbin/nologin\n");
}

TEST(FollowTest, Row6KeepsWhatTheTenantChanged) {
  Files theirs = kPlain, mine = kPlain;
  theirs.passwd = "root:x:0:0:root:/root:/bin/bash\n";
  mine.passwd = "root:x:0:0:me:/root:/bin/zsh\n";
  const Outcome both = followed(kPlain, theirs, mine);
  expect_files(both.files, mine);
  EXPECT_EQ(both.kept, Lines{"user root: changed on both sides"});
  EXPECT_EQ(followed(kPlain, kPlain, mine).kept, Lines());
  mine.passwd = theirs.passwd;
  EXPECT_EQ(followed(kPlain, theirs, mine).kept, Lines()) << "the same change";
}

TEST(FollowTest, WhoWasDeletedStaysDeleted) {
  const Files base = with(kPlain, kRedis);
  EXPECT_EQ(followed(base, base, kPlain).kept, Lines());
  Files theirs = base;
  theirs.passwd = kPlain.passwd + "redis:x:104:108:Redis:/srv/redis:/usr/sbin/nologin\n";
  theirs.group = "root:x:0:\nssl-cert:x:50:redis\nredis:x:108:\n";
  const Outcome out = followed(base, theirs, kPlain);
  expect_files(out.files, kPlain);
  EXPECT_EQ(out.kept, Lines{"user redis: deleted here, changed in the skel"});
}

TEST(FollowTest, Row7KeepsWhatTheSkelRemoved) {
  const Files base = with(kPlain, kRedis);
  const Outcome out = followed(base, kPlain, base);
  expect_files(out.files, base);
  EXPECT_EQ(out.kept, (Lines{"group redis: removed in the skel, files may be its",
                             "user redis: removed in the skel, files may be its"}));
}

TEST(FollowTest, NoHashTravels) {
  struct Row {
    std::string theirs, mine;
  };
  const std::vector<Row> rows{{"$6$salt$hash", "!"},
                              {"!$6$salt$hash", "!"},
                              {"!", "!"},
                              {"!!", "!!"},
                              {"*", "*"},
                              {"!*", "!*"},
                              {"", "!"},
                              {"x", "!"},
                              {"*LK*", "*LK*"},
                              {"*hash", "*"},
                              {"!abcdefgh", "!"},
                              {"!$1", "!"},
                              {"ab12345678901", "!"}};
  for (const Row& row : rows) {
    Files theirs = kRedis;
    theirs.shadow = "redis:" + row.theirs + ":19500:1:99999:7:::\n";
    const Outcome out = followed(kPlain, with(kPlain, theirs), kPlain);
    EXPECT_EQ(out.files.shadow, kPlain.shadow + "redis:" + row.mine + ":19500:1:99999:7:::\n") << row.theirs;
  }
  // A hash in passwd and group themselves, no entry in shadow.
  const Files odd{"redis:$6$h:104:108::/:\n", "", "redis:$6$h:108:\n", ""};
  const Outcome out = followed(kPlain, with(kPlain, odd), kPlain);
  expect_files(out.files, with(kPlain, {"redis:x:104:108::/:\n", "redis:!:::::::\n", "redis:x:108:\n", "redis:!::\n"}));
}

TEST(FollowTest, AVserverWithoutShadowFilesGetsNoneAndAnEmptyPasswordNowhere) {
  const Accounts b = accounts_of(kPlain), t = accounts_of(with(kPlain, kRedis));
  const auto mine =
      Accounts::parse({kPlain.passwd, std::nullopt, kPlain.group, std::nullopt, std::nullopt, std::nullopt}, "");
  ASSERT_TRUE(mine);
  const auto out = follow_accounts({&b, &t, "", {}}, *mine);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->accounts.texts()[0], kPlain.passwd + "redis:*:104:108:Redis:/var/lib/redis:/usr/sbin/nologin\n");
  EXPECT_EQ(out->accounts.texts()[2], kPlain.group + "redis:*:108:\n");
  EXPECT_FALSE(out->accounts.texts()[1]);
}

TEST(FollowTest, NothingBecomesRootsNorIsTakenFromRoot) {
  // The tenant's own redis is root, in one way or the other.
  const Files root_like{"redis:x:0:0::/:\n", "", "redis:x:0:\n", ""};
  const Outcome out = followed(kPlain, with(kPlain, kRedis), with(kPlain, root_like));
  EXPECT_TRUE(out.ids.empty());
  EXPECT_EQ(out.kept, (Lines{"group redis: 108 in the skel is 0 here: what is root's is not mapped",
                             "user redis: 104 in the skel is 0 here: what is root's is not mapped"}));
  // The skel's only root has a name that the vserver does not know.
  const Files admin{"admin:x:0:0::/:\n", "", "root:x:0:\n", ""};
  const Outcome other = followed({}, admin, kPlain);
  EXPECT_EQ(other.files.passwd, kPlain.passwd);
  EXPECT_TRUE(other.ids.empty());
  EXPECT_EQ(other.kept, Lines{"user admin: has root's number in the skel, or that of one who is not here"});
}

TEST(FollowTest, ASecondNameOfANumberStaysASecondName) {
  const Files two = with(kRedis, {"valkey:x:104:108::/:\n", "", "", ""});
  const Files own{"bob:x:104:50::/:\n", "", "", ""};
  const Outcome out = followed(kPlain, with(kPlain, two), with(kPlain, own));
  EXPECT_EQ(out.ids, (IdMap{{{104, 999}}, {}}));
  EXPECT_NE(out.files.passwd.find("\nvalkey:x:999:108:"), std::string::npos) << out.files.passwd;
}

TEST(FollowTest, WithoutABaseOnlyWhoIsNewJoinsGroups) {
  const Accounts t =
      accounts_of(with({"root:x:0:0:root:/root:/bin/bash\n", "", "root:x:0:\nssl-cert:x:50:root,redis\n", ""}, kRedis));
  const auto out = follow_accounts({nullptr, &t, "", {}}, accounts_of(kPlain));
  ASSERT_TRUE(out);
  EXPECT_EQ(out->accounts.texts()[2], "root:x:0:\nssl-cert:x:50:redis\nredis:x:108:\n");
  EXPECT_EQ(out->accounts.texts()[0], kPlain.passwd + kRedis.passwd) << "root's shell may be the tenant's choice";
}

TEST(FollowTest, SubordinateNumbersComeWhereTheyAreFree) {
  const auto all = [](const Files& files, const std::string& subuid) {
    return *Accounts::parse({files.passwd, files.shadow, files.group, files.gshadow, subuid, std::nullopt}, "");
  };
  const Accounts b = all(kPlain, ""), t = all(with(kPlain, kRedis), "redis:100000:65536\nredis:300000:10\nold:1:1\n");
  const auto out = follow_accounts({&b, &t, "", {}}, all(kPlain, "bob:165535:65536\n"));
  ASSERT_TRUE(out);
  EXPECT_EQ(out->accounts.texts()[4], "bob:165535:65536\nredis:300000:10\n");
  EXPECT_EQ(out->kept, Lines{"subuid range redis:100000:65536: another's here"});
}

TEST(FollowTest, SubordinateNumbersComeWithTheirFileUnlessTheTenantDeletedIt) {
  const auto all = [](const Files& files, const std::optional<std::string>& subuid) {
    return *Accounts::parse({files.passwd, files.shadow, files.group, files.gshadow, subuid, std::nullopt}, "");
  };
  const std::string ranges = "redis:100000:65536\nroot:200000:10\nold:1:1\n";
  const Accounts none = all(kPlain, std::nullopt), some = all(kPlain, "root:200000:10\n"),
                 t = all(with(kPlain, kRedis), ranges);
  const auto came = follow_accounts({&none, &t, "", {}}, none);
  ASSERT_TRUE(came);
  EXPECT_EQ(came->accounts.texts()[4], "redis:100000:65536\nroot:200000:10\n");
  EXPECT_EQ(came->done.at(2), "subuid added");
  EXPECT_EQ(came->kept, Lines());
  const auto deleted = follow_accounts({&some, &t, "", {}}, none);
  ASSERT_TRUE(deleted);
  EXPECT_FALSE(deleted->accounts.texts()[4]);
  EXPECT_EQ(deleted->kept, Lines{"subuid range redis:100000:65536: there is no such file here"});
  const auto unknown = follow_accounts({nullptr, &t, "", {}}, all(kPlain, ""));
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->accounts.texts()[4], "redis:100000:65536\n") << "root's may have been deleted here";
}

TEST(FollowTest, OwnersOfFilesAreThereOrToldOf) {
  const Accounts t = accounts_of(with(kPlain, with(kRedis, {"valkey:x:104:108::/:\n", "", "", ""})));
  const OwnerNumbers numbers{{0, 55, 104}, {0, 108}};
  const auto stray = [&](const Files& more, const IdMap& ids) {
    const Accounts mine = accounts_of(with(kPlain, more));
    return stray_owners(t, &mine, ids, numbers);
  };
  const StrayOwners none = stray(kRedis, {});
  EXPECT_EQ(none.missing, Lines());
  EXPECT_EQ(stray({"valkey:x:104:5::/:\n", "", kRedis.group, ""}, {}).missing, Lines()) << "another name of the number";
  const Files own{"mal:x:998:5::/:\n", "", "", ""};
  EXPECT_EQ(stray(own, {{{104, 998}}, {}}).missing,
            (Lines{"user redis: not here, what is its in the skel comes as 998, which is mal's",
                   "group redis: not here, what is its in the skel comes as 108, which is nobody's"}));
  const StrayOwners root = stray({"redis:x:0:0::/:\n", "", kRedis.group, ""}, {});
  EXPECT_EQ(root.roots, Lines{"user redis: 104 in the skel is 0 here: what is root's is not mapped"});
  EXPECT_EQ(root.missing, Lines());
  EXPECT_EQ(stray_owners(t, nullptr, {}, numbers).not_known, (Lines{"user redis", "group redis"}));
}

TEST(FollowTest, AVserverWithoutUsersIsLeftAsItIs) {
  const Accounts b = accounts_of(kPlain), t = accounts_of(with(kPlain, kRedis));
  const auto none = Accounts::parse({}, "");
  ASSERT_TRUE(none);
  const auto out = follow_accounts({&b, &t, "", {}}, *none);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->accounts.texts(), AccountTexts());
  EXPECT_EQ(out->kept.size(), 1U);
  EXPECT_EQ(follow_accounts({&t, &t, "", {}}, *none)->kept, Lines());
}

TEST(FollowTest, NamesMakeTheMapOfAnAdoptedVserver) {
  const Files theirs = with(kPlain, with(kRedis, {"mail:x:8:8::/:\n", "", "mail:x:8:\n", ""}));
  const Files mine =
      with(kPlain, {"redis:x:998:997::/:\nmail:x:0:8::/:\nbob:x:104:108::/:\n", "", "redis:x:997:\nmail:x:8:\n", ""});
  const NamedIds out = map_by_names(accounts_of(theirs), accounts_of(mine), {{{7, 77}}, {}});
  EXPECT_EQ(out.ids, (IdMap{{{7, 77}, {104, 998}}, {{108, 997}}}));
  EXPECT_EQ(out.kept, Lines{"user mail: 8 in the skel is 0 here: what is root's is not mapped"});
  EXPECT_EQ(map_by_names(accounts_of(theirs), *Accounts::parse({}, ""), {}).ids, IdMap());
}

}  // namespace
}  // namespace vskel
