// The users and groups of an old generation come back into the skel's files.
#include "engine/accounts/restore.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

using Lines = std::vector<std::string>;

const std::string kRoot = "root:x:0:0::/root:/bin/sh\n", kRoots = "root:x:0:\n";
const std::string kSvc = "svc:x:104:104::/var/lib/svc:/bin/false\n", kSvcs = "svc:x:104:\n";
const std::string kXyz = "xyz:x:104:104::/var/lib/xyz:/bin/false\n", kXyzs = "xyz:x:104:\n";

/// passwd, shadow, group, gshadow, subuid, subgid; "-": no such file.
Accounts six_files(const std::vector<std::string>& files) {
  AccountTexts texts;
  for (std::size_t at = 0; at < files.size(); ++at)
    if (files[at] != "-") texts[at] = files[at];
  auto accounts = Accounts::parse(texts, "");
  EXPECT_TRUE(accounts) << accounts.error().line();
  return std::move(*accounts);
}

struct RestoreRow {
  std::string what;
  std::vector<std::string> then, newest, own, result;
  Lines told;
};

TEST(RestoreAccountsTest, ThreeSides) {
  const std::string shadow = "root:$6$new:19000::::::\n";
  const std::vector<RestoreRow> rows{
      {"nothing", {kRoot, "-", kRoots}, {kRoot, "-", kRoots}, {kRoot, "-", kRoots}, {kRoot, "-", kRoots}, {}},
      {"who came later stays",
       {kRoot, "-", kRoots},
       {kRoot + kXyz, "-", kRoots + kXyzs},
       {kRoot + kXyz, "-", kRoots + kXyzs},
       {kRoot + kXyz, "-", kRoots + kXyzs},
       {}},
      {"with another number where his was another's; who went comes back locked",
       {kRoot + kSvc, "root:$6$old:1::::::\nsvc:$6$old:1::::::\n", kRoots + kSvcs, "root:*::\nsvc:!::\n"},
       {kRoot + kXyz, shadow + "xyz:!:1::::::\n", kRoots + kXyzs, "root:*::\nxyz:!::\n"},
       {"# a line\n" + kRoot + kXyz, shadow + "xyz:!:1::::::\n", kRoots + kXyzs, "root:*::\nxyz:!::\n"},
       {"# a line\n" + kRoot + "xyz:x:999:999::/var/lib/xyz:/bin/false\n" + kSvc,
        shadow + "xyz:!:1::::::\nsvc:!:1::::::\n", kRoots + "xyz:x:999:\n" + kSvcs, "root:*::\nxyz:!::\nsvc:!::\n"},
       {}},
      {"without a shadow file",
       {kRoot + "svc:$6$old:104:104::/:/bin/sh\n", "-", kRoots + kSvcs},
       {kRoot, "-", kRoots},
       {kRoot, "-", kRoots},
       {kRoot + "svc:*:104:104::/:/bin/sh\n", "-", kRoots + "svc:*:104:\n"},
       {}},
      {"the number of then, and the place of it taken meanwhile",
       {kRoot + kSvc, "-", kRoots + kSvcs},
       {kRoot + "svc:x:204:204::/srv:/bin/false\n" + kXyz, "-", kRoots + "svc:x:204:\n" + kXyzs},
       {kRoot + "svc:x:204:204::/srv:/bin/false\n" + kXyz, "-", kRoots + "svc:x:204:\n" + kXyzs},
       {kRoot + kSvc + "xyz:x:999:999::/var/lib/xyz:/bin/false\n", "-", kRoots + kSvcs + "xyz:x:999:\n"},
       {}},
      {"two that exchanged their numbers",
       {kRoot + "a:x:1:0::/:/\nb:x:2:0::/:/\n", "-", kRoots},
       {kRoot + "a:x:2:0::/:/\nb:x:1:0::/:/\n", "-", kRoots},
       {kRoot + "a:x:2:0::/:/\nb:x:1:0::/:/\n", "-", kRoots},
       {kRoot + "a:x:1:0::/:/\nb:x:2:0::/:/\n", "-", kRoots},
       {}},
      {"other names of a number go with it, root's never",
       {kRoot + kSvc, "-", kRoots + kSvcs},
       {kRoot + kXyz, "-", kRoots + kSvcs},
       {kRoot + "toor:x:0:0::/:/\n" + kXyz + "zyx:x:104:104::/:/\n", "-", kRoots + kSvcs},
       {kRoot + "toor:x:0:0::/:/\nxyz:x:999:104::/var/lib/xyz:/bin/false\nzyx:x:999:104::/:/\nsvc:*:104:104::/var/lib/"
                "svc:/bin/false\n",
        "-", kRoots + kSvcs},
       {}},
      {"what was edited by hand stays, but for numbers",
       {kRoot + kSvc, "-", kRoots + kSvcs},
       {kRoot + "svc:x:104:104::/srv:/bin/false\n", "-", kRoots + kSvcs},
       {kRoot + "svc:x:105:104::/mine:/bin/false\n", "-", kRoots + kSvcs},
       {kRoot + "svc:x:104:104::/mine:/bin/false\n", "-", kRoots + kSvcs},
       {}},
      {"members",
       {kRoot + kSvc, "-", kRoots + kSvcs + "ssl:x:5:root,svc\n"},
       {kRoot + kXyz, "-", kRoots + "ssl:x:5:xyz\n"},
       {kRoot + kXyz, "-", kRoots + "ssl:x:5:xyz\n"},
       {kRoot + "xyz:x:999:104::/var/lib/xyz:/bin/false\nsvc:*:104:104::/var/lib/svc:/bin/false\n", "-",
        kRoots + "ssl:x:5:xyz,root,svc\nsvc:*:104:\n"},
       {}},
      {"ranges",
       {kRoot + kSvc + "b:x:9:0::/:/\n", "-", kRoots, "-", "svc:100000:65536\nb:200000:65536\nroot:1:1\n"},
       {kRoot, "-", kRoots, "-", "xyz:200000:1\n"},
       {kRoot, "-", kRoots, "-", "xyz:200000:1\n"},
       {kRoot + "svc:*:104:104::/var/lib/svc:/bin/false\nb:*:9:0::/:/\n", "-", kRoots, "-",
        "xyz:200000:1\nsvc:100000:65536\n"},
       {"subuid range b:200000:65536: another's by now"}},
      {"no file that one of the two lacks", {"-", "-", kSvcs}, {kRoot}, {kRoot}, {kRoot}, {}},
  };
  for (const RestoreRow& row : rows) {
    SCOPED_TRACE(row.what);
    const Accounts then = six_files(row.then), newest = six_files(row.newest);
    const auto restored = restore_accounts({&then, &newest, ""}, six_files(row.own));
    ASSERT_TRUE(restored) << restored.error().line();
    const AccountTexts texts = restored->accounts.texts();
    for (std::size_t at = 0; at < texts.size(); ++at) {
      const bool wanted = at < row.result.size() && row.result[at] != "-";
      EXPECT_EQ(texts[at], wanted ? std::optional(row.result[at]) : std::nullopt) << at;
    }
    EXPECT_EQ(restored->told, row.told);
  }
}

TEST(RestoreAccountsTest, SaysWhichNumbersAreAnothersNow) {
  const Accounts then = six_files({kRoot + kSvc, "-", kRoots + kSvcs});
  const auto restored = restore_accounts({&then, nullptr, "SYS_UID_MIN 300\nSYS_UID_MAX 301\n"},
                                         six_files({kRoot + "svc:x:301:104::/:/\n" + kXyz, "-", kRoots + kXyzs}));
  ASSERT_TRUE(restored) << restored.error().line();
  EXPECT_EQ(restored->renumbered, (IdMap{{{104, 300}, {301, 104}}, {{104, 999}}}));
}

TEST(RestoreAccountsTest, WithoutAFreeNumberItIsRefused) {
  const Accounts then = six_files({kRoot + kSvc, "-", kRoots + kSvcs});
  const auto restored =
      restore_accounts({&then, nullptr, "SYS_UID_MIN 104\nSYS_UID_MAX 104\n"}, six_files({kRoot + kXyz, "-", kRoots}));
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().path, "user 104");
}

}  // namespace
}  // namespace vskel
