// What grows and what must not: memory with the number of files, descriptors with the number of vservers.
// VSKEL_TEST_FILES=100000 makes the tree larger, as far as the 512 MiB of the test's tmpfs go.
#include <sys/resource.h>

#include <cstdlib>

#include "tests/system/vskel_test.h"

namespace vskel::test {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kMiB = std::size_t{1} << 30;  // sanitizers keep shadows: their builds only run it
#else
constexpr std::size_t kMiB = 1 << 20;
#endif

class ScaleTest : public VskelTest {
 protected:
  /// Directories of a hundred small files each, all of them of the global part.
  void make_many_files(int files) const {
    fs::create_directories(source() / "etc");
    write_file(source() / "etc/motd", "hello\n");
    fs::path directory;
    for (int at = 0; at < files; ++at) {
      if (at % 100 == 0) {
        directory = source() / "usr/share" / ("package-" + std::to_string(at / 10'000)) /
                    ("directory-" + std::to_string(at / 100));
        fs::create_directories(directory);
      }
      write_file(directory / ("file-number-" + std::to_string(at) + ".txt"), std::to_string(at));
    }
  }

  [[nodiscard]] ProcessResult done(const Arguments& arguments) const {
    ProcessOptions options;
    options.limit = std::chrono::seconds(3600);
    ProcessResult result = run(command(arguments), options);
    EXPECT_EQ(result.code, 0) << result;
    return result;
  }

  static Arguments fleet(int count) {
    return {"create-vs",      "base",      "--count",  std::to_string(count), "--name", "v%04d", "--fqdn",
            "%s.example.com", "--ip-from", "10.0.0.1", "--no-plugins"};
  }
};

TEST_P(ScaleTest, AFileOfASkelCostsLessThanAMillionthOf256MiB) {
  const char* const asked = std::getenv("VSKEL_TEST_FILES");
  const int files = asked != nullptr ? std::atoi(asked) : 25'000;
  const std::size_t allowed = 13 * kMiB + static_cast<std::size_t>(files) * 240;
  fs::remove_all(source());
  make_many_files(files);
  EXPECT_LT(done({"build-skel", "base", "--from", source().string()}).peak_memory, allowed);
  EXPECT_LT(done(fleet(2)).peak_memory, 48 * kMiB) << "vservers are made without a list of all files";
  EXPECT_LT(done({"relink", "base"}).peak_memory, allowed);
  EXPECT_LT(done({"verify"}).peak_memory, allowed);
  // Two generations of which one file differs.
  EXPECT_LT(done({"merge-skel", "base"}).peak_memory, allowed);
  write_file(vservers() / "tmp_skel_base/usr/share/new.txt", "new\n");
  EXPECT_LT(done({"split-skel", "base", "--dry-run"}).peak_memory, allowed);
  EXPECT_LT(done({"split-skel", "base"}).peak_memory, allowed);
  EXPECT_LT(done({"diff", "base"}).peak_memory, allowed);
  EXPECT_LT(done({"relink", "base"}).peak_memory, allowed);
  EXPECT_TRUE(fs::exists(vserver("v0002") / "usr/share/new.txt"));
  EXPECT_LT(done({"rollback", "base", "1"}).peak_memory, allowed);
  EXPECT_LT(done({"remove-vs", "--yes", "v0001", "v0002"}).peak_memory, 48 * kMiB);
}

TEST_P(ScaleTest, AFileThatIsFoldedCostsAHundredBytesMore) {
  constexpr int kFiles = 25'000;
  fs::remove_all(source());
  make_many_files(kFiles);
  (void)done({"build-skel", "base", "--from", source().string()});
  (void)done({"create-vs", "base", "private", "private.example.com", "10.0.0.1", "--share", "copy", "--no-plugins"});
  EXPECT_LT(done({"relink", "base", "--to", "hardlink", "--dry-run"}).peak_memory, 17 * kMiB + kFiles * 400);
  EXPECT_LT(done({"relink", "base", "--to", "hardlink"}).peak_memory, 17 * kMiB + kFiles * 400);
  EXPECT_EQ(fs::hard_link_count(vserver("private") / "usr/share/package-0/directory-0/file-number-0.txt"), 2U);
}

TEST_P(ScaleTest, MoreThreadsThanCpusAreTakenWithoutAWord) {
  (void)done({"build-skel", "base", "--from", source().string(), "-j", "64"});
  (void)done(fleet(3));
  EXPECT_EQ(done({"relink", "base", "-j", "64"}).err, "");
}

INSTANTIATE_TEST_SUITE_P(On, ScaleTest, ::testing::Values(FileSystem::tmpfs), kParameterName);

class FleetTest : public ScaleTest {};

TEST_P(FleetTest, AThousandVserversWithAThousandDescriptors) {
  fs::remove_all(source());
  make_many_files(40);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{1024, 1024};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);  // every test is a process of its own
  ASSERT_EQ(done({"build-skel", "base", "--from", source().string()}).code, 0);
  const ProcessResult created = done(fleet(1000));
  EXPECT_LT(created.peak_memory, 64 * kMiB);
  EXPECT_TRUE(fs::exists(vserver("v1000") / "usr/share/package-0/directory-0/file-number-39.txt"));
  EXPECT_LT(done({"relink", "base"}).peak_memory, 64 * kMiB);
  EXPECT_LT(done({"list"}).peak_memory, 64 * kMiB);
}

INSTANTIATE_TEST_SUITE_P(On, FleetTest, ::testing::Values(FileSystem::xfs, FileSystem::tmpfs), kParameterName);

}  // namespace
}  // namespace vskel::test
