// Files as they come, a tenant's too: what is an entry is taken apart, what is odd is refused by line, and what was not
// changed comes back as it was.

#include "engine/accounts/account_table.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

Result<AccountTable> parsed(AccountFile file, std::string_view bytes) {
  return AccountTable::parse(file, bytes, "etc/" + std::string(account_file_name(file)));
}

TEST(AccountTableTest, ComesBackByteForByte) {
  for (const char* bytes :
       {"", "\n", "# a comment\n\nroot:x:0:0:root:/root:/bin/sh\n", "root:x:0:0::/:/bin/sh",
        "root:x:0:0:r\xf6\xf6t, room 5:/root:/bin/sh\n\n+::::::\n", "-bob::::::\n+@staff::::::\n  \n",
        "www:*:33:33:www\t(web):/var/www:/usr/sbin/nologin\n# end", "DOM\\user$:x:4294967294:0:::\n"}) {
    const auto table = parsed(AccountFile::passwd, bytes);
    ASSERT_TRUE(table) << table.error().line();
    EXPECT_EQ(table->bytes(), bytes);
  }
  for (const char* bytes : {"root:*:19000:0:99999:7:::\nbin:!:::::::\n", "x:$6$a$b:1::::::\n"})
    EXPECT_EQ(parsed(AccountFile::shadow, bytes)->bytes(), bytes);
  for (const char* bytes : {"root:x:0:\nssl-cert:x:101:redis,postgres\n", "a:x:0:b,b\n+:::\n"})
    EXPECT_EQ(parsed(AccountFile::group, bytes)->bytes(), bytes);
  for (const char* bytes : {"bob:100000:65536\nbob:200000:65536\n1000:0:1\n", "x:4294967294:1\n"})
    EXPECT_EQ(parsed(AccountFile::subuid, bytes)->bytes(), bytes);
}

struct Odd {
  AccountFile file;
  std::string bytes;
  int line;
};

TEST(AccountTableTest, WhatIsNeitherAnEntryNorALineToLeaveAloneIsRefusedByLine) {
  using enum AccountFile;
  const std::string fine = "root:x:0:0::/:/bin/sh\n", long_name(257, 'n'), long_line(70000, 'c');
  const std::vector<Odd> table{
      {passwd, "root:x:0:0::/\n", 1},
      {passwd, fine + "a:x:1:1::/:/bin/sh:more\n", 2},
      {passwd, fine + "root:x:1:1::/:/bin/sh\n", 2},
      {passwd, ":x:1:1::/:/bin/sh\n", 1},
      {passwd, "a b:x:1:1::/:/bin/sh\n", 1},
      {passwd, " a:x:1:1::/:/bin/sh\n", 1},
      {passwd, "a,b:x:1:1::/:/bin/sh\n", 1},
      {passwd, long_name + ":x:1:1::/:/bin/sh\n", 1},
      {passwd, fine + "\n# c\na:x:1:1:" + long_line + ":/:/bin/sh\n", 4},
      {passwd, std::string("a:x:1:1:\0:/:/bin/sh\n", 20), 1},
      {passwd, std::string("# \0\n", 4), 1},
      {passwd, "a:x:1:1::/:/bin/sh\r\n", 1},
      {passwd, "a:x:1:1:\x1b[2J:/:/bin/sh\n", 1},
      {passwd, "a:x::1::/:/bin/sh\n", 1},
      {passwd, "a:x:1:::/:/bin/sh\n", 1},
      {passwd, "a:x:-1:1::/:/bin/sh\n", 1},
      {passwd, "a:x:+1:1::/:/bin/sh\n", 1},
      {passwd, "a:x:01:1::/:/bin/sh\n", 1},
      {passwd, "a:x:0x1:1::/:/bin/sh\n", 1},
      {passwd, "a:x: 1:1::/:/bin/sh\n", 1},
      {passwd, "a:x:4294967295:1::/:/bin/sh\n", 1},
      {passwd, "a:x:1:99999999999999999999::/:/bin/sh\n", 1},
      {shadow, "root:*:19000:0:99999:7::\n", 1},
      {shadow, "root:*:::::::\nroot:*:::::::\n", 2},
      {group, "root:x:0\n", 1},
      {group, "root:x:00:\n", 1},
      {group, "a:x:1:b,,c\n", 1},
      {group, "a:x:1:b,\n", 1},
      {group, "a:x:1:,b\n", 1},
      {group, "a:x:1:b c\n", 1},
      {gshadow, "a:!:b,,c:\n", 1},
      {gshadow, "a:!::b,\n", 1},
      {subuid, "a:1\n", 1},
      {subuid, "a:1:x\n", 1},
      {subuid, "a:4294967294:2\n", 1},
      {subuid, "a:1:1\na:1:1\n", 2},
      {subgid, "a:01:1\n", 1},
  };
  for (const auto& [file, bytes, line] : table) {
    const auto refused = parsed(file, bytes);
    ASSERT_FALSE(refused) << printable(bytes);
    const std::string place = "etc/" + std::string(account_file_name(file)) + ":" + std::to_string(line);
    EXPECT_EQ(refused.error().path, place) << printable(bytes);
    EXPECT_FALSE(refused.error().reason.empty());
  }
}

