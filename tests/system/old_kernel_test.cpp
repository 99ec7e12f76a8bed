// Kernels that lack a system call, each in turn (seccomp answers ENOSYS, as they do): all is done in an older way, with
// the same result, or refused in one line before anything has changed.
#include <sys/syscall.h>

#include "tests/support/requirement.h"
#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

struct Missing {
  const char* call;
  int number;
};

// Of asm-generic/unistd.h; younger ones than the headers here.
constexpr int kFchmodat2 = 452, kListxattrat = 465, kFileGetattr = 468, kFileSetattr = 469;

// With the version that brought them.
constexpr Missing kYounger[] = {
    {"copy_file_range", SYS_copy_file_range},                  // 4.5
    {"pidfd_send_signal", SYS_pidfd_send_signal},              // 5.1
    {"io_uring_setup", SYS_io_uring_setup},                    // 5.1
    {"open_tree", SYS_open_tree},                              // 5.2
    {"pidfd_open", SYS_pidfd_open},                            // 5.3
    {"clone3", SYS_clone3},                                    // 5.3
    {"openat2", SYS_openat2},                                  // 5.6
    {"faccessat2", SYS_faccessat2},                            // 5.8
    {"close_range", SYS_close_range},                          // 5.9
    {"mount_setattr", SYS_mount_setattr},                      // 5.12
    {"landlock_create_ruleset", SYS_landlock_create_ruleset},  // 5.13
    {"fchmodat2", kFchmodat2},                                 // 6.6
    {"listxattrat", kListxattrat},                             // 6.13
    {"file_getattr", kFileGetattr},                            // 6.17
    {"file_setattr", kFileSetattr},                            // 6.17
};

class OldKernelTest : public VskelTest {
 protected:
  void expect_done(const Arguments& arguments) const {
    const ProcessResult result = vskel(arguments);
    EXPECT_EQ(result.code, 0) << joined(arguments) << result;
    EXPECT_EQ(inconsistencies(), "") << joined(arguments);
  }

  /// A skel from its making to its end, with vservers that share in every way there is here.
  void live() const {
    expect_done({"build-skel", "base", "--from", source().string()});
    std::vector<std::string> shares{"hardlink", "copy"};
    if (has_reflinks(GetParam())) shares.emplace_back("reflink");
    std::vector<std::string> names;
    for (const std::string& share : shares) {
      names.push_back("web-" + share);
      const std::string& name = names.back();
      expect_done({"create-vs", "base", name, name + ".example.com", "192.0.2." + std::to_string(names.size()),
                   "--share", share});
      EXPECT_EQ(differences_from_source(name), "") << share;
    }
    expect_done({"verify"});
    expect_done({"merge-skel", "base"});
    write_file(vservers() / "tmp_skel_base/usr/bin/added", "of the second generation\n");
    expect_done({"split-skel", "base"});
    expect_done({"relink", "base"});
    for (const std::string& name : names)
      EXPECT_EQ(read_file(vserver(name) / "usr/bin/added"), "of the second generation\n") << name;
    expect_done({"verify"});
    expect_done({"rollback", "base", "1"});
    expect_done({"relink", "base"});
    for (const std::string& name : names) EXPECT_FALSE(fs::exists(vserver(name) / "usr/bin/added")) << name;
    expect_done({"prune", "base"});
    Arguments removal{"remove-vs", "--yes"};
    removal.insert(removal.end(), names.begin(), names.end());
    expect_done(removal);
    expect_done({"remove-skel", "base", "--yes"});
    EXPECT_EQ(names_in(vservers() / ".skel"), std::set<std::string>{});
  }
};

// What stands in for a call is the same on every file system.
class EachCallTest : public OldKernelTest {};

TEST_P(EachCallTest, WithoutAnyOneOfTheYoungerCalls) {
  for (const Missing& missing : kYounger) {
    SCOPED_TRACE(missing.call);
    take_away({missing.number});
    live();
  }
}

TEST_P(OldKernelTest, WithoutAllOfThem) {
  std::vector<int> all;
  for (const Missing& missing : kYounger) all.push_back(missing.number);
  take_away(all);
  live();
}

INSTANTIATE_TEST_SUITE_P(On, OldKernelTest, kAllFileSystems, kParameterName);
INSTANTIATE_TEST_SUITE_P(On, EachCallTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
