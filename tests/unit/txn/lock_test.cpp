#include "engine/txn/lock.h"

#include <errno.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "tests/unit/txn/temporary_store.h"

namespace vskel {
namespace {

class LockTest : public TemporaryStoreTest {
 protected:
  void SetUp() override {
    TemporaryStoreTest::SetUp();
    if (path_.empty()) return;
    auto store = Store::open_or_create(paths());
    ASSERT_TRUE(store);
    store_ = std::move(*store);
  }

  [[nodiscard]] Result<Lock> try_lock(const std::string& name) const { return Lock::take(store_, name, sys::Wait::no); }

  // Another process that holds the lock when this returns, and until it is killed.
  [[nodiscard]] ::pid_t held_by_another(const std::string& name) const {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    const ::pid_t holder = ::fork();
    if (holder == 0) {
      const auto lock = Lock::take(store_, name, sys::Wait::yes);
      const char outcome = lock ? 'y' : 'n';
      if (::write(ready[1], &outcome, 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    char outcome = 0;
    EXPECT_EQ(::read(ready[0], &outcome, 1), 1);
    EXPECT_EQ(outcome, 'y');
    ::close(ready[0]);
    ::close(ready[1]);
    return holder;
  }

  static void kill_and_reap(::pid_t process) {
    ::kill(process, SIGKILL);
    EXPECT_EQ(::waitpid(process, nullptr, 0), process);
  }

  Store store_;
};

TEST_F(LockTest, Excludes) {
  const auto held = try_lock("skel.web");
  ASSERT_TRUE(held);
  EXPECT_FALSE(try_lock("skel.web"));
}

TEST_F(LockTest, OfAnotherNameIsAnotherLock) {
  const auto held = try_lock("skel.web");
  ASSERT_TRUE(held);
  EXPECT_TRUE(try_lock("skel.mail"));
}

TEST_F(LockTest, EndsWithItsOwnerAndLeavesItsFile) {
  EXPECT_TRUE(try_lock("skel.web"));
  EXPECT_TRUE(try_lock("skel.web"));
  EXPECT_TRUE(std::filesystem::exists(own("locks") / "skel.web"));
}

TEST_F(LockTest, DiesWithItsHolder) {
  const ::pid_t holder = held_by_another("contexts");
  EXPECT_FALSE(try_lock("contexts"));
  kill_and_reap(holder);
  EXPECT_TRUE(try_lock("contexts"));
}

TEST_F(LockTest, HeldByAnotherNamesTheHolder) {
  const ::pid_t holder = held_by_another("vserver.web1");
  const auto refused = try_lock("vserver.web1");
  kill_and_reap(holder);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().line(),
            "lock vserver.web1: held by process " + std::to_string(holder) + " " + program_invocation_short_name);
  EXPECT_EQ(refused.error().blame, Blame::machine);
}

TEST_F(LockTest, WritesNothing) {
  ASSERT_TRUE(try_lock("journal"));
  EXPECT_EQ(std::filesystem::file_size(own("locks") / "journal"), 0U);
  const FailOnce full("pwrite64");
  EXPECT_TRUE(try_lock("trash"));
}

TEST_F(LockTest, WaitingTakesItWhenTheHolderDies) {
  const ::pid_t holder = held_by_another("skel.web");
  std::thread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ::kill(holder, SIGKILL);
  });
  EXPECT_TRUE(Lock::take(store_, "skel.web", sys::Wait::yes));
  killer.join();
  EXPECT_EQ(::waitpid(holder, nullptr, 0), holder);
}

TEST_F(LockTest, ANameThatIsNoFilesNameIsAnError) {
  for (const char* name : {"", ".", "..", "a/b", "../journal/x"}) EXPECT_FALSE(try_lock(name)) << name;
}

}  // namespace
}  // namespace vskel
