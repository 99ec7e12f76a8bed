// What is one machine's own, or of no use to another, is in no skel and in no vserver, however it came into the tree
// that the skel is made from.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

const std::string kKey = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";

class IdentityTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (const auto& [path, content] : std::map<std::string, std::string>{
             {"etc/hostname", "builder\n"},
             {"etc/mailname", "builder.example.com\n"},
             {"etc/machine-id", "0123456789abcdef0123456789abcdef\n"},
             {"var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n"},
             {"etc/postfix/main.cf",
              "# See postconf(5).\nmyhostname = builder.example.com\nmyorigin = /etc/mailname\n"},
             {"etc/motd", "Welcome to builder.\n"},
             {"etc/builders", "builders of rebuilder\n"},
             {"etc/ssh/sshd_config", "# HostKey /etc/ssh/ssh_host_rsa_key\n"},
             {"etc/ssh/ssh_host_rsa_key", kKey},
             {"etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa AAAA root@builder\n"},
             {"etc/ssl/private/ssl-cert-snakeoil.key", kKey},
             {"etc/ssl/certs/ssl-cert-snakeoil.pem", "-----BEGIN CERTIFICATE-----\n"},
             {"etc/bind/rndc.key", "secret\n"},
             {"etc/app/tls.conf", "certificate and key:\n" + kKey},
             {"etc/app/app.conf", "# put your -----BEGIN PRIVATE KEY----- here\n"},
             {"etc/shadow-", "root:$y$j9T$old$old:19000::::::\n"},
             {"var/lib/systemd/random-seed", "seed"},
             {"var/lib/app/own key", kKey},
             {"var/log/apt/history.log", "12345"},
             {"var/log/wtmp", "logins"},
             {"var/log/journal/0123/system.journal", "journal"},
             {"var/lib/apt/lists/lock", ""},
             {"var/lib/apt/lists/deb.example.com_Packages", "1234567890"},
             {"var/cache/apt/archives/a.deb", "deb"},
             {"var/cache/apt/pkgcache.bin", "bin"},
             {"var/tmp/some/deep/file", "tmp"},
             {"root/.profile", "# root's\n"},
             {"root/.bash_history", "rm -rf /\n"},
             {"home/user/file", "user's\n"},
         })
      put(source() / path, content);
    fs::create_symlink("ssl-cert-snakeoil.pem", source() / "etc/ssl/certs/3ab41ef0.0");
    fs::permissions(source() / "var/log/apt", fs::perms(0750));
    fs::permissions(source() / "var/log/wtmp", fs::perms(0664));
    ASSERT_EQ(::chown((source() / "var/log/wtmp").c_str(), 0, 43), 0);
  }

  static void put(const fs::path& path, const std::string& content) {
    fs::create_directories(path.parent_path());
    write_file(path, content);
  }
  [[nodiscard]] Json build(const Arguments& options = {}) const {
    Arguments arguments = {"build-skel", "base", "--from", source().string()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return vskel_json(arguments);
  }
  [[nodiscard]] bool in_skel(const std::string& path) const {
    return std::ranges::any_of(std::array{"global", "local", "static"},
                               [&](const char* part) { return fs::exists(fs::symlink_status(skel() / part / path)); });
  }
  /// The paths that the lines of a list of a report begin with.
  [[nodiscard]] static std::set<std::string> paths_of(const Json& list) {
    std::set<std::string> paths;
    for (const std::string line : list) paths.insert(line.substr(0, line.find(':')));
    return paths;
  }
  [[nodiscard]] static bool names(const fs::path& tree, const std::string& word) {
    const ProcessResult found = run({"grep", "-rIw", "--devices=skip", word, tree.string()});
    return found.code == 0;
  }
  [[nodiscard]] fs::path merged() const { return vservers() / "tmp_skel_base"; }
};

