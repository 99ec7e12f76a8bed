// What a tenant may leave in his tree: special files that must not be opened, shapes that must not cost more than they
// are worth, other file systems. Every command ends in time, tells what it left out, and does for the other vservers
// what it was asked for.
//
// Costs some twenty seconds; VSKEL_LONG=1 nests and fills as deep and wide as the threats say.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "tests/support/requirement.h"
#include "tests/system/relink_fixture.h"

namespace vskel::test {
namespace {

constexpr int kDone = 0, kDoneInPart = 3;

bool runs_long() { return std::getenv("VSKEL_LONG") != nullptr; }

/// A number of a file, opened; closes it.
class OpenFile {
 public:
  OpenFile(int number, const fs::path& path) : number_(number) {
    if (number < 0) throw std::system_error(errno, std::generic_category(), path.string());
  }
  OpenFile(OpenFile&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  OpenFile& operator=(OpenFile&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~OpenFile() {
    if (number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_;
};

/// Tries to write to FIFOs all the time, wherever they are moved. ENXIO says that nobody has one open for reading.
class FifoWriter {
 public:
  explicit FifoWriter(const std::vector<fs::path>& paths) {
    for (const fs::path& path : paths) pinned_.emplace_back(::open(path.c_str(), O_PATH | O_CLOEXEC), path);
    thread_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested())
        for (const OpenFile& fifo : pinned_) {
          const std::string path = "/proc/self/fd/" + std::to_string(fifo.number());
          const int number = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
          ++tries_;
          if (number >= 0 || errno != ENXIO) ++readers_;
          if (number >= 0) ::close(number);
        }
    });
  }
  [[nodiscard]] std::size_t tries() const { return tries_; }
  [[nodiscard]] std::size_t readers() const { return readers_; }

 private:
  std::vector<OpenFile> pinned_;
  std::atomic<std::size_t> tries_{0}, readers_{0};
  std::jthread thread_;  // ends before what it uses
};

class TenantTreesTest : public RelinkTest {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(has_program("strace") ? std::nullopt : std::optional<std::string>("needs strace"));
    RelinkTest::SetUp();
  }

  /// A command that must not take longer, nor have more in memory, than an honest tree makes it.
  [[nodiscard]] ProcessResult bounded(const Arguments& arguments) const {
    ProcessOptions options;
    options.limit = std::chrono::seconds(runs_long() ? 200 : 60);
    const ProcessResult result = run(command(arguments), options);
    EXPECT_EQ(result.signal, 0) << arguments.front() << " " << result.err.substr(0, 2000);
    EXPECT_LT(result.peak_memory, std::size_t{300} << 20) << arguments.front();
    for (const char c : result.out + result.err)
      if (c != '\n' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)) {
        ADD_FAILURE() << arguments.front() << " told a control character";
        break;
      }
    return result;
  }

  /// The calls of a command that opened one of a tenant's special files ("zoo-..." in web1, in a merged skel or in the
  /// trash) but to pin it.
  [[nodiscard]] std::vector<std::string> opened_by(const Arguments& arguments, const std::set<int>& codes) const {
    return opened_by_program(command(arguments), codes);
  }
  [[nodiscard]] std::vector<std::string> opened_by_program(const Arguments& program, const std::set<int>& codes) const {
    const fs::path trace = mount() / "trace";
    Arguments traced = {"strace", "-f", "-y", "-qq", "-e", "trace=open,openat,openat2", "-o", trace.string()};
    traced.insert(traced.end(), program.begin(), program.end());
    ProcessOptions options;
    options.environment["ASAN_OPTIONS"] = "detect_leaks=0";  // the leak checker cannot work under a tracer
    const ProcessResult result = run(traced, options);
    EXPECT_TRUE(codes.contains(result.code)) << result;
    std::vector<std::string> out;
    std::size_t opens = 0;
    std::map<std::string, std::string> begun;  // what a thread's call began with, where another's came in between
    for (std::string line : take_trace(trace)) {
      const std::string thread = line.substr(0, line.find(' '));
      if (const std::size_t cut = line.find("<unfinished ...>"); cut != line.npos) {
        begun[thread] = line.substr(0, cut);
        continue;
      }
      if (line.find(" resumed>") != line.npos) line.insert(0, begun[thread]);
      const std::size_t answer = line.rfind(" = ");
      if (answer == line.npos || line.find("O_PATH") != line.npos) continue;
      ++opens;
      const std::string opened = line.substr(answer);
      const bool is_tenants = opened.find("/vservers/web1/") != opened.npos ||
                              opened.find("/tmp_skel_base/") != opened.npos || opened.find(".web1/") != opened.npos;
      if (is_tenants && opened.find("/zoo-") != opened.npos) out.push_back(line);
    }
    EXPECT_GT(opens, 0U) << "nothing was traced";
    return out;
  }

