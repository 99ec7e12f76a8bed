// Tenants write to the very files that relink replaces or shares, in each way in which programs write. What was
// acknowledged to a tenant (fsync, msync, a rename came back) must be found at its path after the run: by name, not in
// an inode that has none any more. About 10 s for each file system.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>

#include "tests/support/inode_extras.h"
#include "tests/system/relink_fixture.h"
#include "tests/tenants/tenant.h"

namespace vskel::test {
namespace {

using namespace std::chrono_literals;

constexpr int kFiles = 120, kWriters = 3, kVservers = 2;
constexpr auto kBudget = 3s;

/// How a program writes.
enum class Way {
  append,
  in_place,
  truncate_and_rewrite,
  rename_over,
  unnamed_then_named,
  kept_descriptor,
  kept_mapping,
  change_mode,
  count_
};
constexpr std::array kWayNames = {"append",    "in place",        "truncate and rewrite", "rename over",
                                  "O_TMPFILE", "kept descriptor", "kept mapping",         "chmod"};
constexpr auto kWays = static_cast<std::size_t>(Way::count_);

/// Between the test and its tenants.
struct Blackboard {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false}, over{false};
  std::array<std::atomic<bool>, kFiles> acknowledged{};
};

class SharedBlackboard {
 public:
  SharedBlackboard()
      : at_(::mmap(nullptr, sizeof(Blackboard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    new (at_) Blackboard;
  }
  ~SharedBlackboard() { ::munmap(at_, sizeof(Blackboard)); }
  SharedBlackboard(const SharedBlackboard&) = delete;
  SharedBlackboard& operator=(const SharedBlackboard&) = delete;
  Blackboard* operator->() const { return static_cast<Blackboard*>(at_); }
  Blackboard& operator*() const { return *static_cast<Blackboard*>(at_); }

 private:
  void* at_;
};

std::string path_of(int number) { return "usr/share/written/" + std::to_string(number); }
Way way_of(int number) { return static_cast<Way>(static_cast<std::size_t>(number) % kWays); }
std::string mark_of(int number) { return "<written " + std::to_string(number) + ">"; }
constexpr mode_t kMarkedMode = 0640;

bool put_at_end(int fd, const std::string& mark) {
  return ::write(fd, mark.data(), mark.size()) == static_cast<ssize_t>(mark.size()) && ::fsync(fd) == 0;
}

bool write_new_and_rename(const std::string& path, const std::string& mark, bool unnamed) {
  const std::string beside = path + ".new";
  const int fd = unnamed ? ::open("/usr/share/written", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644)
                         : ::open(beside.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  bool done = put_at_end(fd, mark);
  if (unnamed) done = done && ::linkat(fd, "", AT_FDCWD, beside.c_str(), AT_EMPTY_PATH) == 0;
  done = done && ::rename(beside.c_str(), path.c_str()) == 0;
  ::close(fd);
  return done;
}

/// One file of a tenant's: opened before the run if it is one that is kept open.
class Written {
 public:
  explicit Written(int number) : number_(number), path_("/" + path_of(number)) {
    if (way_of(number) != Way::kept_descriptor && way_of(number) != Way::kept_mapping) return;
    kept_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    if (kept_ < 0 || way_of(number) != Way::kept_mapping) return;
    mapped_ = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, kept_, 0));
    ::close(kept_);  // the mapping is all that tells of the writer
  }

  /// True if the kernel said that it is written.
  [[nodiscard]] bool write() const {
    const std::string mark = mark_of(number_);
    switch (way_of(number_)) {
      case Way::append:
        return with_open(O_WRONLY | O_APPEND, [&](int fd) { return put_at_end(fd, mark); });
      case Way::in_place:
        return with_open(O_RDWR, [&](int fd) {
          return ::pwrite(fd, mark.data(), mark.size(), 100) == static_cast<ssize_t>(mark.size()) && ::fsync(fd) == 0;
        });
      case Way::truncate_and_rewrite:
        return with_open(O_WRONLY | O_TRUNC, [&](int fd) { return put_at_end(fd, mark); });
      case Way::rename_over:
        return write_new_and_rename(path_, mark, false);
      case Way::unnamed_then_named:
        return write_new_and_rename(path_, mark, true);
      case Way::kept_descriptor:
        return ::pwrite(kept_, mark.data(), mark.size(), 100) == static_cast<ssize_t>(mark.size()) &&
               ::fsync(kept_) == 0;
      case Way::kept_mapping:
        std::copy(mark.begin(), mark.end(), mapped_ + 100);
        return ::msync(mapped_, 4096, MS_SYNC) == 0;
      case Way::change_mode:
        return ::chmod(path_.c_str(), kMarkedMode) == 0;
      case Way::count_:
        break;
    }
    return false;
  }

 private:
  template <class Use>
  [[nodiscard]] bool with_open(int how, Use use) const {
    const int fd = ::open(path_.c_str(), how | O_CLOEXEC);
    if (fd < 0) return false;
    const bool done = use(fd);
    ::close(fd);
    return done;
  }

  int number_;
  std::string path_;
  int kept_ = -1;
  char* mapped_ = nullptr;
};

void pause_for(std::chrono::microseconds time) { ::usleep(static_cast<useconds_t>(time.count())); }

/// A tenant that writes each of its files once, at some moment of the run.
std::string write_during_run(Blackboard& board, int writer, unsigned seed) {
  std::mt19937 random(seed);
  // One is put off by everybody else, also between finding a file and opening it.
  const sched_param none{};
  if (writer == 0) ::sched_setscheduler(0, SCHED_IDLE, &none);
  std::vector<int> numbers;
  for (int number = writer; number < kFiles; number += kWriters) numbers.push_back(number);
  std::ranges::shuffle(numbers, random);
  std::vector<std::pair<int, Written>> files;
  for (const int number : numbers) files.emplace_back(number, Written(number));
  board.ready.fetch_add(1);
  while (!board.go) pause_for(100us);
  for (const auto& [number, file] : files) {
    if (board.over && way_of(number) != Way::kept_descriptor && way_of(number) != Way::kept_mapping) continue;
    pause_for(std::chrono::microseconds(random() % 700));
    if (file.write()) board.acknowledged.at(static_cast<std::size_t>(number)) = true;
  }
  return "";
}

/// What the run is to do with the files.
enum class Aim { replace, share_extents, share_inodes };

class NoLostWriteTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (int number = 0; number < kFiles; ++number) put(root() / path_of(number), file(content(number)));
    build();
  }

