// Names and addresses at their borders: what cli.md allows and the nearest things that it does not.

#include "engine/model/identity.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

using namespace std::string_literals;

const std::string kLongestName(63, 'a');

template <class Checked>
void expect_refused(const std::string& text, const std::string& rule) {
  const auto parsed = Checked::parse(text);
  ASSERT_FALSE(parsed) << "taken: " << printable(text);
  EXPECT_EQ(parsed.error().blame, Blame::request);
  EXPECT_EQ(parsed.error().path, text);
  EXPECT_NE(parsed.error().line().find(rule), std::string::npos) << parsed.error().line();
}

TEST(NameTest, TakesLettersDigitsDotsUnderscoresAndHyphens) {
  for (const std::string& text : {"a"s, "7"s, "web01"s, "A.b_c-d"s, "x."s, "x-"s, "web.tmp_skel_"s, kLongestName}) {
    EXPECT_TRUE(SkelName::parse(text)) << text;
    EXPECT_TRUE(VserverName::parse(text)) << text;
  }
}

TEST(NameTest, RefusesAllElseAndNamesTheRule) {
  for (const std::string& text : {""s, "."s, ".."s, ".skel"s, "-a"s, "_a"s, "a/b"s, "a b"s, "a\n"s, "a\0b"s, "a\0"s,
                                  "web\xc3\xa4"s, "a%d"s, "a\\"s, kLongestName + "a"}) {
    expect_refused<SkelName>(text, "[A-Za-z0-9][A-Za-z0-9._-]{0,62}");
    expect_refused<VserverName>(text, "[A-Za-z0-9][A-Za-z0-9._-]{0,62}");
  }
}

TEST(NameTest, OfAMergedSkelIsNoVservers) {
  expect_refused<VserverName>("tmp_skel_", "merged skels");
  expect_refused<VserverName>("tmp_skel_web", "merged skels");
  EXPECT_TRUE(SkelName::parse("tmp_skel_web"));
  EXPECT_TRUE(VserverName::parse("tmp_skelweb"));
}

TEST(FqdnTest, TakesWhatRfc1123Takes) {
  const std::string longest = kLongestName + "." + kLongestName + "." + kLongestName + "." + std::string(61, 'z');
  ASSERT_EQ(longest.size(), 253U);
  for (const std::string& text : {"localhost"s, "a.b"s, "3com.com"s, "WEB.Example.COM"s, "a-b.c--d.e9"s, "1.2.3.4a"s,
                                  "xn--bcher-kva.example"s, longest})
    EXPECT_TRUE(Fqdn::parse(text)) << text;
}

TEST(FqdnTest, RefusesAllElse) {
  const std::string too_long = kLongestName + "." + kLongestName + "." + kLongestName + "." + std::string(62, 'z');
  expect_refused<Fqdn>("", "1 to 253");
  expect_refused<Fqdn>(too_long, "1 to 253");
  for (const std::string& text :
       {"."s, ".a"s, "a."s, "a..b"s, "-a.b"s, "a-.b"s, "a_b.c"s, "a b"s, "a\n"s, "a\0.b"s, kLongestName + "a.b",
        "b\xc3\xbc"
        "cher.example"s})
    expect_refused<Fqdn>(text, "labels");
  for (const std::string& text : {"10.0.0.1"s, "a.1"s, "7"s}) expect_refused<Fqdn>(text, "digits");
}

TEST(AddressTest, IsPrintedCanonically) {
  const auto text_of = [](const std::string& text) { return Address::parse(text)->text(); };
  EXPECT_EQ(text_of("192.168.1.10"), "192.168.1.10");
  EXPECT_EQ(text_of("192.168.1.10/24"), "192.168.1.10/24");
  EXPECT_EQ(text_of("10.0.0.1/0"), "10.0.0.1/0");
  EXPECT_EQ(text_of("10.0.0.1/32"), "10.0.0.1/32");
  EXPECT_EQ(text_of("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
  EXPECT_EQ(text_of("fe80::1/128"), "fe80::1/128");
}

TEST(AddressTest, HostIsTheAddressWithoutItsPrefix) {
  EXPECT_EQ(Address::parse("192.168.1.10/24")->host(), "192.168.1.10");
  EXPECT_EQ(Address::parse("::1")->host(), "::1");
}

TEST(AddressTest, RefusesWhatIsNone) {
  for (const std::string& text : {""s,           "1"s,           "1.2.3"s,      "1.2.3.4.5"s,
                                  "256.1.1.1"s,  "01.2.3.4"s,    "0x7f.0.0.1"s, " 1.2.3.4"s,
                                  "1.2.3.4 "s,   "1.2.3.4\n"s,   "1.2.3.4\0"s,  "1.2.3.4/"s,
                                  "1.2.3.4/33"s, "1.2.3.4/024"s, "1.2.3.4/-1"s, "1.2.3.4/8/8"s,
                                  "1.2.3.4/ 8"s, "::1/129"s,     ":::"s,        "fe80::1%eth0"s,
                                  "g::1"s,       "host.example"s})
    expect_refused<Address>(text, "IPv4 or IPv6");
}

TEST(AddressTest, RefusesWhatNoVserverCanHave) {
  for (const std::string& text : {"0.0.0.0"s, "::"s}) expect_refused<Address>(text, "unspecified");
  for (const std::string& text : {"224.0.0.1"s, "239.1.1.1"s, "ff02::1"s}) expect_refused<Address>(text, "multicast");
  expect_refused<Address>("255.255.255.255", "broadcast");
  expect_refused<Address>("::ffff:1.2.3.4", "IPv4-mapped");
}

TEST(AddressTest, CountsUpOverByteBorders) {
  EXPECT_EQ(Address::parse("10.0.0.254")->plus(3)->text(), "10.0.1.1");
  EXPECT_EQ(Address::parse("10.0.0.1/16")->plus(65534)->text(), "10.0.255.255/16");
  EXPECT_EQ(Address::parse("2001:db8::ffff")->plus(1)->text(), "2001:db8::1:0");
  EXPECT_EQ(Address::parse("10.0.0.1")->plus(0)->text(), "10.0.0.1");
}

TEST(AddressTest, CountsNoFurtherThanItsNetworkAndItsFamily) {
  EXPECT_FALSE(Address::parse("10.0.0.250/24")->plus(6));
  EXPECT_FALSE(Address::parse("223.255.255.255")->plus(1));
  EXPECT_FALSE(Address::parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
  EXPECT_FALSE(Address::parse("feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")->plus(1));
}

}  // namespace
}  // namespace vskel