  void make_node(const fs::path& path, mode_t mode, dev_t device = 0) const {
    fs::create_directories(path.parent_path());
    ASSERT_EQ(::mknod(path.c_str(), mode, device), 0) << path;
  }

  /// Directories inside one another, made by descriptors.
  void nest(const fs::path& top, std::size_t depth, const std::string& name = "d") const {
    OpenFile dir(::open(top.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), top);
    for (std::size_t level = 0; level < depth; ++level) {
      ASSERT_EQ(::mkdirat(dir.number(), name.c_str(), 0755), 0) << level;
      dir = OpenFile(::openat(dir.number(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), top);
    }
  }
};

class SpecialFilesTest : public TenantTreesTest {
 protected:
  void SetUp() override {
    TenantTreesTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (const char* name : {"zoo-a", "zoo-b", "zoo-c", "zoo-e"}) put(root() / "usr/bin" / name, file(name, 0755));
    put(root() / "usr/lib/zoo-d", directory({{"inner", file("inner")}}));
    put(root() / "var/lib/dpkg/zoo-status", file("Package: a\n"));
    build();
  }

  /// In places of the skel's files, in a package database, and beside. Gives the FIFOs.
  [[nodiscard]] std::vector<fs::path> plant(const fs::path& tree) const {
    const std::vector<fs::path> fifos{tree / "usr/bin/zoo-a", tree / "usr/lib/zoo-d", tree / "var/lib/dpkg/zoo-status",
                                      tree / "var/lib/dpkg/zoo-more", tree / "zoo-fifo"};
    for (const fs::path& path : fifos) {
      fs::remove_all(path);
      make_node(path, S_IFIFO | 0666);
    }
    fs::remove(tree / "usr/bin/zoo-b");
    fs::remove(tree / "usr/bin/zoo-c");
    fs::remove(tree / "usr/bin/zoo-e");
    make_node(tree / "usr/bin/zoo-b", S_IFCHR | 0666, makedev(1, 1));  // memory
    make_node(tree / "usr/bin/zoo-c", S_IFSOCK | 0666);
    make_node(tree / "usr/bin/zoo-e", S_IFBLK | 0666, makedev(7, 250));  // of a loop device that is not there
    make_node(tree / "zoo-tty", S_IFCHR | 0666, makedev(5, 0));
    make_node(tree / "zoo-watchdog", S_IFCHR | 0666, makedev(10, 130));  // to open it is to be rebooted
    make_node(tree / "zoo-tape", S_IFCHR | 0666, makedev(9, 0));
    return fifos;
  }
};

TEST_P(SpecialFilesTest, OfATenantAreNeverOpened) {
  create_vserver("web1");
  create_vserver("web2");
  std::vector<fs::path> fifos;
  {
    const TenantAtWork tenant(vserver("web1"), skel());
    fifos = plant(vserver("web1"));
  }
  update_skel({{"usr/bin/zoo-a", file("newer", 0755)},
               {"usr/bin/zoo-b", file("newer", 0755)},
               {"usr/bin/zoo-c", absent()},
               {"usr/bin/zoo-e", file("newer", 0755)},
               {"usr/lib/zoo-d/inner", file("newer")},
               {"var/lib/dpkg/zoo-status", file("Package: b\n")}});
  const FifoWriter writer(fifos);
  const std::vector<std::string> none;
  EXPECT_EQ(opened_by({"list"}, {kDone}), none);
  EXPECT_EQ(opened_by({"show", "web1"}, {kDone}), none);
  EXPECT_EQ(opened_by({"verify"}, {kDone}), none);
  EXPECT_EQ(opened_by({"relink", "base", "--dry-run", "-j", "1"}, {kDone, kDoneInPart}), none);
  EXPECT_EQ(opened_by({"relink", "base", "--share-only", "--anywhere"}, {kDone, kDoneInPart}), none);
  EXPECT_EQ(opened_by({"relink", "base", "--pkgdb", "force"}, {kDone, kDoneInPart}), none);
  EXPECT_EQ(opened_by({"relink", "base", "--to", "copy"}, {kDone, kDoneInPart}), none);
  EXPECT_EQ(read_file(vserver("web2") / "usr/bin/zoo-a"), "newer") << "the other vserver was served";
  EXPECT_EQ(opened_by({"remove-vs", "--yes", "web1"}, {kDone}), none);
  EXPECT_FALSE(fs::exists(vserver("web1")));
  EXPECT_EQ(inconsistencies(), "");
  EXPECT_GT(writer.tries(), 1000U);
  EXPECT_EQ(writer.readers(), 0U) << "somebody opened a FIFO for reading";
}

TEST_P(SpecialFilesTest, ThatSomebodyOpensAreFound) {
  create_vserver("web1");
  const fs::path fifo = vserver("web1") / "zoo-fifo", zero = vserver("web1") / "zoo-zero";
  make_node(fifo, S_IFIFO | 0666);
  make_node(zero, S_IFCHR | 0666, makedev(1, 5));
  const FifoWriter writer({fifo});
  EXPECT_EQ(opened_by_program({"head", "-c", "1", zero.string()}, {0}).size(), 1U);
  EXPECT_EQ(writer.readers(), 0U);
  {
    const OpenFile reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC), fifo);
    const std::size_t before = writer.tries();
    while (writer.tries() < before + 3) std::this_thread::yield();
  }
  EXPECT_GT(writer.readers(), 0U);
}

