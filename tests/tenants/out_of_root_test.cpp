// A tenant in a chroot who stands in a directory that relink takes away: wherever it ends, from there he climbs to his
// own root and no further (safety.md, invariant 8). No capability is needed for that attack, only `..`.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>

#include "engine/tree/remove.h"
#include "tests/system/relink_fixture.h"
#include "tests/tenants/tenant.h"

namespace vskel::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

/// Stands beside the store, where no vserver reaches.
constexpr const char* kOutside = "outside-of-all-vservers";
constexpr int kStands = 12;

struct Signals {
  std::atomic<int> ready{0};
  std::atomic<bool> over{false};
};

/// Between the test and its tenants, which are processes.
class SharedSignals {
 public:
  SharedSignals()
      : at_(new (::mmap(nullptr, sizeof(Signals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Signals) {
  }
  ~SharedSignals() { ::munmap(at_, sizeof(Signals)); }
  SharedSignals(const SharedSignals&) = delete;
  SharedSignals& operator=(const SharedSignals&) = delete;
  Signals& operator*() const { return *at_; }

 private:
  Signals* at_;
};

/// Climbs from `directory` as far as it goes; true if what is outside can be seen on the way.
bool is_outside(int directory) {
  constexpr int kHighest = 64;
  int at = ::dup(directory);
  bool out = false;
  for (int level = 0; level < kHighest && at >= 0 && !out; ++level) {
    out = ::faccessat(at, kOutside, F_OK, 0) == 0;
    const int above = ::openat(at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ::close(at);
    at = above;
  }
  if (at >= 0) ::close(at);
  return out;
}

std::string place(int number) { return "usr/share/doc/place" + std::to_string(number); }

/// Stands in all places at once, and climbs from each, all the time.
std::string climb(Signals& signals) {
  std::array<int, kStands> places{};
  for (int number = 0; number < kStands; ++number)
    places.at(static_cast<std::size_t>(number)) =
        ::open(("/" + place(number) + "/below").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  signals.ready.fetch_add(1);
  for (;;) {
    const bool last = signals.over;
    for (int number = 0; number < kStands; ++number)
      if (is_outside(places.at(static_cast<std::size_t>(number)))) return place(number);
    if (last) return "";
  }
}

/// Exchanges files that relink is about to replace or remove with directories in which another stands.
std::string swap(Signals& signals) {
  signals.ready.fetch_add(1);
  for (unsigned turn = 0; !signals.over; ++turn) {
    const std::string at = "/" + place(static_cast<int>(turn % kStands)) + "/below";
    const std::string with = "/usr/share/files/" + std::to_string(turn % (kStands * 3));
    ::renameat2(AT_FDCWD, at.c_str(), AT_FDCWD, with.c_str(), RENAME_EXCHANGE);
    ::renameat2(AT_FDCWD, at.c_str(), AT_FDCWD, with.c_str(), RENAME_EXCHANGE);
  }
  return "";
}

class OutOfRootTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    write_file(mount() / kOutside, "");
    for (int number = 0; number < kStands; ++number) {
      put(root() / place(number) / "README", file("a readme\n"));
      put(root() / place(number) / "below", directory({{"file", file("below\n")}}));
    }
    for (int number = 0; number < kStands * 3; ++number)
      put(root() / "usr/share/files" / std::to_string(number), file("one\n"));
    build();
  }

  /// Relinks while tenants are at it; what they had to say.
  std::vector<std::string> attacked(const std::string& name, const std::vector<std::string (*)(Signals&)>& doings) {
    const SharedSignals signals;
    std::vector<std::unique_ptr<Tenant>> tenants;
    for (const auto doing : doings)
      tenants.push_back(
          std::make_unique<Tenant>(vserver(name), Confinement::root, [doing, &signals] { return doing(*signals); }));
    while ((*signals).ready < static_cast<int>(doings.size())) ::usleep(200);
    const Relinked relinked = relink({name});
    EXPECT_TRUE(relinked.process.code == 0 || relinked.process.code == 3 || doings.size() > 1) << relinked.process;
    (*signals).over = true;
    std::vector<std::string> said;
    for (const auto& tenant : tenants) said.push_back(tenant->wait());
    return said;
  }
};

TEST_P(OutOfRootTest, NobodyClimbsFromADirectoryThatBecomesALinkOrGoes) {
  for (const char* name : {"copy", "hardlink"}) create_vserver(name, {"--share", name});
  std::map<std::string, Thing> changed;
  for (int number = 0; number < kStands; ++number) {
    if (number % 3 == 0) changed[place(number)] = symlink_to("../files");
    if (number % 3 == 1) changed[place(number)] = file("a file\n");
    if (number % 3 == 2) changed[place(number)] = absent();
  }
  update_skel(changed);
  for (const char* name : {"copy", "hardlink"}) {
    EXPECT_EQ(attacked(name, {climb}), std::vector<std::string>{""}) << name;
    EXPECT_TRUE(fs::is_symlink(vserver(name) / place(0)));
    EXPECT_EQ(read_file(vserver(name) / place(1)), "a file\n");
  }
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(OutOfRootTest, NobodyIsTakenAlongByWhatHePutsInAFilesPlace) {
  const auto end = steady_clock::now() + 3s * long_factor(40);
  int round = 0;
  do {
    const std::string name = "r" + std::to_string(++round);
    create_vserver(name, {"--share", "copy"});
    std::map<std::string, Thing> changed;
    for (int number = 0; number < kStands * 3; ++number)
      changed["usr/share/files/" + std::to_string(number)] =
          number % 3 == 0 && round % 2 == 0 ? absent() : file("round " + std::to_string(round));
    update_skel(changed);
    EXPECT_EQ(attacked(name, {climb, swap, swap}), std::vector<std::string>(3)) << round;
    for (const auto& entry : fs::directory_iterator(vserver(name)))
      EXPECT_FALSE(entry.path().filename().string().starts_with(".vskel-2")) << entry.path();
  } while (steady_clock::now() < end && !HasFailure());
}

TEST_P(OutOfRootTest, WhatIsDeepInATreeThatIsRemovedStaysInIt) {
  fs::path deep = mount() / "outer/tree";
  for (int level = 0; level < 80; ++level) deep /= "d";
  fs::create_directories(deep);
  const int held = ::open(deep.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_GE(held, 0);
  // What can't go keeps what it is in, so that one can see where that was moved to.
  ASSERT_EQ(::mount("none", deep.c_str(), "tmpfs", 0, nullptr), 0);
  const auto outer = sys::open_root((mount() / "outer").string());
  ASSERT_TRUE(outer);
  EXPECT_FALSE(remove_tree(*outer, "tree"));
  EXPECT_EQ(names_in(mount() / "outer"), std::set<std::string>{"tree"});
  ASSERT_EQ(::umount2(("/proc/self/fd/" + std::to_string(held)).c_str(), MNT_DETACH), 0);
  ::close(held);
  EXPECT_TRUE(remove_tree(*outer, "tree"));
  EXPECT_EQ(names_in(mount() / "outer"), std::set<std::string>{});
}

INSTANTIATE_TEST_SUITE_P(On, OutOfRootTest, ::testing::Values(FileSystem::ext4, FileSystem::xfs, FileSystem::btrfs),
                         kParameterName);

}  // namespace
}  // namespace vskel::test
