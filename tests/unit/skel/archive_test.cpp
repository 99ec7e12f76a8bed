#include "engine/skel/archive.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

#include "engine/skel/posix_acl.h"
#include "engine/sys/kernel.h"
#include "tests/support/requirement.h"

namespace vskel {
namespace {

namespace fs = std::filesystem;

/// The output of a shell command; the test fails if the command does.
std::string shell(const std::string& command) {
  const auto close = [](FILE* stream) { EXPECT_EQ(::pclose(stream), 0); };
  const std::unique_ptr<FILE, decltype(close)> pipe(::popen(("set -e; " + command).c_str(), "r"), close);
  std::string out;
  std::array<char, 4096> buffer{};
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe.get()))
    out.append(buffer.data(), got);
  return out;
}

/// One ustar entry after another, wrong ones among them.
std::string entry(char type, const std::string& name, const std::string& target = "", const std::string& content = "") {
  std::string header(512, '\0');
  const auto put = [&](std::size_t at, const std::string& text) { header.replace(at, text.size(), text); };
  const auto octal = [](std::size_t number) {
    std::array<char, 12> text{};
    std::snprintf(text.data(), text.size(), "%011zo", number);
    return std::string(text.data());
  };
  put(0, name);
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, octal(content.size()));
  put(136, octal(0));
  put(148, "        ");
  header[156] = type;
  put(157, target);
  put(257, std::string("ustar\00000", 8));
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(148, octal(sum).substr(5) + std::string(1, '\0'));
  return header + content + std::string((512 - content.size() % 512) % 512, '\0');
}

std::string file(const std::string& name, const std::string& content = "x") { return entry('0', name, "", content); }
std::string symlink(const std::string& name, const std::string& target) { return entry('2', name, target); }
std::string hard_link(const std::string& name, const std::string& target) { return entry('1', name, target); }
std::string directory(const std::string& name) { return entry('5', name); }
const std::string kEnd(1024, '\0');

