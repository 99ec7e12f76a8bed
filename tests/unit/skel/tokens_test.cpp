// Token filling is one pass: what was filled in is never looked at again.

#include "engine/skel/tokens.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

using namespace std::string_literals;

const TokenValues kValues{{"VS_NAME", "web1"},
                          {"VS_FQDN", "web1.example.com"},
                          {"VS_EVIL", "%%VS_NAME%%"},
                          {"VS_EMPTY", ""},
                          {"VS_RACK_2", "b7"}};

std::string filled(std::string_view text) { return fill_tokens(text, kValues).text; }

TEST(TokensTest, AreReplacedWhereverTheyStand) {
  EXPECT_EQ(filled("%%VS_NAME%%"), "web1");
  EXPECT_EQ(filled("a%%VS_NAME%%b%%VS_FQDN%%\n"), "aweb1bweb1.example.com\n");
  EXPECT_EQ(filled("%%VS_NAME%%%%VS_NAME%%"), "web1web1");
  EXPECT_EQ(filled("%%VS_RACK_2%%[%%VS_EMPTY%%]"), "b7[]");
}

TEST(TokensTest, ThatAreUnknownStayAndAreNamedOnce) {
  const Filled out = fill_tokens("%%VS_NOPE%% %%VS_NAME%% %%VS_NOPE%% %%VS_ALSO%%", kValues);
  EXPECT_EQ(out.text, "%%VS_NOPE%% web1 %%VS_NOPE%% %%VS_ALSO%%");
  EXPECT_EQ(out.unknown, (std::vector<std::string>{"VS_NOPE", "VS_ALSO"}));
}

TEST(TokensTest, InAValueAreNotFilledIn) { EXPECT_EQ(filled("%%VS_EVIL%%"), "%%VS_NAME%%"); }

TEST(TokensTest, ThatAreNoneStayUnnamed) {
  for (const std::string text : {"%%VS_NAME", "%%VS_NAME%", "%VS_NAME%", "%%vs_name%%", "%%VS_%%", "%%NAME%%",
                                 "%%VS_na%%", "100%%", "%%", "", "%%VS_"}) {
    const Filled out = fill_tokens(text, kValues);
    EXPECT_EQ(out.text, text);
    EXPECT_TRUE(out.unknown.empty()) << text;
  }
}

TEST(TokensTest, AreFoundBehindPercentSignsAndUnclosedOnes) {
  EXPECT_EQ(filled("%%%%VS_NAME%%%%"), "%%web1%%");
  EXPECT_EQ(filled("%%%VS_NAME%%"), "%web1");
  EXPECT_EQ(filled("%%VS_NOPE %%VS_NAME%%"), "%%VS_NOPE web1");
  EXPECT_EQ(filled("%%VS_A%%VS_NAME%%"), "%%VS_A%%VS_NAME%%") << "the first pair of marks closes the unknown VS_A";
}

TEST(TokensTest, AreLookedForInTextOnly) {
  EXPECT_TRUE(has_tokens("x %%VS_NAME%%"));
  EXPECT_FALSE(has_tokens("no token %%"));
  EXPECT_FALSE(has_tokens("binary\0%%VS_NAME%%"s));
}

TEST(TokenLineTest, ATextThatSetsANameIsOneLineOfAFile) {
  EXPECT_TRUE(sets_one_line("myhostname = %%VS_FQDN%%"));
  EXPECT_TRUE(sets_one_line("HOSTNAME=%%VS_NAME%%"));
  for (const char* text : {"%%VS_NAME%%", "= x", "two words = x", "%%VS_NAME%% = x", ""})
    EXPECT_FALSE(sets_one_line(text)) << text;
}

TEST(TokenLineTest, TheLineIsReplacedAndTheRestIsKept) {
  const std::string token = "myhostname = %%VS_FQDN%%";
  EXPECT_EQ(with_line("# myhostname = no\nmyhostname=builder\nmyorigin = /etc/mailname\n", token),
            "# myhostname = no\nmyhostname = %%VS_FQDN%%\nmyorigin = /etc/mailname\n");
  EXPECT_EQ(with_line("myhostname =\n  builder.example.com\nx = y", token), "myhostname = %%VS_FQDN%%\nx = y\n")
      << "a value on the next line";
  EXPECT_EQ(with_line("a = 1\n  2\nmyhostname = x\n", token), "a = 1\n  2\nmyhostname = %%VS_FQDN%%\n");
  EXPECT_EQ(with_line("myhostname2 = x\n", token), std::nullopt);
  EXPECT_EQ(with_line("", token), std::nullopt);
  EXPECT_EQ(with_line(std::string("myhostname = x\0\n", 16), token), std::nullopt);
}

}  // namespace
}  // namespace vskel
