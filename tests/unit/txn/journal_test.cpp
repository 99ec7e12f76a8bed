#include "engine/txn/journal.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <regex>
#include <thread>

#include "engine/txn/lock.h"
#include "tests/unit/txn/temporary_store.h"

namespace vskel {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const Json kFirst{{"version", 1}, {"operation", "create-vs"}, {"skel", "web"}};
const Json kSecond{{"phase", "publish"}, {"names", {"a", "caf\u00e9", "quo\"te\n", "0badcafe {}"}}};
const Json kThird{{"phase", "done"}};

class JournalTest : public TemporaryStoreTest {
 protected:
  void SetUp() override {
    TemporaryStoreTest::SetUp();
    if (path_.empty()) return;
    auto store = Store::open_or_create(paths());
    ASSERT_TRUE(store);
    store_ = std::move(*store);
  }

  // As by a process that died after these records: locked by nobody. Gives the file.
  fs::path crash_after(const std::vector<Json>& records) {
    auto intent = Intent::begin(store_, records.at(0));
    EXPECT_TRUE(intent);
    for (std::size_t i = 1; i < records.size(); ++i) EXPECT_TRUE(intent->record(records[i]));
    return file_of(intent->id());
  }

  [[nodiscard]] fs::path file_of(const std::string& id) const { return own("journal") / (id + ".journal"); }

  [[nodiscard]] std::vector<std::vector<Json>> crashed_records() const {
    const auto crashed = crashed_intents(store_);
    EXPECT_TRUE(crashed) << crashed.error().line();
    std::vector<std::vector<Json>> out;
    if (crashed)
      for (const Intent& intent : *crashed) out.push_back(intent.records());
    return out;
  }

  Store store_;
};

using Records = std::vector<std::vector<Json>>;

TEST_F(JournalTest, RecordsSurvive) {
  const std::string id = crash_after({kFirst, kSecond, kThird}).stem();
  const auto crashed = crashed_intents(store_);
  ASSERT_TRUE(crashed);
  ASSERT_EQ(crashed->size(), 1U);
  EXPECT_EQ(crashed->front().id(), id);
  EXPECT_EQ(crashed->front().records(), (std::vector<Json>{kFirst, kSecond, kThird}));
}

TEST_F(JournalTest, RecordsSurviveTheDeathOfTheirProcess) {
  const ::pid_t writer = ::fork();
  if (writer == 0) {
    auto intent = Intent::begin(store_, kFirst);
    if (intent && intent->record(kSecond)) ::kill(::getpid(), SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(writer, &status, 0), writer);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(crashed_records(), (Records{{kFirst, kSecond}}));
}

TEST_F(JournalTest, ARecordIsOneLineWithItsChecksum) {
  const fs::path file = crash_after({Json{{"operation", "x"}, {"version", 1}}});
  EXPECT_EQ(read_file(file), "2d6a9c69 {\"operation\":\"x\",\"version\":1}\n");
}

TEST_F(JournalTest, AnIntentFileIsRootsAlone) {
  const fs::path file = crash_after({kFirst});
  EXPECT_EQ(fs::status(file).permissions(), fs::perms{0600});
}

TEST_F(JournalTest, LiveIntentsAreNotTaken) {
  const auto live = Intent::begin(store_, kFirst);
  ASSERT_TRUE(live);
  EXPECT_TRUE(crashed_records().empty());
  EXPECT_TRUE(fs::exists(file_of(live->id())));
}

TEST_F(JournalTest, WhatOneRecoverHasTakenAnotherDoesNotTake) {
  crash_after({kFirst});
  const auto taken = crashed_intents(store_);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->size(), 1U);
  EXPECT_TRUE(crashed_records().empty());
}

TEST_F(JournalTest, ClosingRemoves) {
  auto intent = Intent::begin(store_, kFirst);
  ASSERT_TRUE(intent);
  ASSERT_TRUE(intent->close());
  EXPECT_TRUE(fs::is_empty(own("journal")));
}

TEST_F(JournalTest, ClosingATakenOverIntentRemoves) {
  crash_after({kFirst});
  auto crashed = crashed_intents(store_);
  ASSERT_TRUE(crashed);
  ASSERT_EQ(crashed->size(), 1U);
  ASSERT_TRUE(crashed->front().close());
  EXPECT_TRUE(fs::is_empty(own("journal")));
}

TEST_F(JournalTest, EveryPrefixOfAJournalGivesAPrefixOfItsRecords) {
  const std::vector<Json> all{kFirst, kSecond, kThird};
  const fs::path file = crash_after(all);
  const std::string whole = read_file(file);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const std::string prefix = whole.substr(0, size);
    write_file(file, prefix);
    const auto lines = std::count(prefix.begin(), prefix.end(), '\n');
    const Records expected = lines == 0 ? Records{} : Records{{all.begin(), all.begin() + lines}};
    ASSERT_EQ(crashed_records(), expected) << size << " bytes";
  }
}

