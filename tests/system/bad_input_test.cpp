// Wrong requests: each has its code and a message that names the value, and leaves nothing behind.
#include "tests/support/requirement.h"
#include "tests/support/tar_writer.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

constexpr int kFailed = 1, kWrongRequest = 2;

class BadInputTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    build_base();
    create("web1", "192.0.2.1");
  }

  // `message` must stand in stderr, and no line of it may be longer than one error.
  void expect_refused(const Arguments& arguments, const std::string& message, const std::string& input = "",
                      int code = kWrongRequest) const {
    const StoreSnapshot before = snapshot_store();
    const ProcessResult result = vskel(arguments, input);
    std::string shown;
    for (const std::string& argument : arguments) shown += argument + " ";
    EXPECT_EQ(result.code, code) << shown << result;
    EXPECT_NE(result.err.find(message), std::string::npos) << shown << result;
    EXPECT_NE(result.err.find("vskel: "), std::string::npos) << shown << result;
    EXPECT_EQ(result.out, "") << shown;
    EXPECT_EQ(changes_since(before), "") << shown;
  }

  [[nodiscard]] std::string refused_fleet(const std::string& csv) const {
    const StoreSnapshot before = snapshot_store();
    const ProcessResult result = vskel({"create-vs", "base", "--fleet", "-"}, csv);
    EXPECT_EQ(result.code, kWrongRequest) << csv << result;
    EXPECT_EQ(changes_since(before), "") << csv;
    return result.err;
  }

  void expect_archive_refused(const std::string& bytes, const std::string& entry) const {
    write_file(mount() / "evil.tar", bytes);
    const StoreSnapshot before = snapshot_store();
    const ProcessResult result = vskel({"build-skel", "evil", "--from", (mount() / "evil.tar").string()});
    EXPECT_TRUE(result.code == kFailed || result.code == kWrongRequest) << entry << result;
    EXPECT_NE(result.err.find(entry), std::string::npos) << entry << result;
    EXPECT_EQ(changes_since(before), "") << entry;
  }
};

TEST_P(BadInputTest, BadNames) {
  for (const std::string& name :
       {std::string("-web"), std::string("../web"), std::string("we/b"), std::string("web "), std::string("."),
        std::string("wéb"), std::string("tmp_skel_web"), std::string(64, 'a'), std::string("we\nb")}) {
    const Arguments positional = {"create-vs", "base", "--", name, "a.example.com", "192.0.2.9"};
    const StoreSnapshot before = snapshot_store();
    const ProcessResult result = vskel(positional);
    EXPECT_EQ(result.code, kWrongRequest) << name << result;
    EXPECT_EQ(changes_since(before), "") << name;
  }
  expect_refused({"create-vs", "base", "tmp_skel_web", "a.example.com", "192.0.2.9"}, "tmp_skel_web");
  expect_refused({"build-skel", "../evil", "--from", source().string()}, "../evil");
  expect_refused({"build-skel", std::string(64, 's'), "--from", source().string()}, std::string(64, 's'));
}

TEST_P(BadInputTest, BadAddresses) {
  for (const char* ip : {"192.0.2.256", "192.0.2", "0x7f.1", "010.0.0.1.2", "192.0.2.1/33", "::1/129", "fe80::1%eth0",
                         "0.0.0.0", "224.0.0.1", "host", "1;reboot"}) {
    expect_refused({"create-vs", "base", "web9", "web9.example.com", ip}, ip);
  }
}

TEST_P(BadInputTest, BadHostNames) {
  const std::string long_name = std::string(64, 'a') + ".example.com";
  std::string too_long;
  for (int i = 0; i < 64; ++i) too_long += "abc.";
  for (const std::string& fqdn :
       {std::string("a..b"), std::string("under_score.example.com"), std::string("-a.example.com"),
        std::string("a-.example.com"), std::string("a.b.1"), long_name, too_long + "com", std::string("$(reboot)")}) {
    const StoreSnapshot before = snapshot_store();
    const ProcessResult result = vskel({"create-vs", "base", "--", "web9", fqdn, "192.0.2.9"});
    EXPECT_EQ(result.code, kWrongRequest) << fqdn << result;
    EXPECT_EQ(changes_since(before), "") << fqdn;
  }
}

