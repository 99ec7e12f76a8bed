// Fleets are checked whole: the first bad line is named with its number, its value and the rule.

#include "engine/vserver/fleet.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

Result<Fleet> parse(const std::string& csv) { return parse_fleet(csv, "fleet.csv"); }

std::string refusal_of(const std::string& csv) {
  const auto fleet = parse(csv);
  if (fleet) return "taken";
  EXPECT_EQ(fleet.error().blame, Blame::request);
  return fleet.error().line();
}

void expect_refused(const std::string& csv, const std::string& where, const std::string& why) {
  const std::string line = refusal_of(csv);
  EXPECT_NE(line.find(where), std::string::npos) << line;
  EXPECT_NE(line.find(why), std::string::npos) << line;
}

const std::string kHeader = "name,fqdn,ip\n";

TEST(FleetTest, IsReadFromCsv) {
  const auto fleet = parse(kHeader + "web1,web1.example.com,10.0.0.1\nweb2,web2.example.com,10.0.0.2/24\n");
  ASSERT_TRUE(fleet) << fleet.error().line();
  ASSERT_EQ(fleet->size(), 2U);
  EXPECT_EQ((*fleet)[1].name.text(), "web2");
  EXPECT_EQ((*fleet)[1].fqdn.text(), "web2.example.com");
  EXPECT_EQ((*fleet)[1].address.text(), "10.0.0.2/24");
  EXPECT_FALSE((*fleet)[1].context);
}

TEST(FleetTest, TakesColumnsInAnyOrderAndFurtherOnes) {
  const auto fleet =
      parse("ip,Rack,name,context,fqdn,e_mail\n10.0.0.1,\"b7, left\",web1,77,web1.example.com,\"say \"\"hi\"\"\"\n");
  ASSERT_TRUE(fleet) << fleet.error().line();
  EXPECT_EQ((*fleet)[0].context, 77U);
  EXPECT_EQ((*fleet)[0].columns, (std::map<std::string, std::string>{{"RACK", "b7, left"}, {"E_MAIL", "say \"hi\""}}));
}

TEST(FleetTest, TakesWhatSpreadsheetsWrite) {
  const auto fleet = parse(
      "\xef\xbb\xbf"
      "name,fqdn,ip\r\n\r\n# a comment, with commas\r\n web1 , web1.example.com ,10.0.0.1\r\n   "
      "\nweb2,web2.example.com,10.0.0.2");
  ASSERT_TRUE(fleet) << fleet.error().line();
  ASSERT_EQ(fleet->size(), 2U);
  EXPECT_EQ((*fleet)[0].name.text(), "web1");
}

TEST(FleetTest, NamesTheLineTheValueAndTheRule) {
  const std::string good = "web1,web1.example.com,10.0.0.1\n";
  expect_refused(kHeader + good + "we b,a.b,10.0.0.2\n", "fleet.csv:3", "'we b': a name is [A-Za-z0-9]");
  expect_refused(kHeader + good + "web2,a..b,10.0.0.2\n", "fleet.csv:3", "'a..b': labels");
  expect_refused(kHeader + good + "web2,a.b,10.0.0.256\n", "fleet.csv:3", "'10.0.0.256'");
  expect_refused(kHeader + "\n# x\n" + good + "web2,a.b\n", "fleet.csv:5", "2 fields where the header has 3");
  expect_refused("name,fqdn,ip,context\nweb1,a.b,10.0.0.1,12x\n", "fleet.csv:2", "'12x'");
  expect_refused("name,fqdn,ip,rack\nweb1,a.b,10.0.0.1,\"two\nlines\"\n", "fleet.csv:2", "control characters");
  expect_refused(kHeader + good + "\"web2\"x,a.b,10.0.0.2\n", "fleet.csv:3", "quote");
  expect_refused(kHeader + good + "\"web2,a.b,10.0.0.2\n", "fleet.csv:3", "quote");
}

TEST(FleetTest, RefusesDoublesAndSaysWhereTheFirstStands) {
  const std::string good = "web1,web1.example.com,10.0.0.1\n";
  expect_refused(kHeader + good + "web1,b.c,10.0.0.2\n", "fleet.csv:3", "name 'web1' stands at fleet.csv:2");
  expect_refused(kHeader + good + "web2,b.c,10.0.0.1/8\n", "fleet.csv:3", "ip '10.0.0.1' stands at fleet.csv:2");
  expect_refused("name,fqdn,ip,context\na,a.b,10.0.0.1,5\nb,a.b,10.0.0.2,05\n", "fleet.csv:3", "context '5'");
}

TEST(FleetTest, RefusesBadHeaders) {
  expect_refused("", "fleet.csv", "header");
  expect_refused("name,fqdn\n", "fleet.csv:1", "name,fqdn,ip");
  expect_refused("name,fqdn,ip,NAME\n", "fleet.csv:1", "twice");
  expect_refused("name,fqdn,ip,a-b\n", "fleet.csv:1", "'a-b'");
  expect_refused("name,fqdn,ip,\n", "fleet.csv:1", "column ''");
  expect_refused("name,fqdn,ip,dir\n", "fleet.csv:1", "'dir'");
  expect_refused(kHeader, "fleet.csv", "no vserver");
}

TEST(FleetTest, FindsTheOneBadLineOfAThousand) {
  std::string csv = kHeader;
  for (int number = 1; number <= 1000; ++number)
    csv += "w" + std::to_string(number) + ",w" + std::to_string(number) + ".example.com," +
           (number == 777 ? "10.0.0.300"
                          : "10.1." + std::to_string(number / 250) + "." + std::to_string(number % 250 + 1)) +
           "\n";
  expect_refused(csv, "fleet.csv:778", "10.0.0.300");
}

TEST(CountedFleetTest, FillsThePatterns) {
  const auto fleet = count_fleet(3, "web%03d", "%s.example.com", *Address::parse("10.0.0.255"));
  ASSERT_TRUE(fleet) << fleet.error().line();
  ASSERT_EQ(fleet->size(), 3U);
  EXPECT_EQ((*fleet)[0].name.text(), "web001");
  EXPECT_EQ((*fleet)[2].fqdn.text(), "web003.example.com");
  EXPECT_EQ((*fleet)[2].address.text(), "10.0.1.1");
  EXPECT_EQ((*count_fleet(1, "w%d", "n%d.example.com", *Address::parse("10.0.0.1")))[0].fqdn.text(), "n1.example.com");
}

TEST(CountedFleetTest, RefusesOtherPatterns) {
  const Address first = *Address::parse("10.0.0.1");
  for (const char* name : {"web", "web%s", "web%d%d", "web%", "web%x", "web%99999999999d", "web%n", "%5d", "web%%"})
    EXPECT_FALSE(count_fleet(2, name, "%s.example.com", first)) << name;
  for (const char* fqdn : {"example.com", "%s.%s", "%10s.example.com", "%x.example.com", "%s_"})
    EXPECT_FALSE(count_fleet(2, "web%d", fqdn, first)) << fqdn;
  EXPECT_FALSE(count_fleet(0, "web%d", "%s.example.com", first));
  EXPECT_FALSE(count_fleet(2, "web%d", "%s.example.com", *Address::parse("10.0.0.255/24")));
}

}  // namespace
}  // namespace vskel