TEST_P(IdentityTest, WhatIsOneMachinesOwnIsLeftOutAndToldByName) {
  const Json report = build();
  const std::set<std::string> omitted = paths_of(report.at("omitted"));
  for (const char* path :
       {"etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_host_rsa_key.pub", "etc/ssl/private/ssl-cert-snakeoil.key",
        "etc/ssl/certs/ssl-cert-snakeoil.pem", "etc/ssl/certs/3ab41ef0.0", "etc/bind/rndc.key", "etc/app/tls.conf",
        "etc/shadow-", "var/lib/systemd/random-seed", "var/lib/app/own key", "root/.bash_history",
        "var/lib/dbus/machine-id"}) {
    EXPECT_TRUE(omitted.contains("/" + std::string(path))) << path << report;
    EXPECT_FALSE(in_skel(path)) << path;
    EXPECT_TRUE(fs::exists(fs::symlink_status(source() / path))) << "the source keeps it: " << path;
  }
  EXPECT_TRUE(in_skel("etc/app/app.conf")) << "it only speaks of a key";
  EXPECT_TRUE(in_skel("etc/ssh/sshd_config"));
  const std::string layout = read_file(skel() / "layout");
  EXPECT_TRUE(layout.contains("\nomit /etc/app/tls.conf\n")) << "relink knows it by its path";
}

TEST_P(IdentityTest, AMachineIdIsEmptied) {
  (void)build();
  EXPECT_TRUE(fs::is_empty(skel() / "local/etc/machine-id"));
  EXPECT_EQ(fs::status(skel() / "local/etc/machine-id").permissions(), fs::perms(0444));
}

TEST_P(IdentityTest, CachesAndLogsAreLeftOutAndCounted) {
  const Json report = build();
  std::map<std::string, std::pair<int, int>> counts;
  for (const Json& one : report.at("left_out")) counts[one.at("path")] = {one.at("files"), one.at("bytes")};
  EXPECT_EQ(counts.at("/var/log"), std::pair(2, 9)) << report;  // history.log, and the syslog of every source here
  EXPECT_EQ(counts.at("/var/log/journal"), std::pair(1, 7));
  EXPECT_EQ(counts.at("/var/lib/apt/lists"), std::pair(2, 10));
  EXPECT_EQ(counts.at("/var/cache/apt/archives/*.deb"), std::pair(1, 3));
  EXPECT_EQ(counts.at("/var/cache/apt/*.bin"), std::pair(1, 3));
  EXPECT_EQ(counts.at("/var/tmp"), std::pair(1, 3));
  const fs::path local = skel() / "local";
  EXPECT_EQ(fs::status(local / "var/log/apt").permissions(), fs::perms(0750)) << "directories stay";
  EXPECT_TRUE(fs::is_empty(local / "var/log/apt"));
  EXPECT_TRUE(fs::is_empty(local / "var/log/journal")) << "what is in it is named by the machine's id";
  EXPECT_TRUE(fs::is_empty(local / "var/tmp"));
  struct stat wtmp {};
  ASSERT_EQ(::lstat((local / "var/log/wtmp").c_str(), &wtmp), 0) << "logins are written down only where it is";
  EXPECT_EQ(wtmp.st_size, 0);
  EXPECT_EQ(wtmp.st_mode & 07777U, 0664U);
  EXPECT_EQ(wtmp.st_gid, 43U);
}

TEST_P(IdentityTest, TheReportHasALineForEachKind) {
  const ProcessResult result = vskel({"build-skel", "base", "--from", source().string()});
  EXPECT_TRUE(result.out.contains("left out /var/log: 2 files, 9 B\n")) << result;
  EXPECT_TRUE(result.out.contains("left out /etc/shadow-: one machine's own\n")) << result;
  EXPECT_TRUE(result.out.contains("left out /etc/app/tls.conf: a private key is in it\n")) << result;
}

TEST_P(IdentityTest, EveryVserverHasItsOwnNameAndNoneTheBuilders) {
  const Json report = build();
  create("web", "192.0.2.1");
  EXPECT_EQ(read_file(vserver("web") / "etc/hostname"), "web\n");
  EXPECT_EQ(read_file(vserver("web") / "etc/mailname"), "web.example.com\n");
  EXPECT_EQ(read_file(vserver("web") / "etc/postfix/main.cf"),
            "# See postconf(5).\nmyhostname = web.example.com\nmyorigin = /etc/mailname\n");
  EXPECT_TRUE(paths_of(report.at("look_at")).contains("/etc/motd")) << report;
  EXPECT_FALSE(paths_of(report.at("look_at")).contains("/etc/builders"));
  fs::remove(vserver("web") / "etc/motd");  // which the administrator was told of
  EXPECT_FALSE(names(vserver("web"), "builder"));
}