TEST_P(BadInputTest, UnknownThings) {
  expect_refused({"create-vs", "nosuch", "web9", "web9.example.com", "192.0.2.9"}, "nosuch");
  expect_refused({"show", "nobody"}, "nobody");
  expect_refused({"verify", "nobody"}, "nobody");
  expect_refused({"remove-vs", "nobody", "--yes"}, "nobody");
  expect_refused({"remove-skel", "nosuch", "--yes"}, "nosuch");
  expect_refused({"run-plugins", "nobody"}, "nobody");
}

TEST_P(BadInputTest, UnknownOptionsAndCommands) {
  for (const Arguments& arguments :
       {Arguments{"frobnicate"}, Arguments{"list", "--frobnicate"}, Arguments{}, Arguments{"build-skel"},
        Arguments{"create-vs", "base", "web9", "web9.example.com", "192.0.2.9", "--share", "maybe"},
        Arguments{"create-vs", "base", "web9", "web9.example.com", "192.0.2.9", "--seal", "wax"},
        Arguments{"create-vs", "base", "web9", "web9.example.com", "192.0.2.9", "--context", "-5"},
        Arguments{"create-vs", "base", "web9", "web9.example.com", "192.0.2.9", "extra"}, Arguments{"-j", "0", "list"},
        Arguments{"-j", "many", "list"}}) {
    const StoreSnapshot before = snapshot_store();
    const ProcessResult result = vskel(arguments);
    EXPECT_EQ(result.code, kWrongRequest) << (arguments.empty() ? "no command" : arguments.back()) << result;
    EXPECT_EQ(changes_since(before), "");
  }
}

TEST_P(BadInputTest, MissingValuesWithoutATerminal) {
  expect_refused({"create-vs", "base"}, "NAME");
  expect_refused({"create-vs", "base", "web9"}, "");
  expect_refused({"create-vs", "base", "web9", "web9.example.com"}, "");
}

TEST_P(BadInputTest, WhatIsThereAlready) {
  expect_refused({"create-vs", "base", "web1", "other.example.com", "192.0.2.9"}, "web1");
  expect_refused({"build-skel", "base", "--from", source().string()}, "base");
  expect_refused({"create-vs", "base", "web9", "web9.example.com", "192.0.2.9", "--context", "50"}, "50");
}

TEST_P(BadInputTest, BadSources) {
  for (const fs::path& from :
       {mount() / "no such directory", source() / "usr/bin/tool", source() / "var/lib/odd/socket"}) {
    const StoreSnapshot before = snapshot_store();
    const ProcessResult result = vskel({"build-skel", "evil", "--from", from.string()});
    EXPECT_TRUE(result.code == kFailed || result.code == kWrongRequest) << from << result;
    EXPECT_NE(result.err.find(from.string()), std::string::npos) << result;
    EXPECT_EQ(changes_since(before), "") << from;
  }
}

TEST_P(BadInputTest, BadFleets) {
  const std::string header = "name,fqdn,ip\n";
  EXPECT_NE(refused_fleet("").find("name"), std::string::npos);
  EXPECT_NE(refused_fleet("name,fqdn\na,a.example.com\n").find("ip"), std::string::npos);
  EXPECT_NE(refused_fleet("name,fqdn,ip,ip\n").find("ip"), std::string::npos);
  EXPECT_NE(refused_fleet(header + "a,a.example.com\n").find(":2"), std::string::npos);
  EXPECT_NE(refused_fleet(header + "a,a.example.com,192.0.2.7\na,b.example.com,192.0.2.8\n").find(":3"),
            std::string::npos);
  EXPECT_NE(refused_fleet(header + "a,a.example.com,192.0.2.7\nb,b.example.com,192.0.2.7\n").find(":3"),
            std::string::npos);
  EXPECT_NE(refused_fleet(header + "\"a,a.example.com,192.0.2.7\n").find(":2"), std::string::npos);
  EXPECT_NE(
      refused_fleet("name,fqdn,ip,context\na,a.example.com,192.0.2.7,70\nb,b.example.com,192.0.2.8,70\n").find(":3"),
      std::string::npos);
  EXPECT_NE(refused_fleet(header + "new,new.example.com,192.0.2.7\nweb1,a.example.com,192.0.2.8\n").find("web1"),
            std::string::npos);
}

