// Lists of dpkg's and apt's: what an administrator said stays his, what the skel's packages brought comes.

#include "engine/packages/dpkg_bookkeeping.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

std::string package_of(const std::string& name, const std::string& version, const std::string& want = "install",
                       const std::string& state = "installed") {
  return "Package: " + name + "\nStatus: " + want + " ok " + state + "\nArchitecture: all\nVersion: " + version +
         "\nDescription: one\n\n";
}

std::string merged_status(const std::string& base, const std::string& theirs, const std::string& mine) {
  const auto merged = merge_dpkg_status({base, theirs, mine});
  return !merged ? merged.error().line() : *merged ? **merged : "neither";
}

MergedList merged(std::string_view path, const ListSides& sides) {
  auto merged = merge_dpkg_list(path, sides);
  EXPECT_TRUE(merged) << merged.error().line();
  return merged ? std::move(*merged) : MergedList();
}

TEST(DpkgBookkeepingTest, AHoldStaysWithItsPackage) {
  const std::string base = package_of("a", "1") + package_of("b", "1");
  const std::string theirs = package_of("a", "2") + package_of("b", "2") + package_of("c", "1");
  EXPECT_EQ(merged_status(base, theirs, package_of("a", "1") + package_of("b", "1", "hold")),
            package_of("a", "2") + package_of("b", "2", "hold") + package_of("c", "1"));
  EXPECT_EQ(merged_status(base, theirs, package_of("a", "1", "deinstall") + package_of("b", "1", "hold")),
            package_of("a", "2", "deinstall") + package_of("b", "2", "hold") + package_of("c", "1"));
  EXPECT_EQ(merged_status(base, package_of("a", "2"), package_of("a", "1") + package_of("b", "1", "hold")),
            package_of("a", "2"))
      << "of what went, nothing is wanted";
}

TEST(DpkgBookkeepingTest, WhatTheSkelWantsComesWhereNobodySaidOtherwise) {
  const std::string base = package_of("a", "1");
  EXPECT_EQ(merged_status(base, package_of("a", "1", "hold"), base), package_of("a", "1", "hold"));
  EXPECT_EQ(merged_status(package_of("a", "1", "hold"), package_of("a", "2", "hold"), package_of("a", "1")),
            package_of("a", "2"))
      << "he let go of it";
}

TEST(DpkgBookkeepingTest, WhoHasTheSkelsPackagesAlreadyKeepsHisStatus) {
  const std::string base = package_of("a", "1"), theirs = package_of("a", "2") + package_of("b", "1");
  const std::string mine = package_of("b", "1") + package_of("a", "2", "hold");
  EXPECT_EQ(merged_status(base, theirs, mine), mine);
}

TEST(DpkgBookkeepingTest, OtherPackagesAreNeither) {
  const std::string base = package_of("a", "1"), theirs = package_of("a", "2");
  EXPECT_EQ(merged_status(base, theirs, package_of("a", "1") + package_of("own", "1")), "neither");
  EXPECT_EQ(merged_status(base, theirs, ""), "neither");
  EXPECT_EQ(merged_status(base, theirs, package_of("a", "1", "install", "half-configured")), "neither");
  EXPECT_EQ(merged_status(base, theirs, package_of("a", "1.5")), "neither");
  EXPECT_NE(merged_status(base, theirs, "Package: a\n").find("/var/lib/dpkg/status:1"), std::string::npos);
  const auto a = parse_dpkg_status(base, ""), b = parse_dpkg_status(theirs + package_of("c", "1"), "");
  ASSERT_TRUE(a && b);
  EXPECT_EQ(differing_packages(*a, *b), (std::vector<std::string>{"a", "c"}));
}

TEST(DpkgBookkeepingTest, OverridesAreMergedByPath) {
  const std::string base = "root root 4755 /bin/a\nroot mail 2755 /bin/b\nroot root 755 /bin/c\n";
  const std::string theirs = "root root 4711 /bin/a\nroot mail 2755 /bin/b\nredis redis 640 /etc/redis\n";
  const std::string mine = "root root 4755 /bin/a\nroot root 700 /bin/b\nroot root 755 /bin/c\nshop shop 700 /srv\n";
  const MergedList list = merged(kDpkgOverrides, {base, theirs, mine});
  EXPECT_EQ(list.text, "root root 4711 /bin/a\nroot root 700 /bin/b\nshop shop 700 /srv\nredis redis 640 /etc/redis\n");
  EXPECT_TRUE(list.kept.empty());
}

TEST(DpkgBookkeepingTest, WhatBothChangedIsHisAndTold) {
  const MergedList list = merged(kDpkgOverrides, {"root root 4755 /bin/a\n", "root root 4711 /bin/a\n", ""});
  EXPECT_EQ(list.text, "");
  EXPECT_EQ(list.kept, std::vector<std::string>{"/bin/a: changed on both sides"});
}

TEST(DpkgBookkeepingTest, DiversionsAreThreeLinesEach) {
  const std::string one = "/bin/a\n/bin/a.distrib\n:\n", two = "/bin/b\n/bin/b.real\nbash\n",
                    three = "/bin/c\n/bin/d\n:\n";
  EXPECT_EQ(merged(kDpkgDiversions, {one, one + two, one + three}).text, one + three + two);
  EXPECT_EQ(merged(kDpkgDiversions, {one + two, one, one + two}).text, one);
  EXPECT_FALSE(merge_dpkg_list(kDpkgDiversions, {"/bin/a\n", "", ""}));
}

TEST(DpkgBookkeepingTest, WhatAptInstalledByItselfIsAParagraphEach) {
  const auto of = [](const std::string& name, const std::string& automatic) {
    return "Package: " + name + "\nArchitecture: amd64\nAuto-Installed: " + automatic + "\n\n";
  };
  EXPECT_EQ(merged(kAptExtendedStates, {of("a", "1"), of("a", "1") + of("b", "1"), of("a", "0") + of("own", "1")}).text,
            of("a", "0") + of("own", "1") + of("b", "1"));
}

TEST(DpkgBookkeepingTest, WhatIsNoListIsRefused) {
  for (const std::string& text : {std::string("no path\n"), std::string("root root 755 /a"), std::string("a\0b\n", 4)})
    EXPECT_FALSE(merge_dpkg_list(kDpkgOverrides, {"", "", text})) << text;
}

TEST(DpkgBookkeepingTest, KnowsWhatSaysNothingOfPackages) {
  for (const char* path : {"alternatives/editor", "info/bash.list", "info", "triggers/File", "statoverride",
                           "diversions-old", "available", "status-old"})
    EXPECT_TRUE(is_dpkg_bookkeeping("var/lib/dpkg/" + std::string(path))) << path;
  for (const char* path : {"status", "arch", "updates/0001", "parts/x"})
    EXPECT_FALSE(is_dpkg_bookkeeping("var/lib/dpkg/" + std::string(path))) << path;
  EXPECT_FALSE(is_dpkg_bookkeeping("var/lib/rpm/info"));
}

}  // namespace
}  // namespace vskel
