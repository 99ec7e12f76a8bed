// What the kernel still lets a confined process do.

#include "engine/sys/confinement.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>

#include "tests/support/requirement.h"
#include "tests/support/temporary_directory.h"

namespace vskel::sys {
namespace {

namespace fs = std::filesystem;

constexpr int kNotHere = 200, kBroken = 201;

/// What `work` gives (0 to 199, as errno is), in a process that may change nothing but what is below `writable`.
int confined(const fs::path& writable, const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    const std::array<std::string, 2> paths{writable.string(), "/no-such-directory"};
    const auto done = confine_changes(paths);
    if (!done) ::_exit(kBroken);
    ::_exit(*done == Confined::yes ? work() : kNotHere);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : kBroken;
}

/// 0 or errno.
int outcome(int result) { return result >= 0 ? 0 : errno; }

class ConfinementTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(inside());
    fs::create_directory(outside());
    std::ofstream(outside() / "file") << "text";
    std::ofstream(inside() / "file") << "text";
    const bool here = confined(inside(), [] { return 0; }) != kNotHere;
    VSKEL_REQUIRE(here ? std::optional<std::string>() : "a kernel with Landlock, and the right to use it");
  }
  [[nodiscard]] fs::path inside() const { return scratch_.path() / "inside"; }
  [[nodiscard]] fs::path outside() const { return scratch_.path() / "outside"; }

 private:
  test::TemporaryDirectory scratch_;
};

TEST_F(ConfinementTest, ReadsEverywhere) {
  EXPECT_EQ(confined(inside(), [this] { return outcome(::open((outside() / "file").c_str(), O_RDONLY)); }), 0);
  EXPECT_EQ(confined(inside(), [this] { return outcome(::open(outside().c_str(), O_RDONLY | O_DIRECTORY)); }), 0);
  EXPECT_EQ(confined(inside(), [] { return outcome(::open("/", O_RDONLY | O_DIRECTORY)); }), 0);
}

TEST_F(ConfinementTest, ChangesWhatIsInside) {
  const std::string file = inside() / "file", made = inside() / "made", directory = inside() / "directory";
  EXPECT_EQ(confined(inside(), [&] { return outcome(::open(file.c_str(), O_RDWR | O_TRUNC)); }), 0);
  EXPECT_EQ(confined(inside(), [&] { return outcome(::open(made.c_str(), O_WRONLY | O_CREAT, 0600)); }), 0);
  EXPECT_EQ(confined(inside(), [&] { return outcome(::mkdir(directory.c_str(), 0700)); }), 0);
  EXPECT_EQ(confined(inside(), [&] { return outcome(::rename(made.c_str(), (directory + "/made").c_str())); }), 0);
  EXPECT_EQ(confined(inside(), [&] { return outcome(::unlink((directory + "/made").c_str())); }), 0);
}

TEST_F(ConfinementTest, ChangesNothingOutside) {
  const std::string file = outside() / "file", made = outside() / "made";
  const auto refused = [this](const std::function<int()>& call) {
    return confined(inside(), [&call] { return outcome(call()); });
  };
  EXPECT_EQ(refused([&] { return ::open(file.c_str(), O_WRONLY); }), EACCES);
  EXPECT_EQ(refused([&] { return ::open(file.c_str(), O_RDWR | O_TRUNC); }), EACCES);
  EXPECT_EQ(refused([&] { return ::open(made.c_str(), O_WRONLY | O_CREAT, 0600); }), EACCES);
  EXPECT_EQ(refused([&] { return ::mkdir(made.c_str(), 0700); }), EACCES);
  EXPECT_EQ(refused([&] { return ::symlink("target", made.c_str()); }), EACCES);
  EXPECT_EQ(refused([&] { return ::mknod(made.c_str(), S_IFIFO | 0600, 0); }), EACCES);
  EXPECT_EQ(refused([&] { return ::unlink(file.c_str()); }), EACCES);
  EXPECT_EQ(refused([&] { return ::rename(file.c_str(), made.c_str()); }), EACCES);
  EXPECT_EQ(refused([&] { return ::link(file.c_str(), (inside() / "linked").c_str()); }), EXDEV);
  EXPECT_EQ(refused([&] { return ::rename((inside() / "file").c_str(), made.c_str()); }), EACCES);
  EXPECT_TRUE(fs::exists(file));
  EXPECT_EQ(fs::file_size(file), 4U);
  EXPECT_FALSE(fs::exists(fs::symlink_status(made)));
}

TEST_F(ConfinementTest, RunsNoProgram) {
  EXPECT_EQ(confined(inside(),
                     [] {
                       const char* const arguments[] = {"true", nullptr};
                       ::execv("/bin/true", const_cast<char**>(arguments));
                       return errno;
                     }),
            EACCES);
}

}  // namespace
}  // namespace vskel::sys