TEST_P(BadInputTest, ValuesThatLeadOutOfTheConfigurationsDirectory) {
  const fs::path customers = mount() / "customers";
  for (const fs::path& directory : {customers, customers / "good", mount() / "secret"})
    fs::create_directories(directory);
  const std::string file = (mount() / "fleet.csv").string(), long_name(256, 'a');
  struct Case {
    std::string pattern, value, said;
  };
  for (const auto& [pattern, value, said] :
       {Case{"/%%VS_CUSTOMER%%/%%VS_NAME%%.conf", "../secret", "VS_CUSTOMER=../secret: no / may enter"},
        Case{"/%%VS_CUSTOMER%%/%%VS_NAME%%.conf", "good/../../secret", "good/../../secret"},
        Case{"/%%VS_CUSTOMER%%/%%VS_NAME%%.conf", "..", "%%VS_CUSTOMER%%=..: not the name of a file"},
        Case{"/%%VS_CUSTOMER%%/%%VS_NAME%%.conf", ".", "%%VS_CUSTOMER%%=."},
        Case{"/%%VS_CUSTOMER%%%%VS_CUSTOMER%%/%%VS_NAME%%.conf", ".", "=..: not the name of a file"},
        Case{"/.%%VS_CUSTOMER%%/%%VS_NAME%%.conf", ".", "=..: not the name of a file"},
        Case{"/good/%%VS_CUSTOMER%%", "../../secret/web1.conf", "no / may enter"},
        Case{"/good/%%VS_CUSTOMER%%", "", "%%VS_CUSTOMER%%=: not the name of a file"},
        Case{"/good/%%VS_CUSTOMER%%", long_name, "not the name of a file"},
        Case{"/good/%%VS_CIDR%%", "good", "VS_CIDR=192.0.2.1/24: no / may enter"}}) {
    write_file(etc() / "vskel/vskel.toml", "[create]\nconfig = \"" + customers.string() + pattern + "\"\n");
    write_file(file, "name,fqdn,ip,customer\n\nweb7,web7.example.com,192.0.2.1/24," + value + "\n");
    expect_refused({"create-vs", "base", "--fleet", file}, "vskel: " + file + ":3: ");
    expect_refused({"create-vs", "base", "--fleet", file}, said);
  }
  EXPECT_TRUE(fs::is_empty(mount() / "secret"));
  write_file(etc() / "vskel/vskel.toml",
             "[create]\nconfig = \"" + customers.string() + "/%%VS_CUSTOMER%%/%%VS_NAME%%.conf\"\n");
  write_file(file, "name,fqdn,ip,customer\nweb7,web7.example.com,192.0.2.1,good\n");
  EXPECT_EQ(vskel({"create-vs", "base", "--fleet", file}).code, 0);
  EXPECT_TRUE(fs::exists(customers / "good/web7.conf"));
}

TEST_P(BadInputTest, WithoutProcOneLineSaysWhatToDo) {
  VSKEL_REQUIRE(has_program("unshare") ? std::nullopt : std::optional<std::string>("needs unshare"));
  const StoreSnapshot before = snapshot_store();
  for (const Arguments& arguments :
       {Arguments{"build-skel", "new", "--from", source().string()},
        Arguments{"create-vs", "base", "web9", "web9.example.com", "192.0.2.9"}, Arguments{"merge-skel", "base"},
        Arguments{"split-skel", "base"}, Arguments{"relink", "base"}, Arguments{"adopt", "base", "old"},
        Arguments{"diff", "base"}, Arguments{"rollback", "base", "1"}, Arguments{"prune", "base"}, Arguments{"list"},
        Arguments{"show", "web1"}, Arguments{"verify"}, Arguments{"run-plugins", "web1"},
        Arguments{"remove-vs", "--yes", "web1"}, Arguments{"remove-skel", "--yes", "base"}, Arguments{"recover"},
        Arguments{"guard", "status"}, Arguments{"bench"}}) {
    Arguments all = {"unshare", "-m", "sh", "-c", "mount -t tmpfs none /proc && exec \"$@\"", "sh"};
    const Arguments own = command(arguments);
    all.insert(all.end(), own.begin(), own.end());
    const ProcessResult result = run(all);
    EXPECT_EQ(result.code, 1) << arguments.front() << result;
    EXPECT_EQ(result.err, "vskel: open /proc/self/fd: not there; mount /proc first: mount -t proc proc /proc\n");
    EXPECT_EQ(result.out, "") << arguments.front();
  }
  EXPECT_EQ(changes_since(before), "");
}

