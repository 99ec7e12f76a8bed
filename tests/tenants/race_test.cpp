// Random races: tenants who change everything they can reach, at random with a fixed seed, under every command. Nothing
// outside changes, no command hangs or dies, and in the end all is as it should be. About 13 s on each of three
// file systems.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>

#include "tests/support/inode_extras.h"
#include "tests/support/requirement.h"
#include "tests/system/relink_fixture.h"
#include "tests/tenants/tenant.h"

namespace vskel::test {
namespace {

using std::chrono::steady_clock;
constexpr std::chrono::seconds kRaceTime{10}, kCommandLimit{30};

/// Where it is worth to be: what relink replaces, with its parents. The second of a pair of names is a symlink's.
const std::vector<std::string> kPlaces = {"usr/bin",       "usr/lib", "usr/share", "usr/share/d", "usr/share/d/e",
                                          "usr/share/new", "etc",     "etc/d",     "var/lib/x",   "srv"};
const std::vector<std::string> kNames = {"f0", "f1",   "f2",        "f3",           "f4",  "d",
                                         "e",  "gone", "new\nline", "\xff\xfe\x1b", "-rf", std::string(250, 'n'),
                                         " ",  "f5",   "turns"};

/// Changes the tree that is its root. What comes of each change is the kernel's business.
class Fuzzer {
 public:
  Fuzzer(unsigned seed, std::string canary) : random_(seed), canary_(std::move(canary)) {}

  [[noreturn]] void run() {
    for (;;) (this->*kDoings.at(random_() % kDoings.size()))();
  }

 private:
  std::string place() { return "/" + kPlaces[random_() % kPlaces.size()]; }
  std::string path() { return place() + "/" + kNames[random_() % kNames.size()]; }

