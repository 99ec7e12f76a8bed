// Layout rules: the defaults of build-skel, the first match, and what is refused.

#include "engine/skel/layout.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

using namespace std::string_literals;

Layout defaults(std::vector<std::string> global = {}, std::vector<std::string> local = {}) {
  return *Layout::with_defaults(global, local);
}

TEST(LayoutTest, DefaultsAreThoseOfThe2003Page) {
  const Layout layout = defaults();
  for (const char* path :
       {"bin", "bin/sh", "lib", "lib/x.so", "lib64/y", "libx32", "sbin/init", "usr", "usr/bin/tar", "usr/share/doc/x"})
    EXPECT_EQ(layout.part_of(path), Part::global_part) << path;
  for (const char* path : {"etc/passwd", "etc/shadow", "etc/group", "etc/gshadow", "etc/hosts"})
    EXPECT_EQ(layout.part_of(path), Part::static_part) << path;
  for (const char* path : {"", "etc", "etc/passwd-", "etc/hosts.allow", "var", "var/log", "root", "usr/local",
                           "usr/local/bin/x", "opt", "binary", "usrx", "home/lib/x"})
    EXPECT_EQ(layout.part_of(path), Part::local_part) << path;
}

TEST(LayoutTest, PackageDatabasesAreLocalWhateverIsAsked) {
  const Layout layout = defaults({"/usr", "/var"});
  for (const char* path : {"var/lib/dpkg", "var/lib/dpkg/status", "var/lib/rpm/x", "usr/lib/sysimage/rpm/Packages.db",
                           "usr/share/rpm/x", "lib/apk/db/installed"})
    EXPECT_EQ(layout.part_of(path), Part::local_part) << path;
  EXPECT_EQ(layout.part_of("var/lib/dpkgx"), Part::global_part);
}

TEST(LayoutTest, TheFirstMatchWins) {
  const Layout layout =
      *Layout::parse("local /usr/share/doc\nglobal /usr\nlocal /usr/bin\nstatic /etc/*.conf\n", "layout");
  EXPECT_EQ(layout.part_of("usr/share/doc/a"), Part::local_part);
  EXPECT_EQ(layout.part_of("usr/bin/a"), Part::global_part);
  EXPECT_EQ(layout.part_of("etc/a.conf"), Part::static_part);
  EXPECT_EQ(layout.part_of("etc/d/a.conf"), Part::local_part) << "a star matches no slash";
}

TEST(LayoutTest, RulesOfTheCommandLineStandAheadOfTheDefaults) {
  const Layout layout = defaults({"/opt", "/usr/local/lib"}, {"/usr/share"});
  EXPECT_EQ(layout.part_of("opt/app/x"), Part::global_part);
  EXPECT_EQ(layout.part_of("usr/local/lib/x"), Part::global_part);
  EXPECT_EQ(layout.part_of("usr/local/bin"), Part::local_part);
  EXPECT_EQ(layout.part_of("usr/share/x"), Part::local_part);
}

TEST(LayoutTest, ReadsWhatItWrote) {
  const Layout layout = defaults({"/opt/with space"}, {"/srv/*"});
  const auto again = Layout::parse(layout.text(), "layout");
  ASSERT_TRUE(again) << again.error().line();
  EXPECT_EQ(again->text(), layout.text());
}

TEST(LayoutTest, RefusesABadLineByItsNumber) {
  for (const char* rule : {"global", "global usr", "globl /usr", "global /", "global /usr/", "global //usr",
                           "global /usr/../etc", "/usr", "global /a/./b"}) {
    const auto layout = Layout::parse("# first\nlocal /var\n"s + rule + "\n", "layout");
    ASSERT_FALSE(layout) << rule;
    EXPECT_EQ(layout.error().path, "layout:3") << rule;
  }
}

TEST(LayoutTest, RefusesBadPatternsOfTheCommandLine) {
  for (const std::string& pattern : {""s, "opt"s, "/"s, "/a/../b"s, "/a\nlocal /b"s, "/a\0b"s}) {
    const auto layout = Layout::with_defaults(std::vector{pattern}, {});
    ASSERT_FALSE(layout) << printable(pattern);
    EXPECT_EQ(layout.error().blame, Blame::request);
  }
}

TEST(GlobTest, MatchesAPathOrADirectoryAboveIt) {
  EXPECT_TRUE(glob_matches("/var/cache", "var/cache/apt/x"));
  EXPECT_TRUE(glob_matches("/var/cache/*", "var/cache/apt/x"));
  EXPECT_TRUE(glob_matches("/var/cache/", "var/cache"));
  EXPECT_FALSE(glob_matches("/var/cache/*", "var/cache"));
  EXPECT_FALSE(glob_matches("/var/cache", "srv/var/cache"));
  EXPECT_TRUE(glob_matches("*.log", "var/log/a.log"));
  EXPECT_TRUE(glob_matches("cache", "srv/cache/x"));
  EXPECT_TRUE(glob_matches("var/cache", "srv/var/cache/x"));
  EXPECT_FALSE(glob_matches("*.log", "var/log/a.log.1"));
}

TEST(GlobTest, ThatIsEmptyMatchesNothingAndIsRefused) {
  EXPECT_FALSE(glob_matches("", "var"));
  EXPECT_FALSE(glob_matches("/", "var"));
  for (const std::string& glob : {""s, "/"s, "//"s, "a//b"s, "/a/../b"s, ".."s}) EXPECT_FALSE(check_glob(glob)) << glob;
  for (const std::string& glob : {"*.log"s, "/var/cache/"s, "/var/*"s, "a/b"s}) EXPECT_TRUE(check_glob(glob)) << glob;
}

TEST(LayoutTest, ALaterMoreSpecificRuleForAnotherPartIsTold) {
  const auto layout = Layout::parse("global /usr\nlocal /usr/local\nglobal /usr/local/share\nlocal /var\n", "layout");
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->part_of("usr/local/x"), Part::global_part);
  EXPECT_EQ(layout->ambiguity_of("usr/local/x"), "local /usr/local");
  EXPECT_EQ(layout->ambiguity_of("usr/share/x"), std::nullopt);
  EXPECT_EQ(layout->ambiguity_of("var/x"), std::nullopt);
  EXPECT_EQ(layout->ambiguity_of("srv/x"), std::nullopt);
  const auto defaults = Layout::with_defaults({}, {});
  ASSERT_TRUE(defaults);
  EXPECT_EQ(defaults->ambiguity_of("usr/local/x"), std::nullopt) << "the order of the default rules is right";
}

}  // namespace
}  // namespace vskel
