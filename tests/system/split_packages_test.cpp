// split-skel and packages that their manager has begun with and not finished: no vserver is to get them.

#include <algorithm>

#include "tests/support/packages.h"
#include "tests/support/requirement.h"
#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

constexpr const char* kStatus = "var/lib/dpkg/status";

std::string paragraph(const std::string& name, const std::string& status) {
  return "Package: " + name + "\nStatus: " + status + "\nArchitecture: all\nVersion: 1\n\n";
}

class SplitPackagesTest : public RelinkTest {
 protected:
  void build_with_status(const std::string& status) {
    put(root() / kStatus, file(status));
    put(root() / "var/lib/dpkg/updates", directory({}));
    build();
  }
  /// The one line that a refused split says; nothing is changed by it, nor by its dry run.
  [[nodiscard]] std::string refusal() const {
    const StoreSnapshot before = snapshot_store();
    const ProcessResult dry_run = vskel({"split-skel", "base", "--dry-run"}), result = vskel({"split-skel", "base"});
    EXPECT_EQ(result.code, 1) << result;
    EXPECT_EQ(dry_run.code, 1) << dry_run;
    EXPECT_EQ(dry_run.err, result.err);
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
    EXPECT_EQ(changes_since(before), "");
    return result.err;
  }
};

TEST_P(SplitPackagesTest, APackageWhoseScriptFailedIsNamedAndRefused) {
  VSKEL_REQUIRE(missing_for_packages(PackageManager::dpkg));
  fs::create_directory(mount() / "packages");
  const fs::path package = Package("odd-daemon", "1")
                               .file("usr/bin/odd-daemon", "a daemon")
                               .script("postinst", "#!/bin/sh\nexit 1\n")
                               .build(PackageManager::dpkg, mount() / "packages");
  make_package_database(PackageManager::dpkg, root());
  build();
  merge();
  EXPECT_NE(install_package(PackageManager::dpkg, merged(), package).code, 0) << "there is no shell for its script";
  EXPECT_EQ(refusal(),
            "vskel: split skel base: odd-daemon (half-configured): not finished; run dpkg --configure -a in " +
                merged().string() + ", or split with --force\n");
  const ProcessResult forced = vskel({"split-skel", "base", "--force"});
  EXPECT_EQ(forced.code, 0) << forced;
  EXPECT_NE(forced.err.find("odd-daemon (half-configured)"), std::string::npos) << forced.err;
  EXPECT_EQ(read_file(skel() / "global/usr/bin/odd-daemon"), "a daemon");
}

TEST_P(SplitPackagesTest, EveryStateOnTheWayIsRefusedAndNoneAtRest) {
  build_with_status(paragraph("rest", "install ok installed"));
  merge();
  std::string rest, on_the_way;
  for (const char* status : {"install ok installed", "hold ok installed", "deinstall ok config-files",
                             "unknown ok not-installed", "purge ok not-installed"})
    rest += paragraph("rest" + std::to_string(rest.size()), status);
  for (const char* status :
       {"install ok half-installed", "install ok unpacked", "install ok half-configured", "install ok triggers-awaited",
        "install ok triggers-pending", "install reinstreq installed"}) {
    put(merged() / kStatus, file(rest + paragraph("one", status)));
    EXPECT_NE(refusal().find("base: one ("), std::string::npos) << status;
    on_the_way += paragraph("one" + std::to_string(on_the_way.size()), status);
  }
  put(merged() / kStatus, file(rest + on_the_way));
  const std::string all = refusal();
  EXPECT_EQ(std::ranges::count(all, '('), 6) << all;
  put(merged() / kStatus, file(rest));
  EXPECT_EQ(vskel({"split-skel", "base"}).code, 0);
}

TEST_P(SplitPackagesTest, AnInterruptedDpkgIsRefused) {
  build_with_status(paragraph("rest", "install ok installed"));
  merge();
  put(merged() / "var/lib/dpkg/updates/tmp.i", file("half a paragraph"));
  EXPECT_EQ(vskel({"split-skel", "base", "--dry-run"}).code, 0) << "dpkg does not read that one";
  put(merged() / "var/lib/dpkg/updates/0003", file(paragraph("rest", "install ok unpacked")));
  EXPECT_NE(refusal().find("base: dpkg was interrupted; run dpkg --configure -a"), std::string::npos);
  EXPECT_EQ(vskel({"split-skel", "base", "--force"}).code, 0);
}

TEST_P(SplitPackagesTest, AStatusThatNobodyUnderstandsIsToldAndADatabaseElsewhereIsNotFollowed) {
  build_with_status(paragraph("rest", "install ok installed"));
  merge();
  put(merged() / kStatus, file("Package: one\nStatus: half a"));
  const ProcessResult told = vskel({"split-skel", "base", "--dry-run"});
  EXPECT_EQ(told.code, 0) << told;
  EXPECT_NE(told.err.find("/var/lib/dpkg/status:2: "), std::string::npos) << told.err;
  put(merged() / kStatus, symlink_to("../../../etc/status"));
  put(merged() / "etc/status", file(paragraph("one", "install ok unpacked")));
  EXPECT_EQ(vskel({"split-skel", "base", "--dry-run"}).code, 0);
  put(merged() / kStatus, fifo());
  EXPECT_EQ(vskel({"split-skel", "base", "--dry-run"}).code, 0);
}

INSTANTIATE_TEST_SUITE_P(On, SplitPackagesTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
