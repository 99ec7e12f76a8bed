// dpkg's status: what a paragraph says, which packages are unfinished, and what is refused by its line.

#include "engine/packages/dpkg_status.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace vskel {
namespace {

using namespace std::string_literals;

std::string paragraph(const std::string& name, const std::string& status, const std::string& version = "1.0-1") {
  return "Package: " + name + "\nStatus: " + status + "\nPriority: optional\nArchitecture: amd64\nVersion: " + version +
         "\nDepends: libc6 (>= 2.14)\nDescription: a package\n with a second line\n .\n and more\n\n";
}

TEST(DpkgStatusTest, ReadsWhatDpkgWrites) {
  const std::string text =
      "Package: libc6\nStatus: hold ok installed\nMulti-Arch: same\nArchitecture: amd64\n"
      "Version: 2.36-9+deb12u10\nConffiles:\n /etc/ld.so.conf.d/x.conf d41d8cd98f00b204e9800998ecf8427e\n"
      "Description: GNU C Library\n\n" +
      paragraph("bash", "install ok installed", "5.2.15-2+b8") + "Package: gone\nStatus: unknown ok not-installed\n";
  const auto packages = parse_dpkg_status(text, "status");
  ASSERT_TRUE(packages) << packages.error().line();
  ASSERT_EQ(packages->size(), 3U);
  EXPECT_EQ(packages->at(0).name, "bash") << "sorted";
  EXPECT_EQ(packages->at(1).name, "gone");
  EXPECT_EQ(packages->at(1).version, "");
  const DpkgPackage* libc = find_package(*packages, "libc6", "amd64");
  ASSERT_NE(libc, nullptr);
  EXPECT_EQ(libc->want, DpkgWant::hold);
  EXPECT_EQ(libc->flag, DpkgFlag::ok);
  EXPECT_EQ(libc->state, DpkgState::installed);
  EXPECT_EQ(libc->version, "2.36-9+deb12u10");
  EXPECT_EQ(dpkg_list_name(*libc), "libc6:amd64.list");
  EXPECT_EQ(dpkg_list_name(packages->at(0)), "bash.list");
  EXPECT_EQ(find_package(*packages, "libc6", "i386"), nullptr);
  EXPECT_EQ(text.substr(packages->at(0).begin, packages->at(0).size) + "\n",
            paragraph("bash", "install ok installed", "5.2.15-2+b8"));
  EXPECT_EQ(text.substr(packages->at(1).begin, packages->at(1).size),
            "Package: gone\nStatus: unknown ok not-installed\n");
}

TEST(DpkgStatusTest, TwoArchitecturesAreTwoPackages) {
  const std::string one = "Package: libc6\nStatus: install ok installed\nVersion: 1\nMulti-Arch: same\nArchitecture: ";
  const auto packages = parse_dpkg_status(one + "i386\n\n" + one + "amd64\n", "status");
  ASSERT_TRUE(packages) << packages.error().line();
  EXPECT_EQ(dpkg_label(packages->at(0)), "libc6:amd64");
  EXPECT_EQ(dpkg_label(packages->at(1)), "libc6:i386");
}

TEST(DpkgStatusTest, KnowsWhatIsUnfinished) {
  const auto settled = [](const std::string& status) {
    const auto packages = parse_dpkg_status(paragraph("one", status), "status");
    EXPECT_TRUE(packages) << packages.error().line();
    return packages && is_settled(packages->front());
  };
  for (const char* status : {"install ok installed", "hold ok installed", "deinstall ok config-files",
                             "purge ok not-installed", "unknown ok not-installed"})
    EXPECT_TRUE(settled(status)) << status;
  for (const char* status :
       {"install ok half-configured", "install ok half-installed", "install ok unpacked", "install ok triggers-awaited",
        "install ok triggers-pending", "install reinstreq installed", "install reinstreq half-installed"})
    EXPECT_FALSE(settled(status)) << status;
}

TEST(DpkgStatusTest, TakesWordsOfFieldsInAnyCaseAndNoPackagesAtAll) {
  EXPECT_TRUE(parse_dpkg_status("", "status")->empty());
  EXPECT_TRUE(parse_dpkg_status("\n\n", "status")->empty());
  const auto packages =
      parse_dpkg_status("package:one\nSTATUS:\tinstall ok installed \nversion: 1\nARCHITECTURE: all\n", "s");
  ASSERT_TRUE(packages) << packages.error().line();
  EXPECT_EQ(packages->front().architecture, "all");
}

TEST(DpkgStatusTest, RefusesWhatDpkgDoesNotWriteByItsLine) {
  const std::string good = paragraph("one", "install ok installed");  // 11 lines
  const std::vector<std::pair<std::string, std::string>> cases{
      {"Status: install ok installed\n", "status:1: a paragraph without Package"},
      {"Package: one\n", "status:1: one: no Status"},
      {good + good, "status:12: one: the package is there twice"},
      {good + "nonsense\n", "status:12: nonsense: a line is FIELD: VALUE"},
      {good + " nonsense\n", "status:12:  nonsense: goes on with a field that is not there"},
      {good + "Package: a\n b\n", "status:13:  b: a value of one line has a second one"},
      {good + "Package: ../x\n", "status:12: Package: ../x: no name of a package"},
      {"Package: a\nPackage: b\n", "status:2: Package: b: the field is there twice"},
      {"Package: a\nStatus: install ok happy\n",
       "status:2: Status: install ok happy: a status is WANT FLAG STATE, of words that dpkg has"},
      {"Package: a\nStatus: install ok installed installed\n",
       "status:2: Status: install ok installed installed: a status is WANT FLAG STATE, of words that dpkg has"},
      {"Package: a\nVersion: 1 2\n", "status:2: Version: 1 2: no version"},
      {good + "Package: tw", "status:12: Package: tw: the file ends within a line"},
  };
  for (const auto& [text, line] : cases) {
    const auto packages = parse_dpkg_status(text, "status");
    ASSERT_FALSE(packages) << text;
    EXPECT_EQ(packages.error().line(), "read package status " + line);
  }
  EXPECT_FALSE(parse_dpkg_status("Package: a\0\n"s, "status"));
}

TEST(DpkgStatusTest, IsBounded) {
  std::string fields = "Package: one\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n";
  for (int n = 0; n < 252; ++n) fields += "X" + std::to_string(n) + ": y\n";
  EXPECT_TRUE(parse_dpkg_status(fields, "status"));
  EXPECT_FALSE(parse_dpkg_status(fields + "Y: z\n", "status"));
  EXPECT_FALSE(parse_dpkg_status(std::string(kMaxDpkgStatus + 1, '\n'), "status"));
  const std::string long_line = "Package: one\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nX: " +
                                std::string(kMaxDpkgStatus / 2, 'x') + "\n";
  EXPECT_TRUE(parse_dpkg_status(long_line, "status"));
  const auto bad = parse_dpkg_status(std::string(kMaxDpkgStatus / 2, 'x') + "\n", "status");
  ASSERT_FALSE(bad);
  EXPECT_LT(bad.error().line().size(), 200U) << "what is told is bounded, too";
}

TEST(DpkgStatusTest, ReadsTheOneOfThisMachine) {
  std::ifstream file("/var/lib/dpkg/status", std::ios::binary);
  if (!file) GTEST_SKIP() << "no dpkg here";
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const auto packages = parse_dpkg_status(text, "status");
  ASSERT_TRUE(packages) << packages.error().line();
  EXPECT_GT(packages->size(), 10U);
}

}  // namespace
}  // namespace vskel