TEST_P(BadInputTest, OneBadLineOfAThousand) {
  std::string csv = "name,fqdn,ip\n";
  for (int i = 0; i < 1000; ++i) {
    const std::string ip =
        i == 500 ? "10.0.300.1" : "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
    csv += "f" + std::to_string(i) + ",f" + std::to_string(i) + ".example.com," + ip + "\n";
  }
  write_file(mount() / "fleet.csv", csv);
  const std::string file = (mount() / "fleet.csv").string();
  expect_refused({"create-vs", "base", "--fleet", file}, file + ":502");
  expect_refused({"create-vs", "base", "--fleet", file}, "10.0.300.1");
}

TEST_P(BadInputTest, BadCounts) {
  for (const Arguments& options :
       {Arguments{"--count", "3", "--name", "web", "--fqdn", "%s.example.com", "--ip-from", "10.0.0.1"},
        Arguments{"--count", "3", "--name", "%s%n", "--fqdn", "%s.example.com", "--ip-from", "10.0.0.1"},
        Arguments{"--count", "0", "--name", "w%d", "--fqdn", "%s.example.com", "--ip-from", "10.0.0.1"},
        Arguments{"--count", "3", "--name", "w%d", "--fqdn", "%s.example.com", "--ip-from", "255.255.255.254"},
        Arguments{"--count", "3", "--name", "w%d", "--fqdn", "%s.example.com"}}) {
    Arguments arguments = {"create-vs", "base"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const StoreSnapshot before = snapshot_store();
    const ProcessResult result = vskel(arguments);
    EXPECT_EQ(result.code, kWrongRequest) << options[3] << result;
    EXPECT_EQ(changes_since(before), "");
  }
}

TEST_P(BadInputTest, EvilArchives) {
  write_file(mount() / "victim", "untouched");
  const std::string victim = (mount() / "victim").string();
  expect_archive_refused(TarWriter().file("/absolute", "x").bytes(), "absolute");
  expect_archive_refused(TarWriter().file("usr/../../escape", "x").bytes(), "escape");
  expect_archive_refused(TarWriter().symlink("link", mount().string()).file("link/victim", "gone").bytes(),
                         "link/victim");
  expect_archive_refused(TarWriter().symlink("link", "..").file("link/planted", "x").bytes(), "link/planted");
  expect_archive_refused(TarWriter().hard_link("copy", "../../../../../../../../etc/passwd").bytes(), "copy");
  expect_archive_refused(TarWriter().hard_link("copy", "not-there").bytes(), "copy");
  expect_archive_refused(TarWriter().file("twice", "a").file("twice", "b").bytes(), "twice");
  EXPECT_EQ(read_file(mount() / "victim"), "untouched");
  EXPECT_FALSE(fs::exists(mount() / "planted"));
}

TEST_P(BadInputTest, DamagedArchives) {
  const std::string whole = TarWriter().directory("usr/").file("usr/file", std::string(5000, 'x')).bytes();
  for (const std::string& bytes : {std::string("not an archive at all"), std::string(), whole.substr(0, 2000)}) {
    write_file(mount() / "damaged.tar", bytes);
    const StoreSnapshot before = snapshot_store();
    const ProcessResult result = vskel({"build-skel", "evil", "--from", (mount() / "damaged.tar").string()});
    EXPECT_TRUE(result.code == kFailed || result.code == kWrongRequest) << bytes.size() << result;
    EXPECT_EQ(changes_since(before), "");
  }
}

TEST_P(BadInputTest, DamagedStoreFiles) {
  write_file(etc() / "contexts/nextid", "minus one\n");
  const StoreSnapshot before = snapshot_store();
  const ProcessResult result = vskel({"create-vs", "base", "web9", "web9.example.com", "192.0.2.9"});
  if (result.code == 0) {  // rebuilt from the links: then it must be right
    EXPECT_EQ(inconsistencies(), "");
    EXPECT_EQ(fs::read_symlink(etc() / "contexts/51"), vserver("web9"));
  } else {
    EXPECT_NE(result.err.find("nextid"), std::string::npos) << result;
    EXPECT_EQ(changes_since(before), "");
  }
  write_file(record("web1"), "{ not json");
  const ProcessResult listed = vskel({"list"});
  EXPECT_NE((listed.out + listed.err).find("web1"), std::string::npos) << listed;
}

TEST_P(BadInputTest, MessagesHaveNoControlCharacters) {
  const ProcessResult result = vskel({"show", "a\x1b[31mb\x07"});
  EXPECT_EQ(result.code, kWrongRequest);
  for (const char c : result.err)
    EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << static_cast<int>(c);
}

INSTANTIATE_TEST_SUITE_P(On, BadInputTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
