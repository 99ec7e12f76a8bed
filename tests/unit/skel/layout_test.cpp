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
  for (const char* rule : {"bundle",
                           "bundle var",
                           "apart none",
                           "omit",
                           "omit /a//b",
                           "clear x",
                           "token /etc/hostname",
                           "token hostname x",
                           "keep",
                           "keep a/../b",
                           "identity",
                           "identity some",
                           "omit-keys none",
                           "global",
                           "global usr",
                           "globl /usr",
                           "global /",
                           "global /usr/",
                           "global //usr",
                           "global /usr/../etc",
                           "/usr",
                           "global /a/./b"}) {
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

TEST(BundleTest, EachDirectoryDirectlyBelowThoseOfStateIsOne) {
  const Layout layout = defaults();
  for (const char* path : {"var/lib/mysql", "var/lib/postgresql", "var/spool/postfix", "var/spool/cron", "var/www/html",
                           "var/opt/x", "srv/ftp", "home/x", "opt/app", "var/lib/systemd/timers", "var/lib/apt/lists",
                           "var/lib/private/x", "var/lib/php/sessions"})
    EXPECT_TRUE(layout.is_bundle(path)) << path;
  for (const char* path : {"", "var", "var/lib", "var/lib/mysql/mysql", "var/spool/cron/crontabs", "srv", "usr/lib",
                           "etc", "var/log", "home"})
    EXPECT_FALSE(layout.is_bundle(path)) << path;
}

TEST(BundleTest, OneWithSeveralStatesInItIsNone) {
  const Layout layout = defaults();
  for (const char* path : {"var/lib/systemd", "var/lib/apt", "var/lib/private", "var/lib/php"})
    EXPECT_FALSE(layout.is_bundle(path)) << path;
}

TEST(BundleTest, PackageDatabasesAndListsOfPackageScriptsAreNone) {
  const Layout layout = defaults();
  for (const char* path : {"var/lib/dpkg", "var/lib/dpkg/info", "var/lib/rpm", "var/lib/pacman", "var/lib/apache2",
                           "var/lib/alternatives", "var/lib/php/modules", "var/lib/systemd/deb-systemd-helper-enabled"})
    EXPECT_FALSE(layout.is_bundle(path)) << path;
  const Layout wide = *Layout::parse("bundle /lib/*\nbundle /usr/lib/*\n", "layout");
  EXPECT_FALSE(wide.is_bundle("lib/apk")) << "a database is in it";
  EXPECT_FALSE(wide.is_bundle("usr/lib/sysimage"));
  EXPECT_TRUE(wide.is_bundle("usr/lib/x"));
}

TEST(BundleTest, ATextWithoutARuleMeansThoseThatAreBuiltIn) {
  EXPECT_TRUE(Layout::parse("global /usr\n", "layout")->is_bundle("var/lib/mysql"));
  EXPECT_TRUE(Layout::parse("apart /srv/list\n", "layout")->is_bundle("var/lib/mysql"));
  EXPECT_FALSE(Layout::parse("apart /srv/list\n", "layout")->is_bundle("srv/list"));
  EXPECT_FALSE(Layout::parse("bundle none\n", "layout")->is_bundle("var/lib/mysql"));
  const Layout own = *Layout::parse("bundle /data/*\n", "layout");
  EXPECT_TRUE(own.is_bundle("data/x"));
  EXPECT_FALSE(own.is_bundle("var/lib/mysql"));
}

IdentityKind kind_of(const Layout& layout, std::string_view path) {
  const auto rule = layout.identity_of(path);
  return rule ? rule->kind : IdentityKind::omit_keys;  // which identity_of() never gives
}

TEST(IdentityRulesTest, DefaultsAreTheTableOfTheDesign) {
  const Layout layout = defaults();
  using enum IdentityKind;
  for (const auto& [path, kind] : std::vector<std::pair<const char*, IdentityKind>>{
           {"etc/ssh/ssh_host_rsa_key", omit},
           {"etc/ssh/ssh_host_ed25519_key.pub", omit},
           {"etc/ssl/private/ssl-cert-snakeoil.key", omit},
           {"etc/ssl/certs/ssl-cert-snakeoil.pem", omit},
           {"etc/bind/rndc.key", omit},
           {"var/lib/systemd/random-seed", omit},
           {"var/lib/systemd/credential.secret", omit},
           {"var/lib/dhcpcd/duid", omit},
           {"var/lib/dhcp/dhclient.eth0.leases", omit},
           {"etc/shadow-", omit},
           {"etc/subgid-", omit},
           {"root/.bash_history", omit},
           {"home/somebody/.mysql_history", omit},
           {"var/lib/dbus/machine-id", omit},
           {"etc/machine-id", empty},
           {"var/log/wtmp", empty},
           {"etc/hostname", token},
           {"etc/mailname", token},
           {"etc/postfix/main.cf", token},
           {"var/log/apt/history.log", clear},
           {"var/lib/apt/lists/archive.example.org_dists", clear},
           {"var/cache/apt/archives/a.deb", clear},
           {"var/cache/apt/pkgcache.bin", clear},
           {"var/log/journal/0123/system.journal", scratch},
           {"var/tmp/x", scratch},
       })
    EXPECT_EQ(kind_of(layout, path), kind) << path;
  for (const char* path : {"", "etc", "etc/ssh/sshd_config", "etc/passwd", "etc/shadow", "etc/ssl/certs/a.pem", "root",
                           "home/somebody/bash_history", "var/lib/apt/extended_states", "var/cache/apt/archives/lock",
                           "var/cache/debconf/config.dat", "var/lib/dpkg/status-old", "usr/share/x"})
    EXPECT_FALSE(layout.identity_of(path)) << path;
}

TEST(IdentityRulesTest, ATokenMakesItsFileStatic) {
  const Layout layout = defaults({}, {"/etc"});
  EXPECT_EQ(layout.part_of("etc/hostname"), Part::static_part);
  EXPECT_EQ(layout.part_of("etc/postfix/main.cf"), Part::static_part);
  EXPECT_EQ(layout.part_of("etc/postfix/master.cf"), Part::local_part);
  EXPECT_EQ(layout.identity_of("etc/postfix/main.cf")->token, "myhostname = %%VS_FQDN%%");
  EXPECT_EQ(Layout::parse("keep /etc/hostname\n", "layout")->part_of("etc/hostname"), Part::local_part);
}

TEST(IdentityRulesTest, KeepStandsAheadOfTheDefaults) {
  const Layout layout = *Layout::with_defaults({}, {}, {}, std::vector{"/etc/ssh"s, "*.deb"s});
  EXPECT_EQ(kind_of(layout, "etc/ssh/ssh_host_rsa_key"), IdentityKind::keep);
  EXPECT_EQ(kind_of(layout, "var/cache/apt/archives/a.deb"), IdentityKind::keep);
  EXPECT_FALSE(layout.left_out("etc/ssh/ssh_host_rsa_key", sys::FileType::regular));
  EXPECT_FALSE(layout.may_hold_key("etc/ssh/x"));
  EXPECT_EQ(kind_of(layout, "etc/bind/rndc.key"), IdentityKind::omit);
}

TEST(IdentityRulesTest, ATextWithoutARuleOrWithKeepAloneMeansThoseThatAreBuiltIn) {
  EXPECT_EQ(kind_of(*Layout::parse("global /usr\n", "layout"), "etc/shadow-"), IdentityKind::omit);
  const Layout kept = *Layout::parse("keep /etc/shadow-\n", "layout");
  EXPECT_EQ(kind_of(kept, "etc/shadow-"), IdentityKind::keep);
  EXPECT_EQ(kind_of(kept, "etc/passwd-"), IdentityKind::omit);
  for (const char* text : {"identity none\n", "identity none\nkeep /x\n", "omit /etc/x\n"})
    EXPECT_FALSE(Layout::parse(text, "layout")->identity_of("etc/shadow-")) << text;
}

TEST(IdentityRulesTest, RegularFilesAreLeftOutAndAllBelowAScratchDirectory) {
  const Layout layout = defaults();
  using enum sys::FileType;
  EXPECT_TRUE(layout.left_out("etc/ssh/ssh_host_rsa_key", regular));
  EXPECT_FALSE(layout.left_out("etc/ssh/ssh_host_rsa_key", symlink));
  EXPECT_FALSE(layout.left_out("etc/ssh/ssh_host_rsa_key", fifo));
  EXPECT_TRUE(layout.left_out("var/log/a/b", regular));
  EXPECT_FALSE(layout.left_out("var/log/a", directory));
  EXPECT_FALSE(layout.left_out("var/log/README", symlink));
  EXPECT_FALSE(layout.left_out("var/tmp", directory));
  EXPECT_TRUE(layout.left_out("var/tmp/a", directory));
  EXPECT_TRUE(layout.left_out("var/tmp/a/b", symlink));
  EXPECT_FALSE(layout.left_out("etc/machine-id", regular)) << "it is there, empty";
  EXPECT_FALSE(layout.left_out("etc/hostname", regular));
  EXPECT_FALSE(layout.left_out("usr/bin/tar", regular));
}

TEST(IdentityRulesTest, KeysAreLookedForWhereNoOtherRuleDecides) {
  const Layout layout = defaults();
  EXPECT_TRUE(layout.may_hold_key("etc/ssl/private/own.key"));
  EXPECT_TRUE(layout.may_hold_key("var/lib/app/tls.pem"));
  EXPECT_FALSE(layout.may_hold_key("etc/hostname"));
  EXPECT_FALSE(layout.may_hold_key("usr/share/doc/x"));
  EXPECT_FALSE(layout.may_hold_key("var/lib/dpkg/info/x.templates")) << "a package database";
}

TEST(IdentityRulesTest, OmittedPathsAreAddedToTheTextThatIsThere) {
  const std::vector found{"etc/a b.key"s, "var/lib/[x]*\n"s};
  const auto text = Layout::with_omitted("# Mine.\nglobal /usr", "layout", found);
  ASSERT_TRUE(text) << text.error().line();
  EXPECT_TRUE(text->starts_with("# Mine.\nglobal /usr\n")) << *text;
  const auto layout = Layout::parse(*text, "layout");
  ASSERT_TRUE(layout) << layout.error().line();
  for (const std::string& path : found) EXPECT_TRUE(layout->left_out(path, sys::FileType::regular)) << path;
  EXPECT_FALSE(layout->left_out("var/lib/x*\n", sys::FileType::regular));
  EXPECT_EQ(kind_of(*layout, "etc/shadow-"), IdentityKind::omit) << "what is built in still is";
  const auto none = Layout::with_omitted("identity none\n", "layout", found);
  ASSERT_TRUE(none);
  EXPECT_FALSE(Layout::parse(*none, "layout")->identity_of("etc/shadow-"));
}

TEST(LayoutTest, AllRulesAreWrittenOutWithAReason) {
  const std::string text = defaults().text();
  for (const char* line : {"\nbundle /var/lib/*\n", "\napart /var/lib/apache2\n", "\nomit /etc/ssh/ssh_host_*\n",
                           "\ntoken /etc/hostname %%VS_NAME%%\n", "\nomit-keys /etc\n"})
    EXPECT_TRUE(text.contains(line)) << line;
  for (const char* empty : {"bundle none\n", "identity none\nkeep /x\n"}) {
    const std::string again = Layout::parse(empty, "layout")->text();
    EXPECT_EQ(Layout::parse(again, "layout")->text(), again) << empty;
    EXPECT_TRUE(again.contains(empty)) << again;
  }
}

}  // namespace
}  // namespace vskel