  [[nodiscard]] std::string content(int number) const {
    std::string text = "generation " + std::to_string(generation_) + " file " + std::to_string(number) + "\n";
    text.resize(4096, '.');
    return text;
  }

  /// New vservers, the tenants at work in them, one relink under them.
  void round(Aim aim, unsigned seed) {
    std::vector<std::string> names;
    for (int i = 0; i < kVservers; ++i) names.push_back("r" + std::to_string(++made_));
    for (const std::string& name : names)
      create(name, "192.0.2." + std::to_string(made_ % 200 + 1), {"--share", "copy"});
    if (aim == Aim::replace) {
      ++generation_;
      std::map<std::string, Thing> things;
      for (int number = 0; number < kFiles; ++number) things[path_of(number)] = file(content(number));
      update_skel(things);
    }
    if (HasFatalFailure()) return;
    const TreeSnapshot skel_before = snapshot_tree(skel() / "global");
    std::vector<std::unique_ptr<SharedBlackboard>> boards;
    std::vector<std::unique_ptr<Tenant>> tenants;
    for (const std::string& name : names) {
      boards.push_back(std::make_unique<SharedBlackboard>());
      for (int writer = 0; writer < kWriters; ++writer)
        tenants.push_back(
            std::make_unique<Tenant>(vserver(name), Confinement::root, [&board = **boards.back(), writer, seed] {
              return write_during_run(board, writer, seed * 31 + static_cast<unsigned>(writer));
            }));
    }
    for (const auto& board : boards)
      while ((*board)->ready < kWriters) pause_for(200us);
    for (const auto& board : boards) (*board)->go = true;
    const ProcessResult result = vskel(request(aim, names));
    for (const auto& board : boards) (*board)->over = true;
    for (const auto& tenant : tenants) (void)tenant->wait();
    ASSERT_TRUE(result.code == 0 || result.code == 3 || (result.code == 1 && aim == Aim::share_inodes)) << result;
    for (std::size_t i = 0; i < names.size(); ++i) count_lost(names[i], **boards[i]);
    EXPECT_EQ(joined(compare_snapshots(skel_before, snapshot_tree(skel() / "global"), {}, Identity::compared)), "")
        << result;
    Arguments removal = {"remove-vs", "--yes"};
    removal.insert(removal.end(), names.begin(), names.end());
    const ProcessResult removed = vskel(removal);
    ASSERT_EQ(removed.code, 0) << removed;
  }

