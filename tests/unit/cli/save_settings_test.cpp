#include "cli/save_settings.h"

#include <gtest/gtest.h>

namespace vskel::cli {
namespace {

TEST(SaveSettings, ALineIsReplacedWhereItStandsAndNothingElseIsTouched) {
  EXPECT_EQ(with_setting("# mine\njobs = 4 # all\n\n[backend]\nxfs = \"uring\"\n", "", "jobs", "2"),
            "# mine\njobs = 2\n\n[backend]\nxfs = \"uring\"\n");
  EXPECT_EQ(with_setting("[backend]\n  xfs=\"uring\"\n[create]\nxfs = 1\n", "backend", "xfs", "\"syscall\""),
            "[backend]\nxfs = \"syscall\"\n[create]\nxfs = 1\n");
}

TEST(SaveSettings, ANewKeyGoesToTheEndOfItsSectionAndANewSectionToTheEndOfTheFile) {
  EXPECT_EQ(with_setting("", "backend", "ext4", "\"uring\""), "[backend]\next4 = \"uring\"\n");
  EXPECT_EQ(with_setting("json = true\n", "backend", "ext4", "\"uring\""),
            "json = true\n\n[backend]\next4 = \"uring\"\n");
  EXPECT_EQ(with_setting("[backend]\n#ext4 = \"x\"\n\n[create]\nconfig = \"/a\"\n", "backend", "ext4", "\"uring\""),
            "[backend]\n#ext4 = \"x\"\next4 = \"uring\"\n\n[create]\nconfig = \"/a\"\n");
  EXPECT_EQ(with_setting("[create]\nconfig = \"/a\"\n", "", "jobs", "2"), "jobs = 2\n[create]\nconfig = \"/a\"\n");
}

TEST(SaveSettings, ACommentedLineOfATemplateIsNoSetting) {
  EXPECT_EQ(with_setting("#jobs = 4\n", "", "jobs", "2"), "#jobs = 4\njobs = 2\n");
}

TEST(SaveSettings, WithoutAValueTheLineGoes) {
  EXPECT_EQ(with_setting("jobs = 4\njson = true\n", "", "jobs", std::nullopt), "json = true\n");
  EXPECT_EQ(with_setting("[create]\njobs = 4\n", "", "jobs", std::nullopt), "[create]\njobs = 4\n");
}

}  // namespace
}  // namespace vskel::cli