TEST_P(IdentityTest, HomesAreTakenFromADirectoryUnlessTheyAreToBeEmptied) {
  (void)build();
  EXPECT_TRUE(in_skel("root/.profile"));
  EXPECT_TRUE(in_skel("home/user/file"));
  const ProcessResult emptied = vskel({"build-skel", "other", "--from", source().string(), "--empty-homes"});
  ASSERT_EQ(emptied.code, 0) << emptied;
  EXPECT_TRUE(fs::is_empty(skel("other") / "local/root"));
  EXPECT_TRUE(fs::is_empty(skel("other") / "local/home"));
}

TEST_P(IdentityTest, KeepTakesThemAndTheLayoutSaysSo) {
  const Json report = build({"--keep", "/etc/ssh", "--keep", "/var/log", "--keep", "/etc/app/tls.conf", "--keep",
                             "/etc/hostname", "--keep", "/var/tmp"});
  EXPECT_EQ(read_file(skel() / "local/etc/ssh/ssh_host_rsa_key"), kKey);
  EXPECT_EQ(read_file(skel() / "local/var/log/wtmp"), "logins");
  EXPECT_EQ(read_file(skel() / "local/var/log/apt/history.log"), "12345");
  EXPECT_EQ(read_file(skel() / "local/etc/hostname"), "builder\n");
  EXPECT_TRUE(in_skel("etc/app/tls.conf"));
  EXPECT_TRUE(in_skel("var/tmp/some/deep/file"));
  EXPECT_FALSE(in_skel("etc/shadow-"));
  EXPECT_TRUE(paths_of(report.at("look_at")).contains("/etc/ssh/ssh_host_rsa_key")) << report;
  EXPECT_TRUE(read_file(skel() / "layout").contains("\nkeep /etc/ssh\n"));
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  EXPECT_EQ(vskel_json({"split-skel", "base"}).at("generation"), 1) << "nor does a split take them out";
}

TEST_P(IdentityTest, PathsMayBeMadeStatic) {
  (void)build({"--static", "/etc/motd"});
  EXPECT_TRUE(fs::exists(skel() / "static/etc/motd"));
  EXPECT_FALSE(fs::exists(skel() / "local/etc/motd"));
}

TEST_P(IdentityTest, ADryRunSaysTheSame) {
  Json foretold = build({"--dry-run"});
  const Json done = build();
  EXPECT_EQ(foretold.at("omitted"), done.at("omitted"));
  EXPECT_EQ(foretold.at("left_out"), done.at("left_out"));
}

TEST_P(IdentityTest, WhatAPackageScriptMakesIsSetAside) {
  (void)build();
  create("web", "192.0.2.1");
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  put(merged() / "etc/ssh/ssh_host_ed25519_key", kKey);
  fs::permissions(merged() / "etc/ssh/ssh_host_ed25519_key", fs::perms(0600));
  put(merged() / "etc/new/server.key", kKey);
  put(merged() / "etc/new/server.conf", "new\n");
  put(merged() / "etc/machine-id", "fedcba9876543210fedcba9876543210\n");
  put(merged() / "var/log/new/new.log", "log");
  put(merged() / "var/cache/apt/archives/new.deb", "deb");
  const Json report = vskel_json({"split-skel", "base"});
  EXPECT_EQ(report.at("generation"), 2);
  EXPECT_EQ(report.at("added"), 1) << report;
  EXPECT_EQ(report.at("changed"), 0) << report;
  EXPECT_EQ(report.at("removed"), 0) << report;
  EXPECT_EQ(paths_of(report.at("set_aside")),
            (std::set<std::string>{"/etc/new/server.key", "/etc/ssh/ssh_host_ed25519_key"}));
  const fs::path aside = skel() / "generations/0002.set-aside";
  EXPECT_EQ(fs::status(aside).permissions(), fs::perms::owner_all);
  EXPECT_EQ(read_file(aside / "etc/ssh/ssh_host_ed25519_key"), kKey);
  EXPECT_EQ(fs::status(aside / "etc/ssh/ssh_host_ed25519_key").permissions(), fs::perms(0600));
  EXPECT_EQ(report.at("left_out").size(), 2U) << report;
  EXPECT_FALSE(in_skel("etc/ssh/ssh_host_ed25519_key"));
  EXPECT_FALSE(in_skel("etc/new/server.key"));
  EXPECT_TRUE(in_skel("etc/new/server.conf"));
  EXPECT_TRUE(fs::is_empty(skel() / "local/etc/machine-id"));
  EXPECT_TRUE(fs::is_directory(skel() / "local/var/log/new"));
  EXPECT_TRUE(fs::is_empty(skel() / "local/var/log/new"));
  EXPECT_TRUE(read_file(skel() / "layout").contains("\nomit /etc/new/server.key\n"));
  EXPECT_EQ(vskel({"verify"}).code, 0);
  EXPECT_EQ(inconsistencies(), "");
  ASSERT_EQ(vskel({"relink", "base"}).code, 0);
  EXPECT_FALSE(fs::exists(vserver("web") / "etc/new/server.key"));
  EXPECT_TRUE(fs::exists(vserver("web") / "etc/new/server.conf"));
}

