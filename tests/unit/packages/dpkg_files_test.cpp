// Lists of files: who owns a directory or anything below it.

#include "engine/packages/dpkg_files.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

using Names = std::vector<std::string>;

DpkgFiles files_of(const std::vector<std::pair<std::string, std::string>>& lists) {
  DpkgFileLists out;
  for (const auto& [package, list] : lists) {
    const auto added = out.add(package, list, package + ".list");
    EXPECT_TRUE(added) << added.error().line();
  }
  return std::move(out).finish();
}

TEST(DpkgFilesTest, KnowsWhoOwnsADirectoryOrAnythingBelow) {
  const DpkgFiles files = files_of({{"base-files", "/.\n/var\n/var/lib\n/usr/lib\n"},
                                    {"mariadb-server", "/.\n/var\n/var/lib\n/var/lib/mysql\n"},
                                    {"mysql-keyring", "/.\n/var/lib/mysql-keyring/key\n"},
                                    {"plugin", "/var/lib/mysql/plugin/deep/file\n"},
                                    {"empty", ""}});
  EXPECT_EQ(files.owners_below("var/lib/mysql"), (Names{"mariadb-server", "plugin"}));
  EXPECT_EQ(files.owners_below("var/lib/mysql/plugin"), Names{"plugin"});
  EXPECT_EQ(files.owners_below("var/lib/mysql-keyring"), Names{"mysql-keyring"});
  EXPECT_EQ(files.owners_below("var/lib/mys"), Names());
  EXPECT_EQ(files.owners_below("var/lib/postgresql"), Names());
  EXPECT_EQ(files.owners_below("var/lib"), (Names{"base-files", "mariadb-server", "mysql-keyring", "plugin"}));
  EXPECT_EQ(files.owners_below(""), (Names{"base-files", "mariadb-server", "mysql-keyring", "plugin"}));
  EXPECT_EQ(files.owners_of("var/lib"), (Names{"base-files", "mariadb-server"}));
  EXPECT_EQ(files.owners_of(""), (Names{"base-files", "mariadb-server", "mysql-keyring"}));
  EXPECT_EQ(files.owners_of("var/lib/mysql/plugin"), Names());
}

TEST(DpkgFilesTest, FindsNeighboursThatSortBeforeASlash) {
  const DpkgFiles files = files_of({{"a", "/x\n/x!\n/x-\n/x.d\n/x/y\n/x0\n"}, {"b", "/x-/z\n"}, {"c", "/x/z\n"}});
  EXPECT_EQ(files.owners_below("x"), (Names{"a", "c"}));
  EXPECT_EQ(files.owners_below("x-"), (Names{"a", "b"}));
}

TEST(DpkgFilesTest, RefusesWhatDpkgDoesNotWriteByItsLine) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"/.\nusr\n", "l:2: usr: a path is absolute"},
      {"/.\n\n", "l:2: : a path is absolute"},
      {"/a/../b\n", "l:1: /a/../b: a path has no empty, . or .. components"},
      {"/a//b\n", "l:1: /a//b: a path has no empty, . or .. components"},
      {"/a/./b\n", "l:1: /a/./b: a path has no empty, . or .. components"},
      {"/a/\n", "l:1: /a/: a path does not end with /"},
      {"/a\n/b", "l:2: /b: the file ends within a line"},
  };
  for (const auto& [text, line] : cases) {
    DpkgFileLists lists;
    const auto added = lists.add("one", text, "l");
    ASSERT_FALSE(added) << text;
    EXPECT_EQ(added.error().line(), "read package file list " + line);
  }
  DpkgFileLists lists;
  EXPECT_FALSE(lists.add("one", "/" + std::string(256, 'x') + "\n", "l"));
  EXPECT_FALSE(lists.add("one", std::string("/a\0b\n", 5), "l"));
  EXPECT_FALSE(lists.add("one", std::string(kMaxDpkgList + 1, '\n'), "l"));
}

}  // namespace
}  // namespace vskel
