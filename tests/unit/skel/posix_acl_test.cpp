#include "engine/skel/posix_acl.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

using namespace std::string_view_literals;

TEST(PosixAcl, HasItsEntriesInTheKernelsOrder) {
  const std::string value = acl_value({{AclTag::other, 4, {}, {}},
                                       {AclTag::user, 6, 258, {}},
                                       {AclTag::mask, 7, {}, {}},
                                       {AclTag::user, 5, 1, {}},
                                       {AclTag::owning_group, 4, {}, {}},
                                       {AclTag::owner, 7, {}, {}}});
  EXPECT_EQ(value,
            "\2\0\0\0"
            "\1\0\7\0\xff\xff\xff\xff"
            "\2\0\5\0\1\0\0\0"
            "\2\0\6\0\2\1\0\0"
            "\4\0\4\0\xff\xff\xff\xff"
            "\x10\0\7\0\xff\xff\xff\xff"
            "\x20\0\4\0\xff\xff\xff\xff"sv);
}

TEST(PosixAcl, IdsComeFromTheThirdField) {
  EXPECT_EQ(read_ids("root:x:0:0:root:/root:/bin/sh\n\n# no account\nbad:x:ten:\nshort\nwww:x:33:alice,bob"),
            (Ids{{"root", 0}, {"www", 33}}));
}

TEST(PosixAcl, ItsNumbersGoByAMap) {
  const IdMap ids{{{104, 998}, {999, 5}}, {{104, 7}}};
  const auto acl = [](std::uint32_t first, std::uint32_t second, std::uint32_t group) {
    return acl_value({{AclTag::owner, 7, {}, {}},
                      {AclTag::user, 5, first, {}},
                      {AclTag::user, 6, second, {}},
                      {AclTag::group, 4, group, {}},
                      {AclTag::other, 0, {}, {}}});
  };
  EXPECT_EQ(mapped_acl("system.posix_acl_access", acl(104, 999, 104), ids), acl(998, 5, 7));
  EXPECT_EQ(mapped_acl("system.posix_acl_default", acl(104, 105, 998), ids), acl(998, 105, 998));
  EXPECT_EQ(mapped_acl("user.note", acl(104, 999, 104), ids), acl(104, 999, 104));
  const std::string xfs(
      "\0\0\0\3"
      "\0\0\0\1\0\0\0\0\0\7\0\0"
      "\0\0\0\2\0\0\0\x68\0\5\0\0"
      "\0\0\0\x08\0\0\0\x68\0\4\0\0"sv);
  const std::string mapped(
      "\0\0\0\3"
      "\0\0\0\1\0\0\0\0\0\7\0\0"
      "\0\0\0\2\0\0\3\xe6\0\5\0\0"
      "\0\0\0\x08\0\0\0\7\0\4\0\0"sv);
  EXPECT_EQ(mapped_acl("trusted.SGI_ACL_FILE", xfs, ids), mapped);
}

TEST(PosixAcl, WhatIsNoAclIsNotMapped) {
  const IdMap ids{{{104, 998}}, {}};
  for (const std::string& value : {std::string(), std::string("\2\0\0"), std::string(11, '\2'), std::string(16, '\1')})
    for (const char* xattr : {"system.posix_acl_access", "trusted.SGI_ACL_FILE"})
      EXPECT_EQ(mapped_acl(xattr, value, {}).size(), value.size()) << xattr;
  EXPECT_EQ(mapped_acl("system.posix_acl_access", std::string(12, '\3'), ids), std::string(12, '\3')) << "no version 2";
}

}  // namespace
}  // namespace vskel
