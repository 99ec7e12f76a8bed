// A tenant's own upgrade, without the capability that lifts seals as in a container, while another tenant has the same
// files. About 10 s.
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/packages.h"
#include "tests/support/requirement.h"
#include "tests/system/relink_fixture.h"
#include "tests/tenants/tenant.h"

namespace vskel::test {
namespace {

class PackageTest : public RelinkTest {
 protected:
  void run_cycle(PackageManager manager) {
    VSKEL_REQUIRE(missing_for_packages(manager));
    const fs::path packages = mount() / "packages";
    fs::create_directory(packages);
    const fs::path first = odd_tool::version(manager, 1).build(manager, packages),
                   second = odd_tool::version(manager, 2).build(manager, packages);
    make_package_database(manager, root());
    const ProcessResult installed = install_package(manager, root(), first);
    ASSERT_EQ(installed.code, 0) << installed;
    build();
    std::vector<std::string> ways = {"hardlink", "copy"};
    if (has_reflinks(GetParam())) ways.emplace_back("reflink");
    for (const std::string& share : ways) {
      create_vserver(share + "-a", {"--share", share});
      create_vserver(share + "-b", {"--share", share});
    }
    if (HasFatalFailure()) return;
    for (const std::string& share : ways) {
      SCOPED_TRACE(share);
      const TreeSnapshot b = snapshot_tree(vserver(share + "-b")), skels = snapshot_tree(skel());
      const bool upgraded = upgrade_as_tenant(manager, share + "-a", second);
      EXPECT_EQ(upgraded, share != "hardlink") << "only an immutable seal is in the way";
      EXPECT_EQ(joined(compare_snapshots(b, snapshot_tree(vserver(share + "-b")), {}, Identity::compared)), "");
      EXPECT_EQ(joined(compare_snapshots(skels, snapshot_tree(skel()), {}, Identity::compared)), "");
      const ProcessResult verified = vskel({"verify"});
      EXPECT_EQ(verified.code, 0) << verified;
      EXPECT_EQ(installed_version(manager, vserver(share + "-b"), odd_tool::kName), "1");
    }
    upgrade_skel(manager, second);
    if (HasFatalFailure()) return;
    const Relinked relinked = relink();
    for (const std::string& share : ways) {
      EXPECT_EQ(relinked.of(share + "-b")["status"], "done") << relinked.process;
      EXPECT_EQ(read_file(vserver(share + "-b") / "usr/bin/odd"), read_file(theirs("usr/bin/odd")));
      EXPECT_EQ(read_file(vserver(share + "-a") / "usr/bin/odd"), read_file(theirs("usr/bin/odd"))) << share;
    }
    EXPECT_EQ(inconsistencies(), "");
  }

 private:
  /// True if the package manager said that it is done. It is the host's program, because the small root has none.
  bool upgrade_as_tenant(PackageManager manager, const std::string& name, const fs::path& package) const {
    const pid_t child = ::fork();
    if (child == 0) {
      // What a program gets that is started from here on.
      if (::prctl(PR_CAPBSET_DROP, CAP_LINUX_IMMUTABLE, 0, 0, 0) != 0) ::_exit(0);
      ::_exit(install_package(manager, vserver(name), package).code == 0 ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status == 0;
  }

  void upgrade_skel(PackageManager manager, const fs::path& package) const {
    merge();
    const ProcessResult installed = install_package(manager, merged(), package);
    ASSERT_EQ(installed.code, 0) << installed;
    split();
  }
};

TEST_P(PackageTest, ByDpkg) { run_cycle(PackageManager::dpkg); }

TEST_P(PackageTest, ByRpm) { run_cycle(PackageManager::rpm); }

INSTANTIATE_TEST_SUITE_P(On, PackageTest, ::testing::Values(FileSystem::ext4, FileSystem::xfs), kParameterName);

}  // namespace
}  // namespace vskel::test