TEST_F(JournalTest, AFileThatNoRecordCanBeReadFromIsRemoved) {
  for (const std::string& content :
       {std::string(), std::string("0123"), std::string(4096, '\0'), std::string(100, '\0') + "\n"}) {
    write_file(file_of("20260101T000000.000000000Z.1.0"), content);
    EXPECT_TRUE(crashed_records().empty());
    EXPECT_TRUE(fs::is_empty(own("journal")));
  }
}

TEST_F(JournalTest, ALastLineOfZerosIsTorn) {
  const fs::path file = crash_after({kFirst, kSecond});
  const std::string whole = read_file(file);
  for (const std::string& tail :
       {std::string(300, '\0'), std::string(300, '\0') + "\n", std::string(300, '\0') + "done\"}\n"}) {
    write_file(file, whole + tail);
    EXPECT_EQ(crashed_records(), (Records{{kFirst, kSecond}}));
  }
}

TEST_F(JournalTest, WhatFollowsATornRecordIsReadAgain) {
  const fs::path file = crash_after({kFirst, kSecond});
  const std::string whole = read_file(file);
  write_file(file, whole.substr(0, whole.size() - 5));
  {
    auto crashed = crashed_intents(store_);
    ASSERT_TRUE(crashed);
    ASSERT_EQ(crashed->size(), 1U);
    ASSERT_TRUE(crashed->front().record(kSecond));
    ASSERT_TRUE(crashed->front().record(kThird));
  }
  EXPECT_EQ(crashed_records(), (Records{{kFirst, kSecond, kThird}}));
}

TEST_F(JournalTest, AFlippedBitBeforeTheLastRecordIsRefusedAndNothingTouched) {
  const fs::path file = crash_after({kFirst, kSecond, kThird});
  const std::string whole = read_file(file);
  const std::size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  for (std::size_t at = 0; at < last; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      write_file(file, damaged);
      const auto crashed = crashed_intents(store_);
      ASSERT_FALSE(crashed) << "byte " << at << " bit " << bit;
      ASSERT_TRUE(crashed.error().path.starts_with(file.string() + ":")) << crashed.error().line();
      ASSERT_EQ(read_file(file), damaged);
    }
  }
}

TEST_F(JournalTest, ADamagedFileLeavesTheOthersAsTheyAre) {
  const fs::path damaged = crash_after({kFirst, kSecond});
  std::string text = read_file(damaged);
  text[12] = static_cast<char>(text[12] ^ 1);
  write_file(damaged, text);
  const fs::path torn = crash_after({kFirst});
  write_file(torn, read_file(torn) + "torn");
  write_file(file_of("0-empty"), "");
  write_file(file_of("9-empty"), "");
  EXPECT_FALSE(crashed_intents(store_));
  EXPECT_EQ(names_in(own("journal")).size(), 4U);
  EXPECT_TRUE(read_file(torn).ends_with("torn"));
}

TEST_F(JournalTest, CrashedIntentsComeOldestFirst) {
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(crash_after({kFirst}).stem());
  EXPECT_TRUE(std::ranges::is_sorted(ids));
  const auto crashed = crashed_intents(store_);
  ASSERT_TRUE(crashed);
  std::vector<std::string> found;
  for (const Intent& intent : *crashed) found.push_back(intent.id());
  EXPECT_EQ(found, ids);
}

TEST_F(JournalTest, AnIdIsTimeProcessAndCounter) {
  const auto intent = Intent::begin(store_, kFirst);
  ASSERT_TRUE(intent);
  const std::regex form("20[0-9]{6}T[0-9]{6}\\.[0-9]{9}Z\\." + std::to_string(::getpid()) + "\\.[0-9]+");
  EXPECT_TRUE(std::regex_match(intent->id(), form)) << intent->id();
}