class ArchiveTest : public testing::Test {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(::geteuid() == 0 ? std::nullopt : std::optional<std::string>("needs root"));
    std::string pattern = "/var/tmp/vskel-archive.XXXXXX";
    top_ = ::mkdtemp(pattern.data());
    fs::create_directory(top_ / "source");
  }
  void TearDown() override {
    if (!top_.empty()) shell("rm -rf " + top_.string());
  }

  Result<UnpackReport> unpack(const fs::path& archive) {
    // Not by std::filesystem, which copies the whole path at every level of a deep tree.
    shell("rm -rf " + (top_ / "target").string());
    fs::create_directory(top_ / "target");
    return unpack_archive(*sys::open_input(archive), archive, *sys::open_root(top_ / "target"));
  }

  Result<UnpackReport> unpack_bytes(const std::string& bytes) {
    std::ofstream(top_ / "made.tar", std::ios::binary) << bytes;
    return unpack(top_ / "made.tar");
  }

  void expect_refused(const std::string& bytes, const std::string& name, const std::string& why) {
    const auto report = unpack_bytes(bytes);
    ASSERT_FALSE(report) << name;
    EXPECT_NE(report.error().line().find((top_ / "made.tar").string()), std::string::npos) << report.error().line();
    EXPECT_NE(report.error().line().find(name), std::string::npos) << report.error().line();
    EXPECT_NE(report.error().line().find(why), std::string::npos) << report.error().line();
  }

  /// Everything that a tree says of itself but for ctime, inode numbers and link counts of directories.
  [[nodiscard]] std::string picture(const char* tree) const {
    return shell("cd " + (top_ / tree).string() +
                 "; export LC_ALL=C; find . ! -type d -printf '%P|%y|%m|%U|%G|%s|%T@|%n|%l\\n' -o "
                 "-printf '%P|%y|%m|%U|%G|%T@\\n' | sort"
                 "; find . \\( -type b -o -type c \\) -exec stat -c '%n %t %T' {} + | sort"
                 "; find . -type f -print0 | sort -z | xargs -0r sha256sum"
                 "; find . -print0 | sort -z | xargs -0 getfattr -h -d -m - -e hex"
                 "; find . -type f -links +1 -printf '%i %P\\n' | sort -k2 | "
                 "awk '{if (!($1 in n)) n[$1]=++c; print n[$1], $2}'");
  }

  /// Every kind of inode and of metadata.
  void make_source() const {
    const fs::path source = top_ / "source";
    shell("cd " + source.string() + R"sh(
      mkdir -p etc usr/bin var/lib/deep sticky default; chmod 1777 sticky; chmod 2750 var/lib; chown 5:7 var/lib
      echo 'root:x:0:0:root:/root:/bin/sh
alice:x:4711:4711::/home/alice:/bin/sh' > etc/passwd; echo 'staff:x:4712:' > etc/group
      echo hello > usr/bin/tool; ln usr/bin/tool usr/bin/second; ln usr/bin/tool var/third
      echo su > usr/bin/su; chown 3:4 usr/bin/su; chmod 6755 usr/bin/su; : > usr/bin/empty; chmod 0 usr/bin/empty
      echo ping > usr/bin/ping
      setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 usr/bin/ping
      setfattr -n user.note -v 'line
two' usr/bin/tool; setfattr -n user.dir -v d var; setfattr -n trusted.t -v 0x00ff usr/bin/su
      ln -s /absolute/target link; ln -s ../../outside usr/out; chown -h 8:9 link; ln link hard-to-link
      mkfifo -m 0620 fifo; mknod -m 0666 null c 1 3; mknod -m 0660 disk b 259 65537; chown 0:6 disk
      truncate -s 3M hole; printf middle | dd of=hole bs=1 seek=1048576 conv=notrunc status=none
      truncate -s 1M all-hole; printf x > tail; truncate -s 200000 tail
      echo u > "$(printf 'caf\303\251')"; echo b > "$(printf 'bad\377')"; echo n > "$(printf 'new\nline')"
      ln -s "$(printf 'caf\303\251')" to-utf8; ln -s "$(printf 'bad\377')" to-bad; ln "$(printf 'bad\377')" hard-bad
      long=$(printf '%0255d' 0); mkdir -p "$long/$long"; echo l > "$long/$long/$long"
      touch -h -d '2001-02-03 04:05:06.123456789Z' link hole usr/bin/tool; touch -d '1960-01-01 00:00:00.25Z' tail)sh");
    const auto set_acl = [&](const char* name, const char* xattr, std::vector<AclEntry> entries) {
      const DirFd dir = *sys::open_root(source);
      const std::string text = name;
      ASSERT_TRUE(sys::set_xattr(dir, *Name::check(text), {xattr, acl_value(std::move(entries))}));
    };
    const std::vector<AclEntry> acl{{AclTag::owner, 6, {}, {}},        {AclTag::user, 7, 4711, {}},
                                    {AclTag::owning_group, 4, {}, {}}, {AclTag::group, 2, 4712, {}},
                                    {AclTag::mask, 7, {}, {}},         {AclTag::other, 0, {}, {}}};
    set_acl("tail", "system.posix_acl_access", acl);
    set_acl("default", "system.posix_acl_default", acl);
    shell("touch -d '1999-12-31 23:59:59.5Z' " + (source / "var/lib").string());
  }

  fs::path top_;
};

constexpr const char* kGnuTar = "tar --format=posix --numeric-owner --xattrs --xattrs-include='*' --acls --sparse ";

TEST_F(ArchiveTest, OfGnuTarGivesTheSameTree) {
  make_source();
  shell("cd " + (top_ / "source").string() + "; " + kGnuTar + "-cf ../a.tar . 2>&1");
  const auto report = unpack(top_ / "a.tar");
  ASSERT_TRUE(report) << report.error().line();
  EXPECT_EQ(report->notes, std::vector<std::string>());
  EXPECT_EQ(picture("target"), picture("source"));
  for (const char* part : {"tail|f|670|0|0|200000|-315619200.2500000000|1|", "./null 1 3", "security.capability=0x",
                           "system.posix_acl_default=0x", "usr/bin/su|f|6755|3|4|", "2 var/third"})
    EXPECT_NE(picture("target").find(part), std::string::npos) << part << picture("target");
  struct stat hole {};
  ASSERT_EQ(::stat((top_ / "target/hole").c_str(), &hole), 0);
  EXPECT_LT(hole.st_blocks, 512);
  ASSERT_EQ(::stat((top_ / "target/all-hole").c_str(), &hole), 0);
  EXPECT_EQ(hole.st_blocks, 0);
}

