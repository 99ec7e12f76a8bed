// Names, host names, addresses and columns as an attacker would choose them: what is refused leaves nothing, and what
// is taken reaches every writer (configuration, static files, record, list) as it was meant, and a shell that reads the
// configuration as nothing but variables.
//
// Costs some two seconds.
#include <sstream>

#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

using namespace std::string_literals;

constexpr int kRefused = 2;

/// No name, no host name and no address.
const std::vector<std::string> kAttacks{"$(touch /tmp/x)",
                                        "`id`",
                                        "a;id",
                                        "a|id",
                                        "a&id",
                                        "a>b",
                                        "a<b",
                                        "a\"b",
                                        "a'b",
                                        "a\\b",
                                        "a\nS_CAPS=CAP_SYS_ADMIN",
                                        "a\rb",
                                        "a\tb",
                                        "a b",
                                        " a",
                                        "a ",
                                        "${IFS}",
                                        "$HOME",
                                        "a#b",
                                        "a=b",
                                        "a*",
                                        "a?",
                                        "[a]",
                                        "{a,b}",
                                        "~root",
                                        "!a",
                                        "a%n",
                                        "%s%s%s%n",
                                        "../../etc/shadow",
                                        "..",
                                        ".",
                                        "/etc/shadow",
                                        "a/b",
                                        "a/../b",
                                        "-rf",
                                        "--help",
                                        "a\x1b[2J",
                                        "a\x7f",
                                        "a\x9b",
                                        "\xff\xfe",
                                        "a\xc0\xaf",
                                        "w\xc3\xa9"
                                        "b",
                                        "\xe2\x80\xae"
                                        "a",
                                        "\xef\xbc\x8f",
                                        "%%VS_NAME%%",
                                        "a%%VS_IP%%",
                                        "a\"\nid\n\"",
                                        std::string(64, 'a') + "_",
                                        std::string(4096, 'a')};

class AttackInputTest : public VskelTest {
 protected:
  void SetUp() override {
    VskelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    fs::remove(etc() / "vskel/configfile.default");  // vskel's own, then
    build_base();
  }

  void expect_nothing_of(const Arguments& arguments, const std::string& input, const std::string& shown) const {
    const ProcessResult result = vskel(arguments, input);
    EXPECT_EQ(result.code, kRefused) << testing::PrintToString(shown) << result;
    for (const char c : result.err)
      ASSERT_TRUE(c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f)) << testing::PrintToString(shown);
    ASSERT_EQ(result.out, "") << testing::PrintToString(shown);
  }

  /// The variables of a shell that has read `file`, and of one that has not: NAME=VALUE, as `set` prints them. Neither
  /// finds a program to run, nor a file to write but in its own directory, of which the names are given under "".
  [[nodiscard]] std::set<std::string> variables(const fs::path& file) const {
    const fs::path cell = mount() / "cell";
    fs::remove_all(cell);
    fs::create_directory(cell);
    const std::string script = file.empty() ? "set" : ". " + file.string() + " && set";
    ProcessOptions options;
    options.directory = cell.string();
    const ProcessResult result = run({"env", "-i", "PATH=/nonexistent", "/bin/sh", "-c", script}, options);
    EXPECT_EQ(result.code, 0) << result;
    EXPECT_EQ(result.err, "");
    EXPECT_EQ(names_in(cell), std::set<std::string>());
    std::set<std::string> out;
    std::istringstream lines(result.out);
    for (std::string line; std::getline(lines, line);) out.insert(line);
    return out;
  }
};

TEST_P(AttackInputTest, AnAttackIsRefusedWhereverItStandsAndLeavesNothing) {
  const StoreSnapshot before = snapshot_store();
  for (const std::string& attack : kAttacks) {
    // A name may be longer than the kernel takes, but no argument may hold what would end it.
    expect_nothing_of({"create-vs", "base", "--", attack, "a.example.com", "192.0.2.9"}, "", attack);
    expect_nothing_of({"create-vs", "base", "--", "web9", attack, "192.0.2.9"}, "", attack);
    expect_nothing_of({"create-vs", "base", "--", "web9", "a.example.com", attack}, "", attack);
    std::string quoted = "\"";
    for (const char c : attack) quoted.append(c == '"' ? 2 : 1, c);
    quoted += "\"";
    // Space around a field is no part of it.
    if (attack.starts_with(' ') || attack.ends_with(' ')) continue;
    expect_nothing_of({"create-vs", "base", "--fleet", "-"},
                      "name,fqdn,ip\nweb8,b.example.com,192.0.2.8\n" + quoted + ",a.example.com,192.0.2.9\n", attack);
    expect_nothing_of({"create-vs", "base", "--fleet", "-"},
                      "name,fqdn,ip," + quoted + "\nweb9,a.example.com,192.0.2.9,x\n", attack);
    ASSERT_FALSE(HasFailure()) << testing::PrintToString(attack);
  }
  EXPECT_EQ(changes_since(before), "");
}