  // A directory and a symlink to somewhere outside change places, back and forth.
  void swap_with_symlink() {
    const std::string at = place(), beside = "/swap" + std::to_string(random_() % 4);
    (void)!::symlink(random_() % 2 == 0 ? canary_.c_str() : "../../../canary", beside.c_str());
    for (int i = 0; i < 20; ++i) ::renameat2(AT_FDCWD, at.c_str(), AT_FDCWD, beside.c_str(), RENAME_EXCHANGE);
    struct stat status {};
    if (::lstat(at.c_str(), &status) == 0 && S_ISLNK(status.st_mode))
      ::renameat2(AT_FDCWD, at.c_str(), AT_FDCWD, beside.c_str(), RENAME_EXCHANGE);
  }
  void write() {
    const int fd = ::open(path().c_str(), O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0) return;
    (void)!::write(fd, "tenant's", 8);
    if (random_() % 8 == 0) (void)!::ftruncate(fd, static_cast<off_t>(random_() % (1ULL << 40)));
    ::close(fd);
  }
  void make_node() {
    constexpr std::array<mode_t, 4> kTypes = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
    ::mknod(path().c_str(), kTypes.at(random_() % 4) | 0600U, makedev(1, 3));
  }
  void make_directory() { ::mkdir(path().c_str(), 0755); }
  void make_symlink() { (void)!::symlink((canary_ + "/file").c_str(), path().c_str()); }
  void go_deep() {
    std::string at = "/srv/deep" + std::to_string(random_() % 3);
    for (int depth = 0; depth < 80; ++depth) {
      ::mkdir(at.c_str(), 0755);
      at += "/" + std::string(40, 'd');
    }
  }
  void move() { ::rename(path().c_str(), path().c_str()); }
  void move_place() {
    const std::string at = place(), away = "/away" + std::to_string(random_() % 3);
    if (::rename(at.c_str(), away.c_str()) == 0) ::rename(away.c_str(), at.c_str());
  }
  void exchange() { ::renameat2(AT_FDCWD, path().c_str(), AT_FDCWD, path().c_str(), RENAME_EXCHANGE); }
  void remove() {
    const std::string at = path();
    if (::unlink(at.c_str()) != 0) ::rmdir(at.c_str());
  }
  void link() { (void)!::link(path().c_str(), path().c_str()); }
  void change_metadata() {
    const std::string at = path();
    (void)!::lchown(at.c_str(), 5, 5);
    struct stat status {};
    if (::lstat(at.c_str(), &status) == 0 && !S_ISLNK(status.st_mode)) ::chmod(at.c_str(), 04711);
    ::utimensat(AT_FDCWD, at.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
    ::lsetxattr(at.c_str(), "user.tenant", "x", 1, 0);
  }
  void lease() {
    const int fd = ::open(path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return;
    ::signal(SIGIO, SIG_IGN);
    ::fcntl(fd, F_SETLEASE, F_WRLCK);
    ::usleep(2000);
    ::close(fd);
  }

  using Doing = void (Fuzzer::*)();
  static constexpr std::array<Doing, 16> kDoings = {&Fuzzer::swap_with_symlink,
                                                    &Fuzzer::swap_with_symlink,
                                                    &Fuzzer::write,
                                                    &Fuzzer::write,
                                                    &Fuzzer::make_node,
                                                    &Fuzzer::make_directory,
                                                    &Fuzzer::make_symlink,
                                                    &Fuzzer::go_deep,
                                                    &Fuzzer::move,
                                                    &Fuzzer::move_place,
                                                    &Fuzzer::exchange,
                                                    &Fuzzer::remove,
                                                    &Fuzzer::link,
                                                    &Fuzzer::change_metadata,
                                                    &Fuzzer::swap_with_symlink,
                                                    &Fuzzer::lease};

  std::mt19937 random_;
  std::string canary_;
};

/// Counts in this process and in those that it forks.
class SharedCounter {
 public:
  SharedCounter() : at_(::mmap(nullptr, sizeof(Count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (at_ == MAP_FAILED) throw std::runtime_error("mmap");
    new (at_) Count(0);
  }
  ~SharedCounter() { ::munmap(at_, sizeof(Count)); }
  SharedCounter(const SharedCounter&) = delete;
  SharedCounter& operator=(const SharedCounter&) = delete;
  using Count = std::atomic<int>;
  Count* operator->() const { return static_cast<Count*>(at_); }

 private:
  void* at_;
};

class RaceTest : public RelinkTest {
 protected:
  void SetUp() override {
    RelinkTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    VSKEL_REQUIRE(has_program("systemd-nspawn") ? std::nullopt : std::optional<std::string>("needs systemd-nspawn"));
    put(canary() / "file", file("outside", 0600));
    for (const char* name : {"f0", "f1", "d/e/f2", "new/f3", "d/turns/f"}) put(canary() / name, file("outside"));
    for (const std::string& path : all_paths()) put(root() / path, file(content(path)));
    for (const char* path : {"srv", "usr/lib"}) put(root() / path, directory({}));
    build();
  }

  [[nodiscard]] fs::path canary() const { return mount() / "canary"; }

  static std::vector<std::string> all_paths() {
    std::vector<std::string> paths;
    for (const char* place : {"usr/bin", "usr/share/d", "usr/share/d/e", "etc/d", "var/lib/x"})
      for (int i = 0; i < 6; ++i) paths.push_back(std::string(place) + "/f" + std::to_string(i));
    return paths;
  }
  [[nodiscard]] std::string content(const std::string& path) const {
    return path + " of generation " + std::to_string(generation_) + std::string(3000, '.');
  }

  void next_generation() {
    ++generation_;
    std::map<std::string, Thing> things;
    for (const std::string& path : all_paths()) things[path] = file(content(path));
    const bool odd = generation_ % 2 == 1;
    things["usr/share/turns"] = odd ? file("a file") : directory({{"f0", file("inside")}});
    things["usr/share/gone"] = odd ? absent() : file("is there");
    things["usr/share/new"] = odd ? directory({{"f0", file("new")}}) : absent();
    update_skel(things);
  }

  [[nodiscard]] std::unique_ptr<Tenant> fuzz(const std::string& name, Confinement confinement, unsigned seed) const {
    const bool is_guest = confinement == Confinement::nspawn;
    return std::make_unique<Tenant>(vserver(name), confinement, [this, seed, is_guest]() -> std::string {
      if (is_guest) guests_->fetch_add(1);
      Fuzzer(seed, canary().string()).run();
    });
  }

  void command_under_attack(const Arguments& arguments) {
    ProcessOptions options;
    options.limit = kCommandLimit;
    const ProcessResult result = run(command(arguments), options);
    EXPECT_EQ(result.signal, 0) << arguments[0] << ": " << result;
    EXPECT_TRUE(result.code == 0 || result.code == 1 || result.code == 3) << arguments[0] << ": " << result;
    if (result.code == 1) std::printf("  %s said: %s\n", arguments[0].c_str(), result.err.c_str());
    ++codes_[arguments[0] + " " + std::to_string(result.code)];
  }

  /// A vserver that is removed while somebody comes in.
  void create_and_remove(unsigned seed) {
    const std::string name = "short" + std::to_string(seed);
    command_under_attack({"create-vs", "base", name, name + ".example.com", "192.0.2.200", "--share",
                          seed % 2 == 0 ? "hardlink" : "copy"});
    if (!fs::exists(vserver(name))) return;
    Process removal(command({"remove-vs", name, "--yes"}));
    ::usleep(seed * 7919 % 12'000);
    std::unique_ptr<Tenant> late;
    if (fs::exists(vserver(name))) late = fuzz(name, Confinement::root, seed);
    const ProcessResult removed = removal.wait();
    EXPECT_EQ(removed.signal, 0) << removed;
    ++codes_["remove-vs " + std::to_string(removed.code)];
    late.reset();
    if (fs::exists(vserver(name))) command_under_attack({"remove-vs", name, "--yes"});
  }

  void tell() const {
    for (const auto& [what, count] : codes_) std::printf("  %s: %d\n", what.c_str(), count);
    std::printf("  guests of systemd-nspawn's: %d\n", guests_->load());
  }

  int generation_ = 0;
  /// Those that came up: systemd-nspawn gives up where another tenant of the same root is quicker.
  const SharedCounter guests_;
  std::map<std::string, int> codes_;
};

TEST_P(RaceTest, TenantsAgainstEveryCommand) {
  std::vector<std::string> names = {"copies", "links"};
  if (has_reflinks(GetParam())) names.emplace_back("clones");
  create_vserver("copies", {"--share", "copy"});
  create_vserver("links", {"--share", "hardlink"});
  if (has_reflinks(GetParam())) create_vserver("clones", {"--share", "reflink"});
  create_vserver("bystander");
  if (HasFatalFailure()) return;
  const TreeSnapshot outside = snapshot_tree(canary());
  const auto end = steady_clock::now() + kRaceTime * long_factor(60);
  std::vector<std::unique_ptr<Tenant>> tenants;
  unsigned seed = 1;
  for (unsigned round = 0; steady_clock::now() < end && !HasFatalFailure(); ++round) {
    // Those who share sealed inodes come and go, so that what has to wait for them has its turn.
    tenants.clear();
    for (const std::string& name : names)
      if (name != "links" || round % 3 == 0) {
        for (const Confinement confinement : {Confinement::nspawn, Confinement::root, Confinement::user_namespace})
          tenants.push_back(fuzz(name, confinement, ++seed));
      }
    command_under_attack({"relink", "base"});
    command_under_attack({"verify"});
    for (const std::string& name : names) command_under_attack({"relink", "base", name});
    command_under_attack({"list"});
    command_under_attack({"prune", "base"});
    create_and_remove(++seed);
    if (round % 3 == 0) tenants.clear();
    next_generation();
  }
  tenants.clear();
  tell();
  EXPECT_GT(codes_["relink 0"], 0) << "never came through";
  EXPECT_GT(guests_->load(), 0) << "no guest of systemd-nspawn's came up";
  EXPECT_EQ(joined(compare_snapshots(outside, snapshot_tree(canary()), {}, Identity::compared)), "");
  const ProcessResult recovered = vskel({"recover"});
  EXPECT_EQ(recovered.code, 0) << recovered;
  EXPECT_EQ(inconsistencies(), "");
  const ProcessResult verified = vskel({"verify"});
  EXPECT_EQ(verified.code, 0) << verified;
  for (const std::string& path : all_paths()) EXPECT_EQ(read_file(theirs(path)), content(path)) << path;
  const ProcessResult last = vskel({"relink", "base", "bystander"});
  EXPECT_EQ(last.code, 0) << last;
  for (const std::string& path : all_paths()) EXPECT_EQ(read_file(vserver("bystander") / path), content(path)) << path;
}

INSTANTIATE_TEST_SUITE_P(On, RaceTest, ::testing::Values(FileSystem::ext4, FileSystem::xfs, FileSystem::btrfs),
                         kParameterName);

}  // namespace
}  // namespace vskel::test
