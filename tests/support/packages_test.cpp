// Packages are built, installed and upgraded by the real package managers, and have in both versions what the tests of
// the update cycle rely on.
#include "tests/support/packages.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "tests/support/file_system.h"
#include "tests/support/requirement.h"
#include "tests/support/temporary_directory.h"

namespace vskel::test {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

struct stat status_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

class PackagesTest : public ::testing::TestWithParam<PackageManager> {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(missing_root());
    VSKEL_REQUIRE(missing_for_packages(GetParam()));
    fs::create_directory(root());
    make_package_database(GetParam(), root());
  }
  [[nodiscard]] fs::path root() const { return scratch_.path() / "root"; }
  void install(int version) const {
    const fs::path package = odd_tool::version(GetParam(), version).build(GetParam(), scratch_.path());
    const ProcessResult result = install_package(GetParam(), root(), package);
    ASSERT_EQ(result.code, 0) << result;
  }

 private:
  TemporaryDirectory scratch_;
};

TEST_P(PackagesTest, AnEmptyDatabaseKnowsNoPackage) {
  EXPECT_EQ(installed_version(GetParam(), root(), odd_tool::kName), "");
  EXPECT_TRUE(fs::is_directory(root() / package_database(GetParam())));
}

TEST_P(PackagesTest, TheFirstVersionIsInstalledWithAllKindsOfFiles) {
  install(1);
  EXPECT_EQ(installed_version(GetParam(), root(), odd_tool::kName), "1");
  for (const auto& list : {odd_tool::kUnchanged, odd_tool::kChanged, odd_tool::kRemoved})
    for (const std::string& path : list) EXPECT_TRUE(S_ISREG(status_of(root() / path).st_mode)) << path;
  EXPECT_EQ(status_of(root() / "usr/bin/odd-su").st_mode & 07777U, 04755U);
  EXPECT_EQ(status_of(root() / "usr/share/odd/hard-a").st_ino, status_of(root() / "usr/share/odd/hard-b").st_ino);
  EXPECT_EQ(fs::read_symlink(root() / "usr/lib/odd/libodd.so"), "libodd.so.1");
  EXPECT_TRUE(fs::is_empty(root() / "usr/share/odd/empty"));
  EXPECT_EQ(status_of(root() / "var/lib/odd/empty").st_mode & 07777U, 0750U);
  EXPECT_TRUE(fs::is_regular_file(root() / "usr/share/odd/grows"));
}

TEST_P(PackagesTest, TheSecondVersionReplacesTheFirst) {
  install(1);
  std::vector<std::string> before;
  for (const std::string& path : odd_tool::kChanged) before.push_back(bytes_of(root() / path));
  install(2);
  EXPECT_EQ(installed_version(GetParam(), root(), odd_tool::kName), "2");
  for (std::size_t i = 0; i < before.size(); ++i)
    EXPECT_NE(bytes_of(root() / odd_tool::kChanged[i]), before[i]) << odd_tool::kChanged[i];
  for (const std::string& path : odd_tool::kAdded) EXPECT_TRUE(fs::is_regular_file(root() / path)) << path;
  for (const std::string& path : odd_tool::kRemoved) EXPECT_FALSE(fs::exists(root() / path)) << path;
  EXPECT_FALSE(fs::exists(root() / "usr/share/odd/gone"));
  EXPECT_EQ(fs::read_symlink(root() / "usr/lib/odd/libodd.so"), "libodd.so.2");
  EXPECT_TRUE(fs::is_directory(root() / "usr/share/odd/grows"));
  EXPECT_EQ(status_of(root() / "usr/bin/odd-su").st_mode & 07777U, 04755U);
  EXPECT_EQ(status_of(root() / "usr/share/odd/hard-a").st_ino, status_of(root() / "usr/share/odd/hard-b").st_ino);
}

TEST_P(PackagesTest, AConfigurationThatWasEditedStays) {
  install(1);
  std::ofstream(root() / "etc/odd/odd.conf") << "edited";
  install(2);
  EXPECT_EQ(bytes_of(root() / "etc/odd/odd.conf"), "edited");
}

TEST(DpkgPackageTest, ADirectoryBecomesAFile) {
  VSKEL_REQUIRE(missing_root());
  VSKEL_REQUIRE(missing_for_packages(PackageManager::dpkg));
  const TemporaryDirectory scratch;
  const fs::path root = scratch.path() / "root";
  make_package_database(PackageManager::dpkg, root);
  for (const int version : {1, 2}) {
    const fs::path package =
        odd_tool::version(PackageManager::dpkg, version).build(PackageManager::dpkg, scratch.path());
    ASSERT_EQ(install_package(PackageManager::dpkg, root, package).code, 0);
    EXPECT_EQ(fs::is_directory(root / "usr/share/odd/shrinks"), version == 1);
  }
}

INSTANTIATE_TEST_SUITE_P(By, PackagesTest, ::testing::Values(PackageManager::dpkg, PackageManager::rpm),
                         [](const auto& parameter) { return package_manager_name(parameter.param); });

}  // namespace
}  // namespace vskel::test