TEST_F(ArchiveTest, OfBsdtarGivesTheSameTree) {
  VSKEL_REQUIRE(std::system("command -v bsdtar >/dev/null") == 0 ? std::nullopt
                                                                 : std::optional<std::string>("needs bsdtar"));
  make_source();
  // bsdtar writes times before 1970 in a way of its own.
  shell("cd " + (top_ / "source").string() +
        "; touch -d '1975-01-01 00:00:00.25Z' tail; "
        "LC_ALL=C.UTF-8 bsdtar --format=pax --xattrs --acls -cf ../a.tar . 2>/dev/null || :");
  const auto report = unpack(top_ / "a.tar");
  ASSERT_TRUE(report) << report.error().line();
  // It keeps no attributes of the trusted namespace.
  const std::string strip = " | grep -av -e trusted.t -e 'usr/bin/su$' -e '^$' ";
  std::ofstream(top_ / "source.txt") << picture("source");
  std::ofstream(top_ / "target.txt") << picture("target");
  EXPECT_EQ(shell("cat " + (top_ / "target.txt").string() + strip),
            shell("cat " + (top_ / "source.txt").string() + strip));
}

TEST_F(ArchiveTest, CompressedOrThroughAPipeGivesTheSameTree) {
  make_source();
  const std::string pack = "cd " + (top_ / "source").string() + "; " + kGnuTar + "-cf - . 2>/dev/null | ";
  const std::string expected = picture("source");
  for (const char* program : {"gzip -1", "xz -0", "zstd -q -1"}) {
    shell(pack + program + " > ../a.compressed");
    const auto report = unpack(top_ / "a.compressed");
    ASSERT_TRUE(report) << program << report.error().line();
    EXPECT_EQ(picture("target"), expected) << program;
  }
  fs::remove_all(top_ / "target");
  fs::create_directory(top_ / "target");
  FILE* const pipe = ::popen((pack + "cat").c_str(), "r");
  const auto report = unpack_archive(Fd(::dup(::fileno(pipe))), "-", *sys::open_root(top_ / "target"));
  EXPECT_EQ(::pclose(pipe), 0);
  ASSERT_TRUE(report) << report.error().line();
  EXPECT_EQ(picture("target"), expected);
}

TEST_F(ArchiveTest, FindsNamesInAclsInItsOwnAccounts) {
  make_source();
  // GNU tar writes names of accounts that this machine knows; here they are put into the bytes, of the same length.
  const std::string source = "cd " + (top_ / "source").string() + "; ";
  const std::string pack =
      "tar --format=posix --acls -cf ../a.tar etc tail; "
      "sed -i 's/user:4711:/user:alic:/g; s/group:4712:/group:staf:/g' ../a.tar";
  shell(source + pack);
  const auto unknown = unpack(top_ / "a.tar");
  ASSERT_TRUE(unknown) << unknown.error().line();
  ASSERT_EQ(unknown->warnings.size(), 1U);
  EXPECT_NE(unknown->warnings[0].find("/tail: ACL left out"), std::string::npos) << unknown->warnings[0];
  shell(source + "sed -i s/alice/alic/ etc/passwd; sed -i s/staff/staf/ etc/group; " + pack);
  const auto known = unpack(top_ / "a.tar");
  ASSERT_TRUE(known) << known.error().line();
  EXPECT_EQ(known->notes, std::vector<std::string>());
  const std::string acl = "getfattr -d -m posix_acl -e hex tail; stat -c %a tail";
  EXPECT_EQ(shell("cd " + (top_ / "target").string() + "; " + acl), shell(source + acl));
}

TEST_F(ArchiveTest, KeepsNamesOutOfTheTreeOut) {
  expect_refused(file("/absolute") + kEnd, "/absolute", "absolute");
  expect_refused(file("a/../../escape") + kEnd, "a/../../escape", "\"..\"");
  expect_refused(directory("..") + kEnd, "..", "\"..\"");
  expect_refused(hard_link("copy", "/etc/passwd") + kEnd, "copy", "absolute");
  expect_refused(hard_link("copy", "../../etc/passwd") + kEnd, "copy", "\"..\"");
  expect_refused(symlink("link", "/etc") + hard_link("copy", "link/passwd") + kEnd, "copy", "no directory");
  expect_refused(symlink("link", top_.string()) + file("link/planted") + kEnd, "link/planted", "no directory");
  expect_refused(symlink("link", "..") + directory("link/planted/") + kEnd, "link/planted", "no directory");
  expect_refused(symlink("link", "..") + directory("link") + kEnd, "link", "twice");
  expect_refused(symlink("link", "../planted") + file("link") + kEnd, "link", "twice");
  EXPECT_FALSE(fs::exists(top_ / "planted"));
}