  static Arguments request(Aim aim, const std::vector<std::string>& names) {
    Arguments arguments = {"relink", "base"};
    if (aim == Aim::share_extents) arguments.insert(arguments.end(), {"--to", "reflink"});
    if (aim == Aim::share_inodes) arguments.insert(arguments.end(), {"--to", "hardlink"});
    arguments.insert(arguments.end(), names.begin(), names.end());
    return arguments;
  }

  void count_lost(const std::string& name, const Blackboard& board) {
    for (int number = 0; number < kFiles; ++number) {
      const auto way = static_cast<std::size_t>(way_of(number));
      if (!board.acknowledged.at(static_cast<std::size_t>(number))) {
        replaced_ += read_file(vserver(name) / path_of(number)) == content(number) ? 1 : 0;
        continue;
      }
      ++acknowledged_.at(way);
      struct stat status {};
      const fs::path path = vserver(name) / path_of(number);
      ASSERT_EQ(::lstat(path.c_str(), &status), 0) << path;
      const bool there = way_of(number) == Way::change_mode
                             ? (status.st_mode & 07777) == kMarkedMode
                             : read_file(path).find(mark_of(number)) != std::string::npos;
      if (!there) ++lost_.at(way);
    }
  }

  void run(Aim aim) {
    const auto end = std::chrono::steady_clock::now() + kBudget * long_factor(20);
    unsigned rounds = 0;
    while (std::chrono::steady_clock::now() < end && !HasFatalFailure()) round(aim, ++rounds);
    std::printf("%u rounds, %d left to relink\n", rounds, replaced_);
    for (std::size_t way = 0; way < kWays; ++way) {
      std::printf("  %-22s %6d acknowledged, %d lost\n", kWayNames.at(way), acknowledged_.at(way), lost_.at(way));
      EXPECT_EQ(lost_.at(way), 0) << kWayNames.at(way) << " of " << acknowledged_.at(way);
      EXPECT_GT(acknowledged_.at(way), 0) << kWayNames.at(way) << ": nothing was tried";
    }
    EXPECT_EQ(inconsistencies(), "");
  }

 private:
  int generation_ = 0, made_ = 0, replaced_ = 0;
  std::array<int, kWays> acknowledged_{}, lost_{};
};

TEST_P(NoLostWriteTest, WhereFilesAreReplaced) { run(Aim::replace); }

TEST_P(NoLostWriteTest, WhereInodesAreShared) { run(Aim::share_inodes); }

TEST_P(NoLostWriteTest, WhereExtentsAreShared) {
  if (!has_reflinks(GetParam())) return;
  run(Aim::share_extents);
}

INSTANTIATE_TEST_SUITE_P(On, NoLostWriteTest, kAllFileSystems, kParameterName);

}  // namespace
}  // namespace vskel::test
