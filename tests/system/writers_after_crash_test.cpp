// A relink was killed, and with it the leases that it held: who had been waiting to write to a file that was replaced
// writes now, to an inode that lies in staging. recover brings it back, and the record says what it is a change of.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

constexpr const char* kMark = "written after the crash";

class WritersAfterCrashTest : public RelinkTest {
 protected:
  /// Files alone and in a bundle, in a copy vserver whose tenant has each of them open for reading.
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (const std::string& path : paths()) put(root() / path, file("one " + path));
    for (const std::string& path : more_of_the_bundle()) put(root() / path, file("one " + path));
    build();
  }

  void TearDown() override {
    close_all();
    RelinkTest::TearDown();
  }

  static std::vector<std::string> paths() {
    std::vector<std::string> out;
    for (const char* directory : {"usr/share/alone/", "var/lib/server/"})
      for (const char* name : {"a", "b", "c", "d"}) out.push_back(std::string(directory) + name);
    return out;
  }

  static std::vector<std::string> more_of_the_bundle() {
    std::vector<std::string> out;
    for (char name = 'e'; name < 'm'; ++name) out.push_back(std::string("var/lib/server/") + name);
    return out;
  }

  void open_all(const std::string& name) {
    close_all();
    for (const std::string& path : paths()) {
      const int fd = ::open((vserver(name) / path).c_str(), O_RDONLY | O_CLOEXEC);
      ASSERT_GE(fd, 0) << path;
      opened_[path] = fd;
    }
  }

  void close_all() {
    for (const auto& [path, fd] : std::exchange(opened_, {})) ::close(fd);
  }

  /// Writes to what was opened and is not at its path any more; the paths.
  std::set<std::string> write_to_replaced(const std::string& name) {
    std::set<std::string> written;
    for (const auto& [path, fd] : opened_) {
      struct stat opened {
      }, there{};
      EXPECT_EQ(::fstat(fd, &opened), 0);
      const bool stands = ::lstat((vserver(name) / path).c_str(), &there) == 0 && there.st_ino == opened.st_ino;
      if (stands || opened.st_nlink == 0) continue;
      write_file("/proc/self/fd/" + std::to_string(fd), kMark);
      written.insert(path);
    }
    return written;
  }

  /// After recover and one more relink: what was written stands, is told of, and the bundle is whole.
  void expect_all_is_well(const std::string& name, const std::set<std::string>& written) const {
    std::set<std::string> told;
    bool in_bundle = false;
    for (const std::string& path : written) {
      EXPECT_EQ(read_file(vserver(name) / path), kMark) << path;
      in_bundle = in_bundle || path.starts_with("var/");
      told.insert(path.starts_with("var/") ? "/var/lib/server" : "/" + path);
    }
    const Relinked again = relink({name});
    ASSERT_EQ(again.process.code, 0) << again.process;
    std::set<std::string> kept;
    for (const auto& [path, why] : again.kept(name)) kept.insert(path);
    EXPECT_EQ(kept, told) << again.process;
    for (const std::string& path : paths()) {
      if (written.contains(path)) continue;
      const bool stays = in_bundle && path.starts_with("var/");
      EXPECT_EQ(read_file(vserver(name) / path), (stays ? "one " : "two ") + path);
    }
  }

  std::map<std::string, int> opened_;
};

TEST_P(WritersAfterCrashTest, HaveTheirFilesBackAtTheirPaths) {
  constexpr int kPoints = 24;
  for (int at = 1; at <= kPoints; ++at) create_vserver("k" + std::to_string(at), {"--share", "copy"});
  std::map<std::string, Thing> changed;
  for (const std::string& path : paths()) changed[path] = file("two " + path);
  update_skel(changed);
  std::size_t written_to = 0;
  for (int at = 1; at <= kPoints && !HasFailure(); ++at) {
    const std::string name = "k" + std::to_string(at);
    SCOPED_TRACE("killed at renameat2 number " + std::to_string(at));
    open_all(name);
    (void)vskel_killed_at({"renameat2", at}, {"relink", "base", name});
    const std::set<std::string> written = write_to_replaced(name);
    written_to += written.size();
    const ProcessResult recovered = vskel({"recover"});
    ASSERT_EQ(recovered.code, 0) << recovered;
    expect_all_is_well(name, written);
  }
  EXPECT_GT(written_to, 8U);
  EXPECT_EQ(inconsistencies(), "");
}

/// Of a bundle that was half new, and then written to in both halves: it goes back whole, and what was written to what
/// had come is set aside and named.
TEST_P(WritersAfterCrashTest, LoseNothingInABundleThatGoesBack) {
  constexpr int kPoints = 12;
  for (int at = 1; at <= kPoints; ++at) create_vserver("k" + std::to_string(at), {"--share", "copy"});
  const std::string bundle = "var/lib/server/", tree = bundle + "0/";  // the first of it to come
  std::map<std::string, Thing> changed;
  for (const std::string& path : paths())
    if (path.starts_with(bundle)) changed[path] = file("two " + path);
  for (const std::string& path : more_of_the_bundle()) changed[path] = file("two " + path);
  for (const char* name : {"a", "b"}) changed[tree + name] = file("two");
  update_skel(changed);
  int went_back = 0;
  for (int at = 1; at <= kPoints && !HasFailure(); ++at) {
    const std::string name = "k" + std::to_string(at);
    SCOPED_TRACE("killed at renameat2 number " + std::to_string(at));
    (void)vskel_killed_at({"renameat2", at}, {"relink", "base", name});
    std::vector<std::string> come, old;
    for (const auto& [path, thing] : changed)
      if (fs::exists(vserver(name) / path))
        (read_file(vserver(name) / path).starts_with("two") ? come : old).push_back(path);
    if (come.empty() || old.empty()) continue;
    const std::string in_new = std::string(kMark) + " to what had come", in_old = std::string(kMark) + " to what was";
    for (const std::string& path : come) write_file(vserver(name) / path, in_new);
    write_file(vserver(name) / old.front(), in_old);
    const ProcessResult recovered = vskel({"recover"});
    ASSERT_EQ(recovered.code, 0) << recovered;
    EXPECT_EQ(read_file(vserver(name) / old.front()), in_old);
    std::size_t found = 0;
    for (const fs::path& below : {vservers() / ".vskel/quarantine", vserver(name)})
      for (const auto& entry : fs::recursive_directory_iterator(below))
        if (entry.is_regular_file() && read_file(entry.path()) == in_new) ++found;
    EXPECT_EQ(found, come.size()) << recovered;
    EXPECT_NE(recovered.out.find("what he wrote is "), recovered.out.npos) << recovered;
    for (const auto& entry : fs::directory_iterator(vservers() / ".vskel/quarantine")) fs::remove_all(entry.path());
    ++went_back;
  }
  EXPECT_GT(went_back, 3);
}

INSTANTIATE_TEST_SUITE_P(On, WritersAfterCrashTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