TEST_P(SpecialFilesTest, OfASkelAreNeverOpened) {
  merge();
  const std::vector<fs::path> fifos = plant(merged());
  const FifoWriter writer(fifos);
  EXPECT_EQ(opened_by({"split-skel", "base"}, {kDone}), std::vector<std::string>());
  EXPECT_EQ(opened_by({"verify"}, {kDone}), std::vector<std::string>());
  EXPECT_EQ(opened_by({"create-vs", "base", "web1", "web1.example.com", "192.0.2.1"}, {kDone}),
            std::vector<std::string>());
  EXPECT_TRUE(fs::is_fifo(vserver("web1") / "usr/bin/zoo-a"));
  EXPECT_TRUE(fs::is_character_file(vserver("web1") / "usr/bin/zoo-b"));
  EXPECT_EQ(opened_by({"remove-vs", "--yes", "web1"}, {kDone}), std::vector<std::string>());
  EXPECT_GT(writer.tries(), 1000U);
  EXPECT_EQ(writer.readers(), 0U) << "somebody opened a FIFO for reading";
}

INSTANTIATE_TEST_SUITE_P(On, SpecialFilesTest, kOneFileSystem, kParameterName);

class ShapesTest : public TenantTreesTest {
 protected:
  void SetUp() override {
    TenantTreesTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    put(root() / "usr/share/shape", directory({{"file", file("file")}, {"big", file("big")}}));
    put(root() / "usr/share/odd\n\x1b[31m\x9b", file("odd"));
    build();
    create_vserver("web1");
    create_vserver("web2");
  }

  /// Every command over both vservers. `update` is what the skel changes.
  void expect_served() const {
    const ProcessResult listed = bounded({"--json", "list"});
    EXPECT_EQ(listed.code, kDone);
    const Json listing = Json::parse(listed.out, nullptr, false);
    ASSERT_TRUE(listing.is_object()) << listed;
    for (const Json& vserver : listing["vservers"]) EXPECT_EQ(vserver.value("problem", ""), "") << listed;
    EXPECT_EQ(bounded({"--json", "show", "web1"}).code, kDone);
    EXPECT_EQ(bounded({"verify"}).code, kDone);
    update_skel({{"usr/share/shape/file", file("newer")}, {"usr/share/odd\n\x1b[31m\x9b", file("newer")}});
    const ProcessResult relinked = bounded({"--json", "relink", "base"});
    EXPECT_EQ(relinked.code, kDone) << relinked;
    EXPECT_FALSE(Json::parse(relinked.out, nullptr, false).is_discarded()) << relinked;
    EXPECT_EQ(read_file(vserver("web2") / "usr/share/shape/file"), "newer");
    const ProcessResult anywhere = bounded({"relink", "base", "--anywhere"});
    EXPECT_EQ(anywhere.code, kDone) << anywhere;
    EXPECT_EQ(bounded({"remove-vs", "--yes", "web1"}).code, kDone);
    EXPECT_FALSE(fs::exists(vserver("web1")));
    EXPECT_EQ(inconsistencies(), "");
  }
};

