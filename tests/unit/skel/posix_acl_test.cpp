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

}  // namespace
}  // namespace vskel