TEST_P(IdentityTest, APackageThatComesLaterGetsItsToken) {
  fs::remove_all(source() / "etc/postfix");
  fs::remove(source() / "etc/mailname");
  (void)build();
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  put(merged() / "etc/mailname", "host.example.net\n");
  put(merged() / "etc/postfix/main.cf", "myhostname = host.example.net\ncompatibility_level = 3.6\n");
  ASSERT_EQ(vskel({"split-skel", "base"}).code, 0);
  EXPECT_EQ(read_file(skel() / "static/etc/mailname"), "%%VS_FQDN%%\n");
  EXPECT_EQ(read_file(skel() / "static/etc/postfix/main.cf"), "myhostname = %%VS_FQDN%%\ncompatibility_level = 3.6\n");
  EXPECT_FALSE(fs::exists(skel() / "local/etc/mailname"));
  EXPECT_EQ(vskel({"verify"}).code, 0);
  create("web", "192.0.2.1");
  EXPECT_EQ(read_file(vserver("web") / "etc/mailname"), "web.example.com\n");
  // Another script writes the host's name again: it is the token still.
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  put(merged() / "etc/mailname", "host.example.net\n");
  put(merged() / "etc/hostname", "host\n");
  const Json again = vskel_json({"split-skel", "base"});
  EXPECT_EQ(again.at("generation"), 2) << again;
  EXPECT_TRUE(again.at("set_aside").empty()) << again;
  EXPECT_EQ(read_file(skel() / "static/etc/mailname"), "%%VS_FQDN%%\n");
}

/// Version 0.1 wrote a layout without these rules, and had the keys in its generations.
TEST_P(IdentityTest, PackageScriptsFindFilesWithATokenAndWhatTheyWriteIsTheSkels) {
  static_cast<void>(build());
  const fs::path merged = vservers() / "tmp_skel_base";
  const std::string main_cf = "etc/postfix/main.cf";
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  EXPECT_EQ(read_file(merged / main_cf), read_file(skel() / "static" / main_cf));
  EXPECT_EQ(read_file(merged / "etc/hostname"), "%%VS_NAME%%\n");
  // Looked at, and nothing else.
  Json split = vskel_json({"split-skel", "base"});
  EXPECT_EQ(split.at("generation"), 1) << split;
  // As postconf -e does it, by a new file; and the name of the host that it ran on.
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  put(merged / "etc/postfix/main.cf.tmp", "compatibility_level = 3.6\nmyhostname = builder\n");
  fs::rename(merged / "etc/postfix/main.cf.tmp", merged / main_cf);
  write_file(merged / "etc/hostname", "builder\n");
  const Json foretold = vskel_json({"split-skel", "base", "--dry-run"});
  split = vskel_json({"split-skel", "base"});
  EXPECT_EQ(split.at("generation"), 2) << split;
  EXPECT_EQ(split.at("parts"), foretold.at("parts"));
  EXPECT_EQ(split.at("parts").at("static").at("changed"), 1) << split;
  EXPECT_EQ(read_file(skel() / "static" / main_cf), "compatibility_level = 3.6\nmyhostname = %%VS_FQDN%%\n");
  EXPECT_EQ(read_file(skel() / "static/etc/hostname"), "%%VS_NAME%%\n");
  create("web1", "192.0.2.1");
  EXPECT_EQ(read_file(vserver("web1") / main_cf), "compatibility_level = 3.6\nmyhostname = web1.example.com\n");
  // Edited meanwhile, static stays as the administrator has it.
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  write_file(merged / main_cf, "a script's\nmyhostname = x\n");
  write_file(skel() / "static" / main_cf, "edited\nmyhostname = %%VS_FQDN%%\n");
  split = vskel_json({"split-skel", "base"});
  EXPECT_EQ(read_file(skel() / "static" / main_cf), "edited\nmyhostname = %%VS_FQDN%%\n");
  EXPECT_EQ(paths_of(split.at("set_aside")), std::set<std::string>{"/" + main_cf});
  EXPECT_EQ(inconsistencies(), "");
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 0) << verified;
}