TEST_F(ArchiveTest, RefusesWhatNobodyMeant) {
  expect_refused(file("twice") + file("./twice") + kEnd, "twice", "twice");
  expect_refused(directory("dir") + file("dir") + kEnd, "dir", "twice");
  expect_refused(file("file") + file("file/below") + kEnd, "file/below", "no directory");
  expect_refused(hard_link("copy", "missing") + kEnd, "copy", "missing");
  expect_refused(directory("dir") + hard_link("copy", "dir") + kEnd, "copy", "a directory");
  expect_refused(file(".") + kEnd, ".", "without a name");
  expect_refused(symlink("nowhere", "") + kEnd, "nowhere", "");
}

TEST_F(ArchiveTest, RefusesWhatIsTooLongOrTooDeep) {
  const auto pax_path = [](const std::string& path) {
    std::string record = " path=" + path + "\n";
    std::size_t size = record.size() + 1;
    while (std::to_string(size).size() + record.size() != size) ++size;
    return entry('x', "pax", "", std::to_string(size) + record) + file("short");
  };
  expect_refused(pax_path(std::string(256, 'n')) + kEnd, "nnn", "255 bytes");
  std::string deep;
  for (int level = 0; level < 2048; ++level) deep += "d/";
  expect_refused(pax_path(deep + "f") + kEnd, "d/d", "2048 components");
  const auto just = unpack_bytes(pax_path(deep.substr(2) + "f") + pax_path(deep.substr(2) + "g") + kEnd);
  EXPECT_TRUE(just) << just.error().line();
}

TEST_F(ArchiveTest, RefusesDamagedArchives) {
  const std::string whole = directory("usr/") + file("usr/file", std::string(5000, 'x')) + kEnd;
  ASSERT_TRUE(unpack_bytes(whole));
  expect_refused("", "", "");
  expect_refused("no archive at all", "", "");
  expect_refused(std::string(10240, '\0'), "", "empty");
  expect_refused(whole.substr(0, 2000), "usr/file", "");
  std::string flipped = whole;
  flipped[512 + 3] = 'X';
  expect_refused(flipped, "after usr/", "");
  shell("cd " + top_.string() + "; gzip -k made.tar; head -c 100 made.tar.gz > cut.gz");
  EXPECT_FALSE(unpack(top_ / "cut.gz"));
}

TEST_F(ArchiveTest, MakesDirectoriesThatItDoesNotName) {
  ASSERT_TRUE(unpack_bytes(file("a/b/c") + kEnd));
  EXPECT_TRUE(fs::is_regular_file(top_ / "target/a/b/c"));
  EXPECT_EQ(fs::status(top_ / "target/a/b").permissions(), fs::perms(0755));
}

TEST_F(ArchiveTest, TakesTheLaterOfTwoEntriesForADirectory) {
  std::string later = directory("dir");
  later.replace(100, 7, "0000700");
  later.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const char c : later) sum += static_cast<unsigned char>(c);
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "%06o", sum);
  later.replace(148, 7, text.data(), 7);
  ASSERT_TRUE(unpack_bytes(directory("dir") + file("dir/file") + later + kEnd));
  EXPECT_EQ(fs::status(top_ / "target/dir").permissions(), fs::perms(0700));
}

TEST_F(ArchiveTest, CountsForAProgressBar) {
  std::string bytes = directory("dir");
  for (int number = 0; number < 300; ++number) bytes += file("dir/" + std::to_string(number), std::string(3000, 'x'));
  Progress progress;
  std::ofstream(top_ / "made.tar", std::ios::binary) << bytes << kEnd;
  fs::create_directory(top_ / "target");
  const auto archive = *sys::open_input(top_ / "made.tar");
  ASSERT_TRUE(unpack_archive(archive, "made.tar", *sys::open_root(top_ / "target"), &progress));
  EXPECT_EQ(progress.done, 300U);  // the caller's half is still to come
  EXPECT_EQ(progress.total, 600U);
}

TEST_F(ArchiveTest, LeavesSymlinksAsTheyAre) {
  ASSERT_TRUE(
      unpack_bytes(symlink("up", "../../..") + symlink("away", "/etc/passwd") + hard_link("also-away", "away") + kEnd));
  EXPECT_EQ(fs::read_symlink(top_ / "target/up"), "../../..");
  EXPECT_EQ(fs::read_symlink(top_ / "target/also-away"), "/etc/passwd");
}

}  // namespace
}  // namespace vskel