TEST_P(AttackInputTest, AColumnReachesNoConfigurationUnlessItIsHarmless) {
  write_file(skel() / "configfile", "IPROOT=\"%%VS_IP%%\"\nCOLOUR=\"%%VS_COLOUR%%\"\n");
  const StoreSnapshot before = snapshot_store();
  for (const std::string& attack : kAttacks) {
    const bool is_plain = std::ranges::all_of(attack, [](unsigned char c) {
      return std::isalnum(c) != 0 || std::string_view("._:/@+-").contains(static_cast<char>(c));
    });
    if (is_plain || attack.starts_with(' ') || attack.ends_with(' ')) continue;
    std::string quoted = "\"";
    for (const char c : attack) quoted.append(c == '"' ? 2 : 1, c);
    quoted += "\"";
    const std::string fleet = "name,fqdn,ip,colour\nweb1,web1.example.com,192.0.2.1," + quoted + "\n";
    const ProcessResult result = vskel({"create-vs", "base", "--fleet", "-"}, fleet);
    EXPECT_EQ(result.code, kRefused) << testing::PrintToString(attack) << result;
  }
  EXPECT_EQ(changes_since(before), "");
}

TEST_P(AttackInputTest, AShellThatReadsAConfigurationGetsItsVariablesAndNothingElse) {
  const std::string longest = "a" + std::string(61, '.') + "-";
  const std::string fleet = "name,fqdn,ip,colour\n" + longest +
                            ",X-1.example.com,2001:DB8::1/64,\"$(touch cell); `id` \"\"\"\n" +
                            "7_-.,localhost,192.0.2.7/24,'\"\"\n";
  ASSERT_EQ(vskel({"create-vs", "base", "--fleet", "-"}, fleet).code, kRefused);  // a quote out of place
  write_file(skel() / "static/etc/colour", "%%VS_COLOUR%%|%%VS_NAME%%\n");
  const std::string good = "name,fqdn,ip,colour\n" + longest +
                           ",X-1.example.com,2001:DB8::1/64,\"$(touch cell); `id` %%VS_NAME%%\"\n" +
                           "7_-.,localhost,192.0.2.7/24,\n";
  const ProcessResult created = vskel({"create-vs", "base", "--fleet", "-"}, good);
  ASSERT_EQ(created.code, 0) << created;
  const std::set<std::string> bare = variables({});
  struct Expected {
    std::string name, fqdn, address, host;
    unsigned context;
  };
  for (const Expected& expected : {Expected{longest, "X-1.example.com", "2001:db8::1/64", "2001:db8::1", 50},
                                   Expected{"7_-.", "localhost", "192.0.2.7/24", "192.0.2.7", 51}}) {
    std::set<std::string> added;
    std::ranges::set_difference(variables(config(expected.name)), bare, std::inserter(added, added.end()));
    EXPECT_EQ(added, (std::set<std::string>{"IPROOT='" + expected.host + "'", "IPROOTDEV='eth0'",
                                            "S_HOSTNAME='" + expected.fqdn + "'", "S_DOMAINNAME=''",
                                            "S_CONTEXT='" + std::to_string(expected.context) + "'", "ONBOOT='yes'",
                                            "S_FLAGS='lock nproc'", "ULIMIT='-HS -u 1000'", "S_NICE=''", "S_CAPS=''"}))
        << expected.name;
    // And back: what was asked for is what is told.
    const Json shown = vskel_json({"show", expected.name});
    EXPECT_EQ(shown["name"], expected.name) << shown;
    EXPECT_EQ(shown["fqdn"], expected.fqdn) << shown;
    EXPECT_EQ(shown["ip"], expected.address) << shown;
    EXPECT_EQ(shown["context"], expected.context) << shown;
  }
  // No shell reads a tenant's own files for us; there a value stands as it is, and is not looked at again.
  EXPECT_EQ(read_file(vserver(longest) / "etc/colour"), "$(touch cell); `id` %%VS_NAME%%|" + longest + "\n");
  EXPECT_EQ(read_file(vserver("7_-.") / "etc/colour"), "|7_-.\n");
  EXPECT_EQ(inconsistencies(), "");
}

INSTANTIATE_TEST_SUITE_P(On, AttackInputTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