TEST_F(JournalTest, WhatIsNoIntentIsLeftAlone) {
  write_file(own("journal") / "README", "");
  fs::create_directory(own("journal") / "a.journal");
  fs::create_symlink("README", own("journal") / "b.journal");
  EXPECT_TRUE(crashed_records().empty());
  EXPECT_EQ(names_in(own("journal")), (std::set<std::string>{"README", "a.journal", "b.journal"}));
}

TEST_F(JournalTest, ARecordThatCouldNotBeSyncedIsTakenBack) {
  {
    auto intent = Intent::begin(store_, kFirst);
    ASSERT_TRUE(intent);
    const std::string before = read_file(file_of(intent->id()));
    {
      const FailOnce broken("fdatasync");
      EXPECT_FALSE(intent->record(kSecond));
    }
    EXPECT_EQ(intent->records(), std::vector<Json>{kFirst});
    EXPECT_EQ(read_file(file_of(intent->id())), before);
    ASSERT_TRUE(intent->record(kThird));
  }
  EXPECT_EQ(crashed_records(), (Records{{kFirst, kThird}}));
}

TEST_F(JournalTest, AnIntentThatCouldNotBeBegunLeavesNoFile) {
  for (const char* call : {"fdatasync", "fsync"}) {
    const FailOnce broken(call);
    EXPECT_FALSE(Intent::begin(store_, kFirst)) << call;
    EXPECT_TRUE(fs::is_empty(own("journal"))) << call;
  }
}

TEST_F(JournalTest, ARecordThatIsNotUtf8IsRefused) {
  auto intent = Intent::begin(store_, kFirst);
  ASSERT_TRUE(intent);
  EXPECT_FALSE(intent->record({{"config", "/etc/\xff.conf"}}));
  EXPECT_FALSE(Intent::begin(store_, {{"config", "\xff"}}));
  EXPECT_EQ(names_in(own("journal")).size(), 1U);
}

TEST_F(JournalTest, BeginningWaitsForAScan) {
  auto scan = Lock::take(store_, "journal", sys::Wait::no);
  ASSERT_TRUE(scan);
  std::atomic<bool> begun = false;
  std::thread writer([&] { begun = Intent::begin(store_, kFirst).has_value(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(begun);
  EXPECT_TRUE(fs::is_empty(own("journal")));
  { const Lock over = std::move(*scan); }
  writer.join();
  EXPECT_TRUE(begun);
}

// Removes a file as its owner would who closes the intent when a scan has opened it and not yet got its lock.
class CloseWhenOpened : public sys::Seam {
 public:
  explicit CloseWhenOpened(fs::path file) : file_(std::move(file)) { sys::install_seam(this); }
  ~CloseWhenOpened() override { sys::install_seam(nullptr); }
  CloseWhenOpened(const CloseWhenOpened&) = delete;
  CloseWhenOpened& operator=(const CloseWhenOpened&) = delete;
  int before(const char* /*call*/, bool /*changes*/, int /*dir*/, const char* name) override {
    // A lock passes no seam: the first call after the opening is the first after the lock.
    if (opened_) fs::remove(file_);
    opened_ = opened_ || name == file_.filename();
    return 0;
  }

 private:
  fs::path file_;
  bool opened_ = false;
};

TEST_F(JournalTest, AnIntentThatIsClosedWhileItIsOpenedDidNotCrash) {
  const fs::path file = crash_after({kFirst, kSecond});
  const CloseWhenOpened owner(file);
  EXPECT_TRUE(crashed_records().empty());
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(JournalTest, NoScanTakesAnIntentThatIsBegunAndClosedMeanwhile) {
  std::atomic<bool> over = false;
  std::atomic<int> failures = 0;
  std::thread writer([&] {
    for (int i = 0; i < 150; ++i) {
      auto intent = Intent::begin(store_, kFirst);
      if (!intent || !intent->close()) ++failures;
    }
    over = true;
  });
  std::size_t taken = 0;
  while (!over) taken += crashed_records().size();
  writer.join();
  EXPECT_EQ(taken, 0U);
  EXPECT_EQ(failures, 0);
  EXPECT_TRUE(crashed_records().empty());
  EXPECT_TRUE(fs::is_empty(own("journal")));
}

}  // namespace
}  // namespace vskel