TEST_P(IdentityTest, ASkelOfVersion01LosesThemAtItsNextSplit) {
  (void)build({"--keep", "/etc", "--keep", "/var"});
  std::string layout = read_file(skel() / "layout");
  layout.resize(layout.find("\n\n") + 1);  // the parts alone
  write_file(skel() / "layout", layout);
  create("web", "192.0.2.1");
  ASSERT_TRUE(fs::exists(vserver("web") / "etc/app/tls.conf"));
  ASSERT_EQ(vskel({"merge-skel", "base"}).code, 0);
  const Json report = vskel_json({"split-skel", "base"});
  EXPECT_TRUE(paths_of(report.at("set_aside")).contains("/etc/ssh/ssh_host_rsa_key")) << report;
  EXPECT_FALSE(in_skel("etc/ssh/ssh_host_rsa_key"));
  EXPECT_FALSE(in_skel("etc/app/tls.conf"));
  EXPECT_EQ(read_file(skel() / "static/etc/hostname"), "%%VS_NAME%%\n");
  EXPECT_FALSE(fs::exists(skel() / "local/etc/hostname"));
  const std::string now = read_file(skel() / "layout");
  EXPECT_TRUE(now.starts_with(layout)) << now;
  EXPECT_TRUE(now.contains("\nomit /etc/app/tls.conf\n") && now.contains("\nomit /etc/shadow-\n")) << now;
  EXPECT_EQ(vskel({"verify"}).code, 0);
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(IdentityTest, OddSourcesAreTakenAsTheyAre) {
  fs::remove(source() / "etc/hostname");
  fs::create_symlink("../run/hostname", source() / "etc/hostname");
  fs::remove(source() / "etc/mailname");
  ASSERT_EQ(::mkfifo((source() / "etc/mailname").c_str(), 0644), 0);
  ASSERT_EQ(::mkfifo((source() / "etc/ssh/ssh_host_x").c_str(), 0600), 0);
  fs::create_directories(source() / "etc/machine-id.d");
  put(source() / "etc/ssh/ssh_host_dir/file", "in a directory of such a name");
  fs::create_symlink("/nowhere", source() / "var/log/link");
  put(source() / "etc/huge.key", kKey);
  fs::resize_file(source() / "etc/huge.key", 100 << 20);
  (void)build();
  EXPECT_TRUE(fs::is_symlink(skel() / "static/etc/hostname"));
  EXPECT_TRUE(fs::is_fifo(skel() / "static/etc/mailname"));
  EXPECT_TRUE(fs::is_fifo(skel() / "local/etc/ssh/ssh_host_x"));
  EXPECT_TRUE(fs::is_directory(skel() / "local/etc/ssh/ssh_host_dir"));
  EXPECT_FALSE(in_skel("etc/ssh/ssh_host_dir/file"));
  EXPECT_TRUE(fs::is_symlink(skel() / "local/var/log/link"));
  EXPECT_TRUE(in_skel("etc/huge.key")) << "no text";
  create("web", "192.0.2.1");
  EXPECT_EQ(vskel({"verify"}).code, 0);
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(IdentityTest, ANameThatTellsNothingListsNothing) {
  int number = 0;
  for (const std::string name : {"", "localhost\n", "localhost.localdomain\n", ".*\n", "[\n", "(none)\n"}) {
    write_file(source() / "etc/hostname", name);
    write_file(source() / "etc/motd", name + "localhost .* [ (none)\n");
    const std::string skel_name = "s" + std::to_string(++number);
    const Json report = vskel_json({"build-skel", skel_name, "--from", source().string()});
    EXPECT_FALSE(paths_of(report.at("look_at")).contains("/etc/motd")) << report;
  }
  write_file(source() / "etc/hostname", "common\n");
  for (int file = 0; file < 50; ++file) put(source() / "etc/many" / std::to_string(file), "common\n");
  const Json report = build();
  EXPECT_LT(report.at("look_at").size(), 40U) << report;
  EXPECT_TRUE(report.at("look_at").dump().contains("30 more files")) << report;
}

// --- the plugin

class IdentityPluginTest : public IdentityTest {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(has_program("ssh-keygen") && has_program("openssl")
                      ? std::nullopt
                      : std::optional<std::string>("needs ssh-keygen and openssl"));
    IdentityTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    // BUILD/cli/vskel, BUILD/tools/plugins/identity
    const fs::path plugin = fs::path(VSKEL_PROGRAM).parent_path() / "../tools/plugins/identity";
    ASSERT_TRUE(fs::exists(plugin)) << plugin << ": build the target identity_plugin";
    fs::create_directories(etc() / "vskel/scripts");
    fs::copy_file(plugin, etc() / "vskel/scripts/identity");
    fs::permissions(etc() / "vskel/scripts/identity", fs::perms(0755));
    put(source() / "usr/sbin/make-ssl-cert", "#!/bin/sh\n");
    put(source() / "usr/sbin/sshd", "the server\n");
    write_file(source() / "etc/group", "root:x:0:\nssl-cert:x:107:\n");
  }
};

TEST_P(IdentityPluginTest, MakesKeysForEachVserverOfItsOwn) {
  (void)build();
  create("one", "192.0.2.1");
  create("two", "192.0.2.2");
  for (const char* kind : {"rsa", "ecdsa", "ed25519"}) {
    const std::string key = std::string("etc/ssh/ssh_host_") + kind + "_key";
    EXPECT_NE(read_file(vserver("one") / key), read_file(vserver("two") / key)) << key;
    EXPECT_EQ(fs::status(vserver("one") / key).permissions(), fs::perms(0600));
    EXPECT_TRUE(read_file(vserver("one") / (key + ".pub")).ends_with(" root@one\n"));
    EXPECT_EQ(run({"ssh-keygen", "-y", "-P", "", "-f", (vserver("one") / key).string()}).code, 0);
  }
  const fs::path private_key = vserver("one") / "etc/ssl/private/ssl-cert-snakeoil.key";
  const fs::path certificate = vserver("one") / "etc/ssl/certs/ssl-cert-snakeoil.pem";
  struct stat status {};
  ASSERT_EQ(::lstat(private_key.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0640U);
  EXPECT_EQ(status.st_gid, 107U) << "of the vserver's own group ssl-cert";
  const ProcessResult subject =
      run({"openssl", "x509", "-noout", "-subject", "-ext", "subjectAltName", "-in", certificate.string()});
  EXPECT_TRUE(subject.out.contains("one.example.com")) << subject;
  EXPECT_EQ(run({"openssl", "verify", "-CAfile", certificate.string(), certificate.string()}).code, 0);
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(IdentityPluginTest, LeavesKeysThatAreThereAlone) {
  (void)build({"--keep", "/etc/ssh"});
  create("one", "192.0.2.1");
  EXPECT_EQ(read_file(vserver("one") / "etc/ssh/ssh_host_rsa_key"), kKey);
  EXPECT_FALSE(fs::exists(vserver("one") / "etc/ssh/ssh_host_ecdsa_key"));
  const std::string snakeoil = read_file(vserver("one") / "etc/ssl/private/ssl-cert-snakeoil.key");
  ASSERT_EQ(vskel({"run-plugins", "one"}).code, 0);
  EXPECT_EQ(read_file(vserver("one") / "etc/ssl/private/ssl-cert-snakeoil.key"), snakeoil);
}

TEST_P(IdentityPluginTest, FollowsNoLinkOfATenants) {
  (void)build();
  create("one", "192.0.2.1");
  const fs::path outside = mount() / "outside";
  fs::create_directories(outside);
  fs::remove_all(vserver("one") / "etc/ssh");
  fs::create_symlink(outside, vserver("one") / "etc/ssh");
  fs::remove(vserver("one") / "etc/ssl/private/ssl-cert-snakeoil.key");
  fs::remove(vserver("one") / "etc/ssl/certs/ssl-cert-snakeoil.pem");
  fs::create_symlink(outside / "cert", vserver("one") / "etc/ssl/certs/ssl-cert-snakeoil.pem");
  const ProcessResult again = vskel({"run-plugins", "one"});
  EXPECT_NE(again.code, 0) << again;
  EXPECT_TRUE(fs::is_empty(outside)) << again;
}

INSTANTIATE_TEST_SUITE_P(On, IdentityTest, kOneFileSystem, kParameterName);
INSTANTIATE_TEST_SUITE_P(On, IdentityPluginTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