TEST_P(ShapesTest, DirectoriesNestedDeeperThanAnyPath) {
  nest(vserver("web1"), runs_long() ? 100'000 : 12'000);
  // Long names, and at every level one more: what is held for those that wait must not grow with their paths.
  const std::string name(255, 'x');
  OpenFile dir(::open((vserver("web1") / "usr/share/shape").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "shape");
  for (int level = 0; level < 2500; ++level) {
    ASSERT_EQ(::mkdirat(dir.number(), "beside", 0755), 0);
    ASSERT_EQ(::mkdirat(dir.number(), name.c_str(), 0755), 0);
    dir = OpenFile(::openat(dir.number(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "shape");
  }
  expect_served();
}

TEST_P(ShapesTest, ADirectoryOfVeryManyEntries) {
  const int count = runs_long() ? 100'000 : 20'000;
  const fs::path shape = vserver("web1") / "usr/share/shape";
  for (int at = 0; at < count; ++at)
    ASSERT_EQ(::symlink("nowhere", (shape / ("entry-" + std::to_string(at))).c_str()), 0);
  expect_served();
}

TEST_P(ShapesTest, NamesThatAreNoText) {
  const fs::path tree = vserver("web1");
  for (const std::string& name :
       {std::string(255, 'n'), std::string("a\nb"), std::string("\x1b[2J\x07"), std::string("\x9b"),
        std::string("\xff\xfe"), std::string("-rf"), std::string("--"), std::string(" "), std::string("*"),
        std::string("%s%n"), std::string("\\"), std::string("\""), std::string("..."), std::string("\xe2\x80\xae"),
        std::string("a\rb"), std::string("#mtree")}) {
    write_file(tree / "usr/share/shape" / name, name);
    fs::create_directory(tree / "usr" / (name.substr(0, 200) + "dir"));
  }
  change("web1", {{"usr/share/odd\n\x1b[31m\x9b", file("mine")}});  // a conflict, to be told of
  expect_served();
}

TEST_P(ShapesTest, FilesAsLargeAsTheFileSystemTakesThem) {
  constexpr off_t kLargest = std::numeric_limits<off_t>::max();
  const auto grow = [](const fs::path& path) {
    const OpenFile open(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644), path);
    ASSERT_EQ(::ftruncate(open.number(), kLargest), 0) << path;
  };
  change("web1", {{"usr/share/shape/big", file("")}, {"usr/share/shape/file", file("")}});
  for (const char* path : {"usr/share/shape/big", "usr/share/shape/file", "giant", "usr/bin/giant"})
    grow(vserver("web1") / path);
  expect_served();
}

INSTANTIATE_TEST_SUITE_P(On, ShapesTest, ::testing::Values(FileSystem::xfs), kParameterName);

class OtherFileSystemsTest : public TenantTreesTest {
 protected:
  void SetUp() override {
    TenantTreesTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    put(root() / "usr/share/shape", directory({{"file", file("file")}}));
    build();
    create_vserver("web1");
    create_vserver("web2");
  }
};

class SubvolumesTest : public OtherFileSystemsTest {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(has_program("btrfs") ? std::nullopt : std::optional<std::string>("needs btrfs"));
    OtherFileSystemsTest::SetUp();
  }
  static void make_subvolume(const fs::path& path) {
    run_or_throw({"btrfs", "-q", "subvolume", "create", path.string()});
  }
};

TEST_P(SubvolumesTest, OfATenantAreOtherFileSystemsAndGoWithTheirVserver) {
  const fs::path tree = vserver("web1");
  {
    const TenantAtWork tenant(tree, skel());
    fs::remove_all(tree / "usr/share/shape");
    make_subvolume(tree / "usr/share/shape");
  }
  write_file(tree / "usr/share/shape/file", "file");  // equal to the skel's, but not its inode to be
  make_subvolume(tree / "sub");
  write_file(tree / "sub/file", "file");
  nest(tree / "sub", 300);
  make_subvolume(tree / "sub/d/d/inner");
  write_file(tree / "sub/d/d/inner/file", "x");
  nest(tree / "sub/d/d/inner", 200);
  fs::path deep = tree / "sub";
  for (int level = 0; level < 100; ++level) deep /= "d";
  make_subvolume(deep / "low");
  write_file(deep / "low/file", "x");
  fs::create_directories(tree / "sub/low/a/b");
  for (const fs::path& path : {deep / "low", tree / "sub/d/d/inner", tree / "sub"})
    run_or_throw({"btrfs", "property", "set", path.string(), "ro", "true"});
  update_skel({{"usr/share/shape/file", file("newer")}});
  EXPECT_EQ(bounded({"list"}).code, kDone);
  const Relinked relinked = relink({"--anywhere"});
  EXPECT_EQ(read_file(tree / "usr/share/shape/file"), "file");
  EXPECT_EQ(read_file(tree / "sub/file"), "file");
  EXPECT_EQ(relinked.kept("web1").size(), 1U) << relinked.process;
  EXPECT_EQ(read_file(vserver("web2") / "usr/share/shape/file"), "newer");
  EXPECT_EQ(bounded({"remove-vs", "--yes", "web1"}).code, kDone);
  EXPECT_EQ(inconsistencies(), "");
}

TEST_P(SubvolumesTest, InAMergedSkelMustGoBeforeItIsSplit) {
  merge();
  make_subvolume(merged() / "usr/share/sub");
  write_file(merged() / "usr/share/sub/file", "x");
  const ProcessResult refused = vskel({"split-skel", "base"});
  EXPECT_NE(refused.code, kDone);
  EXPECT_NE(refused.err.find("usr/share/sub"), std::string::npos) << refused;
  run_or_throw({"btrfs", "-q", "subvolume", "delete", (merged() / "usr/share/sub").string()});
  split();
  EXPECT_EQ(vskel({"verify"}).code, kDone);
}

TEST_P(SubvolumesTest, InASourceAreLeftOutAndTold) {
  make_subvolume(root() / "usr/share/sub");
  write_file(root() / "usr/share/sub/file", "x");
  const ProcessResult built = vskel({"build-skel", "second", "--from", root().string()});
  EXPECT_EQ(built.code, kDone) << built;
  EXPECT_NE((built.out + built.err).find("usr/share/sub: another file system"), std::string::npos) << built;
  EXPECT_FALSE(fs::exists(skel("second") / "global/usr/share/sub/file"));
  EXPECT_EQ(vskel({"verify"}).code, kDone);
}

INSTANTIATE_TEST_SUITE_P(On, SubvolumesTest, ::testing::Values(FileSystem::btrfs), kParameterName);

using MountsTest = OtherFileSystemsTest;

TEST_P(MountsTest, InOneVserverStandInNobodyElsesWay) {
  fs::create_directory(vserver("web1") / "mounted");
  const fs::path mounted = vserver("web1") / "mounted";
  ASSERT_EQ(::mount("tmpfs", mounted.c_str(), "tmpfs", 0, nullptr), 0);
  write_file(mounted / "file", "not yours");
  EXPECT_EQ(bounded({"list"}).code, kDone);
  update_skel({{"usr/share/shape/file", file("newer")}});
  EXPECT_EQ(relink({"--anywhere"}).process.code, kDone);
  const ProcessResult removed = bounded({"remove-vs", "--yes", "web1", "web2"});
  EXPECT_EQ(removed.code, kDoneInPart) << removed;
  EXPECT_NE(removed.err.find("web1 is removed, but some of its files stay in the trash"), std::string::npos) << removed;
  EXPECT_FALSE(fs::exists(vserver("web2")));
  // The next command, whatever it is, does what it is asked for.
  create_vserver("web3");
  const std::set<std::string> trash = names_in(vservers() / ".vskel/trash");
  ASSERT_EQ(trash.size(), 1U);
  const fs::path in_trash = vservers() / ".vskel/trash" / *trash.begin() / "mounted";
  EXPECT_EQ(read_file(in_trash / "file"), "not yours");
  const ProcessResult told = vskel({"recover"});
  EXPECT_EQ(told.code, kDone) << told;
  EXPECT_NE((told.out + told.err).find("could not be emptied"), std::string::npos) << told;
  ASSERT_EQ(::umount2(in_trash.c_str(), 0), 0);
  EXPECT_EQ(vskel({"recover"}).code, kDone);
  EXPECT_EQ(inconsistencies(), "");
}

INSTANTIATE_TEST_SUITE_P(On, MountsTest, kOneFileSystem, kParameterName);

}  // namespace
}  // namespace vskel::test
