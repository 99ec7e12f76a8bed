// What is looked for in a skel: private keys, and the name of the host that it was made on.

#include "engine/skel/suspects.h"

#include <gtest/gtest.h>

#include "engine/skel/private_key.h"

namespace vskel {
namespace {

using namespace std::string_literals;

TEST(HostNameTest, TheFirstLabelIsLookedFor) {
  EXPECT_EQ(own_label("builder\n"), "builder");
  EXPECT_EQ(own_label("builder.example.com"), "builder");
  EXPECT_EQ(own_label("# hostname(5)\n\nbuilder\n"), "builder");
}

TEST(HostNameTest, WhatTellsNothingIsNotLookedFor) {
  for (const std::string& name : {""s, "\n"s, "localhost\n"s, "localhost.localdomain"s, "(none)\n"s, ".*"s, "a[b]+"s,
                                  "#builder"s, " builder"s, std::string(64, 'a'), "\0"s})
    EXPECT_EQ(own_label(name), "") << name;
  EXPECT_FALSE(names_host("any text", ""));
}

TEST(HostNameTest, IsFoundAsAWord) {
  for (const char* text : {"builder", "on builder.example.com\n", "('builder')", "root@builder", "a\nbuilder\n"})
    EXPECT_TRUE(names_host(text, "builder")) << text;
  for (const char* text : {"builders", "my-builder", "_builder", "rebuilder", "Builder", ""})
    EXPECT_FALSE(names_host(text, "builder")) << text;
  EXPECT_TRUE(names_host("builders and builder", "builder"));
  EXPECT_FALSE(names_host("builder\0"s, "builder")) << "no text";
}

TEST(PrivateKeyTest, IsKnownByItsFirstLine) {
  for (const char* label : {"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY",
                            "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"})
    EXPECT_TRUE(has_private_key("-----BEGIN "s + label + "-----\nMII\n")) << label;
  EXPECT_TRUE(
      has_private_key("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
                      "-----BEGIN PRIVATE KEY-----\n"))
      << "behind its certificate";
  EXPECT_TRUE(has_private_key("key: |\n    -----BEGIN PRIVATE KEY-----\r\n")) << "indented";
}

TEST(PrivateKeyTest, IsNotWhatOnlySpeaksOfOne) {
  for (const std::string& text :
       {""s, "-----BEGIN PUBLIC KEY-----\n"s, "-----BEGIN CERTIFICATE-----\nPRIVATE KEY-----\n"s,
        "# -----BEGIN PRIVATE KEY-----\n"s, "if it has -----BEGIN RSA PRIVATE KEY----- in it\n"s,
        "-----BEGIN PRIVATE KEY"s, "-----BEGIN PRIVATE KEY-----\n\0"s, "-----BEGIN "s, "BEGIN PRIVATE KEY"s})
    EXPECT_FALSE(has_private_key(text)) << text;
}

}  // namespace
}  // namespace vskel
