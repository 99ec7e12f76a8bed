#include "engine/txn/journal.h"
#include "tests/unit/txn/temporary_store.h"

namespace vskel {
namespace {

namespace fs = std::filesystem;

class WriteFileAtomicallyTest : public TemporaryStoreTest {
 protected:
  void SetUp() override {
    TemporaryStoreTest::SetUp();
    if (path_.empty()) return;
    auto dir = sys::open_root(path_);
    ASSERT_TRUE(dir);
    dir_ = std::move(*dir);
  }
  DirFd dir_;
};

TEST_F(WriteFileAtomicallyTest, AFileHasItsContentAndModeAndNothingElseIsThere) {
  ASSERT_TRUE(write_file_atomically(dir_, "nextid", "101\n", 0644));
  EXPECT_EQ(read_file(path_ / "nextid"), "101\n");
  EXPECT_EQ(fs::status(path_ / "nextid").permissions(), fs::perms{0644});
  EXPECT_EQ(names_in(path_), std::set<std::string>{"nextid"});
}

TEST_F(WriteFileAtomicallyTest, AReaderOfTheOldFileKeepsIt) {
  write_file(path_ / "nextid", "old and longer\n");
  std::ifstream reader(path_ / "nextid");
  ASSERT_TRUE(write_file_atomically(dir_, "nextid", "new\n", 0600));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(reader), {}), "old and longer\n");
  EXPECT_EQ(read_file(path_ / "nextid"), "new\n");
}

TEST_F(WriteFileAtomicallyTest, ASymlinkIsReplacedNotFollowed) {
  write_file(path_ / "target", "kept");
  fs::create_symlink("target", path_ / "nextid");
  ASSERT_TRUE(write_file_atomically(dir_, "nextid", "new", 0600));
  EXPECT_EQ(read_file(path_ / "target"), "kept");
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(path_ / "nextid")));
}

TEST_F(WriteFileAtomicallyTest, AFailureBeforeTheRenameLeavesTheOldFileAlone) {
  write_file(path_ / "nextid", "old");
  for (const char* call : {"openat2", "write", "fsync", "renameat"}) {
    const FailOnce broken(call);
    EXPECT_FALSE(write_file_atomically(dir_, "nextid", "new", 0600)) << call;
    EXPECT_EQ(read_file(path_ / "nextid"), "old") << call;
    EXPECT_EQ(names_in(path_), std::set<std::string>{"nextid"}) << call;
  }
}

TEST_F(WriteFileAtomicallyTest, TheLongestNameIsPossible) {
  const std::string name(255, 'n');
  ASSERT_TRUE(write_file_atomically(dir_, *Name::check(name), "x", 0600));
  EXPECT_EQ(names_in(path_), std::set<std::string>{name});
}

}  // namespace
}  // namespace vskel