TEST(AccountTableTest, AFileHasAnEnd) {
  const std::string comments = [] {
    std::string text;
    while (text.size() < kMostAccountBytes) text += "#" + std::string(1022, 'c') + "\n";
    return text;
  }();
  EXPECT_EQ(comments.size(), kMostAccountBytes);
  EXPECT_TRUE(parsed(AccountFile::passwd, comments));
  EXPECT_FALSE(parsed(AccountFile::passwd, comments + "\n"));
  EXPECT_TRUE(parsed(AccountFile::passwd, std::string(131072, '\n')));
  EXPECT_EQ(parsed(AccountFile::passwd, std::string(131073, '\n')).error().path, "etc/passwd:131073");
  std::string many;
  for (int number = 0; number < 65537; ++number) many += "g" + std::to_string(number) + ":x:1:\n";
  const auto refused = parsed(AccountFile::group, many);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().path, "etc/group:65537");
}

TEST(AccountTableTest, EntriesComeAndGoAndTheRestStaysWhereItIs) {
  auto table = parsed(AccountFile::group, "# groups\nroot:x:0:\n\nold:x:7:a\nlast:x:8:");
  ASSERT_TRUE(table);
  table->remove("old");
  table->remove("never");
  table->put(AccountEntry("redis:x:108:"));
  AccountEntry root = *table->find("root");
  root.set_names(account_field::kMembers, {"a", "b"});
  table->put(root);
  EXPECT_EQ(table->bytes(), "# groups\nroot:x:0:a,b\n\nlast:x:8:\nredis:x:108:\n");
  EXPECT_EQ(table->find("root")->names(account_field::kMembers), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(table->find("redis")->number(account_field::kGroupNumber), 108U);
  EXPECT_EQ(table->find("old"), nullptr);
  EXPECT_EQ(table->entries().size(), 3U);
}

TEST(AccountTableTest, WhatComesStandsAheadOfNis) {
  auto table = parsed(AccountFile::passwd, "root:x:0:0::/:/bin/sh\n-bob::::::\n+::::::");
  ASSERT_TRUE(table);
  for (const char* name : {"a", "b"}) table->put(AccountEntry(std::string(name) + ":x:1:1::/:/bin/sh"));
  EXPECT_EQ(table->bytes(), "root:x:0:0::/:/bin/sh\na:x:1:1::/:/bin/sh\nb:x:1:1::/:/bin/sh\n-bob::::::\n+::::::");
  auto bare = parsed(AccountFile::passwd, "+::::::\n");
  ASSERT_TRUE(bare);
  for (const char* name : {"a", "b"}) bare->put(AccountEntry(std::string(name) + ":x:1:1::/:/bin/sh"));
  EXPECT_EQ(bare->bytes(), "a:x:1:1::/:/bin/sh\nb:x:1:1::/:/bin/sh\n+::::::\n");
  auto empty = parsed(AccountFile::group, "");
  ASSERT_TRUE(empty);
  empty->put(AccountEntry("a:x:1:"));
  EXPECT_EQ(empty->bytes(), "a:x:1:\n");
}

TEST(AccountTableTest, AllSixAreReadTogetherAndAnErrorNamesTheFile) {
  AccountTexts texts;
  texts[static_cast<std::size_t>(AccountFile::passwd)] = "root:x:0:0::/:/bin/sh\n";
  texts[static_cast<std::size_t>(AccountFile::group)] = "root:x:0:\n";
  const auto accounts = Accounts::parse(texts, "/vservers/web1/");
  ASSERT_TRUE(accounts);
  EXPECT_EQ(accounts->texts(), texts);
  EXPECT_EQ(accounts->table(AccountFile::shadow), nullptr);
  EXPECT_NE(accounts->find(AccountFile::passwd, "root"), nullptr);
  texts[static_cast<std::size_t>(AccountFile::shadow)] = "root\n";
  const auto odd = Accounts::parse(texts, "/vservers/web1/");
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().path, "/vservers/web1/etc/shadow:1");
}

}  // namespace
}  // namespace vskel
