// The package managers do what the update-cycle tests count on.
#include "tests/support/packages.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/requirement.h"
#include "tests/support/temporary_directory.h"

namespace vskel::test {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class PackagesTest : public ::testing::TestWithParam<PackageManager> {
 protected:
  void SetUp() override { VSKEL_REQUIRE(missing_for_packages(GetParam())); }
};

TEST_P(PackagesTest, AnUpgradeChangesAddsAndRemovesFilesAndTheDatabaseSaysSo) {
  const TemporaryDirectory scratch;
  const fs::path root = scratch.path() / "root";
  fs::create_directories(root);
  PackageContent one, two;
  one.version = "1";
  one.programs = {{"/usr/bin/tool", "one"}, {"/usr/bin/gone", "one"}};
  one.set_id = {{"/usr/bin/su-tool", "one"}};
  one.conffiles = {{"/etc/tool.conf", "one"}};
  one.hard_links = {{"/usr/bin/tool-link", "/usr/bin/tool"}};
  two = one;
  two.version = "2";
  two.programs = {{"/usr/bin/tool", "two"}, {"/usr/bin/new", "two"}};
  make_package_database(GetParam(), root);
  install_package(GetParam(), build_package(GetParam(), "tool", one, scratch.path() / "build"), root);
  EXPECT_EQ(installed_version(GetParam(), "tool", root), "1");
  EXPECT_EQ(content_of(root / "usr/bin/tool-link"), "one");
  EXPECT_TRUE((fs::status(root / "usr/bin/su-tool").permissions() & fs::perms::set_uid) != fs::perms::none);
  install_package(GetParam(), build_package(GetParam(), "tool", two, scratch.path() / "build"), root);
  EXPECT_EQ(installed_version(GetParam(), "tool", root), "2");
  EXPECT_EQ(content_of(root / "usr/bin/tool"), "two");
  EXPECT_TRUE(fs::exists(root / "usr/bin/new"));
  EXPECT_FALSE(fs::exists(root / "usr/bin/gone"));
  EXPECT_TRUE(fs::exists(root / package_database(GetParam())));
}

INSTANTIATE_TEST_SUITE_P(With, PackagesTest, ::testing::Values(PackageManager::dpkg, PackageManager::rpm),
                         [](const auto& parameter) { return package_manager_name(parameter.param); });

}  // namespace
}  // namespace vskel::test
