// What a package manager did in the merged tree comes into static's files, whatever was done there meanwhile.

#include "engine/accounts/skel_accounts.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

using Lines = std::vector<std::string>;

AccountTable table_of(AccountFile file, const std::string& bytes) {
  auto table = AccountTable::parse(file, bytes, "f");
  EXPECT_TRUE(table) << table.error().line();
  return std::move(*table);
}

struct Row {
  std::string what, base, changed, own, result;
  Lines conflicts;
};

TEST(SkelAccountsTest, ThreeSidesOfUsers) {
  const std::string root = "root:x:0:0::/root:/bin/sh\n", zsh = "root:x:0:0::/root:/bin/zsh\n",
                    bash = "root:x:0:0::/root:/bin/bash\n", redis = "redis:x:104:108::/:/bin/false\n",
                    mail = "mail:x:104:8::/:/bin/false\n";
  const std::vector<Row> rows{
      {"nothing", root, root, root, root, {}},
      {"added", root, root + redis, root, root + redis, {}},
      {"added, and another in static", root, root + redis, root + mail, root + mail + redis, {}},
      {"added on both sides alike", root, root + redis, root + redis, root + redis, {}},
      {"removed", root + redis, root, root + redis, root, {}},
      {"removed on both sides", root + redis, root, root, root, {}},
      {"changed", root, bash, root, bash, {}},
      {"changed in static alone", root, root, bash, bash, {}},
      {"changed on both sides alike", root, bash, bash, bash, {}},
      {"changed on both sides", root, bash, zsh, zsh, {"user root"}},
      {"removed, and changed in static",
       root + redis,
       root,
       root + "redis:x:104:108::/:/bin/sh\n",
       root + "redis:x:104:108::/:/bin/sh\n",
       {"user redis"}},
      {"changed, and removed in static",
       root + redis,
       root + "redis:x:104:108::/:/bin/sh\n",
       root,
       root,
       {"user redis"}},
      {"lines that are none stay", "# a\n" + root, redis + root, "# b\n\n" + root, "# b\n\n" + root + redis, {}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    const auto file = AccountFile::passwd;
    const auto applied = apply_changes(table_of(file, row.base), table_of(file, row.changed), table_of(file, row.own));
    EXPECT_EQ(applied.table.bytes(), row.result);
    EXPECT_EQ(applied.conflicts, row.conflicts);
  }
}

TEST(SkelAccountsTest, MembersAreThreeSidedByThemselves) {
  const std::vector<Row> rows{
      {"both add", "ssl:x:9:a\n", "ssl:x:9:a,redis\n", "ssl:x:9:a,bob\n", "ssl:x:9:a,bob,redis\n", {}},
      {"one removes, one adds", "ssl:x:9:a,b\n", "ssl:x:9:b\n", "ssl:x:9:a,b,c\n", "ssl:x:9:b,c\n", {}},
      {"number and members", "ssl:x:9:a\n", "ssl:x:19:a\n", "ssl:x:9:a,b\n", "ssl:x:19:a,b\n", {}},
      {"two numbers", "ssl:x:9:a\n", "ssl:x:19:a\n", "ssl:x:29:a\n", "ssl:x:29:a\n", {"group ssl"}},
      {"made on both sides", "", "ssl:x:9:a\n", "ssl:x:9:b\n", "ssl:x:9:b\n", {"group ssl"}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    const auto file = AccountFile::group;
    const auto applied = apply_changes(table_of(file, row.base), table_of(file, row.changed), table_of(file, row.own));
    EXPECT_EQ(applied.table.bytes(), row.result);
    EXPECT_EQ(applied.conflicts, row.conflicts);
  }
  const auto gshadow = AccountFile::gshadow;
  const auto applied = apply_changes(table_of(gshadow, "ssl:!:adm:a\n"), table_of(gshadow, "ssl:!:adm:a,r\n"),
                                     table_of(gshadow, "ssl:!:adm,bob:a\n"));
  EXPECT_EQ(applied.table.bytes(), "ssl:!:adm,bob:a,r\n");
  const auto subuid = AccountFile::subuid;
  EXPECT_EQ(
      apply_changes(table_of(subuid, "a:1:1\n"), table_of(subuid, "b:3:1\nb:4:1\n"), table_of(subuid, "a:1:1\nc:2:1\n"))
          .table.bytes(),
      "c:2:1\nb:3:1\nb:4:1\n");
}

Accounts accounts_of(const std::string& passwd, const std::string& shadow, const std::string& group,
                     const std::string& gshadow = "", const std::string& subuid = "") {
  auto accounts = Accounts::parse({passwd, shadow, group, gshadow, subuid, ""}, "");
  EXPECT_TRUE(accounts) << accounts.error().line();
  return std::move(*accounts);
}

TEST(SkelAccountsTest, ChangesAreTold) {
  const Accounts before = accounts_of("root:x:0:0::/root:/bin/sh\ngone:x:5:5::/:\n", "root:*:::::::\ngone:!:::::::\n",
                                      "root:x:0:\nssl:x:9:bob\n", "root:!::\nssl:!::bob\n");
  const Accounts after =
      accounts_of("root:x:0:0:Root:/root:/bin/bash\nredis:x:104:108::/:\nmail:x:104:8::/:\n",
                  "root:$6$x:::::::\nredis:!:::::::\nmail:!:::::::\n", "root:x:0:\nssl:x:9:redis\nredis:x:108:\n",
                  "root:*::\nssl:!::redis\nredis:!::\n", "redis:100000:65536\n");
  EXPECT_EQ(describe_changes(before, before), Lines());
  EXPECT_EQ(
      describe_changes(before, after),
      (Lines{"user root (0:0) changed: comment, shell", "user redis (104:108) added",
             "user redis has number 104, which is mail's, too", "user mail (104:8) added",
             "user mail has number 104, which is redis's, too", "user gone (5:5) removed",
             "shadow entry of root changed", "group ssl (9): member redis added", "group ssl (9): member bob removed",
             "group redis (108) added", "gshadow entry of root changed", "subuid range redis:100000:65536 added"}));
}

}  // namespace
}  // namespace vskel
