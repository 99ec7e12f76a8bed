// Manifests: every name there can be goes through the text and back, mtree(5) programs read it, and what is wrong is
// refused by its line.

#include "engine/manifest/manifest.h"

#include <gtest/gtest.h>

#include <sys/sysmacros.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <tuple>

#include "tests/support/process.h"
#include "tests/support/requirement.h"
#include "tests/support/temporary_directory.h"

namespace vskel {
namespace {

using namespace std::string_literals;

ManifestEntry dir_entry(const std::string& path, Part part = Part::local_part) {
  ManifestEntry entry;
  entry.path = path;
  entry.part = part;
  entry.type = sys::FileType::directory;
  entry.mode = 0755;
  entry.mtime = {1'700'000'000, 5};
  return entry;
}

ManifestEntry file_entry(const std::string& path, Part part = Part::global_part) {
  ManifestEntry entry = dir_entry(path, part);
  entry.type = sys::FileType::regular;
  entry.mode = 04755;
  entry.uid = 4'294'967'294;
  entry.gid = 7;
  entry.size = 12'345'678'901;
  entry.nlink = 3;
  entry.content = Hash128{1, 2, 0xfe, 0xff};
  entry.set_xattrs(Hash128{9});
  if (part == Part::local_part) entry.set_sha256(Sha256{0xab, 0xcd});
  return entry;
}

/// One of each type, and every byte that a name can have, in order of their paths.
Manifest odd_manifest() {
  Manifest manifest{7, {dir_entry("")}};
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/') continue;
    const auto c = static_cast<char>(byte);
    manifest.entries.push_back(file_entry("a"s + c + "b"));
    if (c != '.') manifest.entries.push_back(file_entry("d"s + c));
  }
  for (const char* name : {"#comment", "set", "...", ".hidden", "..x", " lead", "trail ", "a=b", "type=dir", "*?[x]",
                           "b\xc3\xbc"
                           "cher",
                           "\xff\xfe", "back\\slash", "\\141", "%41", "new\nline", "-n", "~"})
    manifest.entries.push_back(file_entry("o/"s + name, Part::local_part));
  manifest.entries.push_back(dir_entry("o", Part::global_part));
  manifest.entries.push_back(dir_entry("o"));
  ManifestEntry link = dir_entry("o/link");
  link.type = sys::FileType::symlink;
  link.set_link_target("../a b\n\\#=\xff");
  manifest.entries.push_back(link);
  ManifestEntry device = dir_entry("o/device");
  device.type = sys::FileType::character;
  device.set_rdev(makedev(259, 70000));
  manifest.entries.push_back(device);
  ManifestEntry fifo = dir_entry("o/fifo", Part::static_part);
  fifo.type = sys::FileType::fifo;
  fifo.mtime = {-5, 999'999'999};
  manifest.entries.push_back(fifo);
  std::ranges::sort(manifest.entries, [](const ManifestEntry& a, const ManifestEntry& b) {
    return a.path != b.path ? a.path < b.path : a.part < b.part;
  });
  return manifest;
}

TEST(ManifestTest, GivesBackWhatItWasGiven) {
  const Manifest manifest = odd_manifest();
  const auto read = read_manifest(write_manifest(manifest), "0007.mtree");
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_EQ(read->generation, 7U);
  ASSERT_EQ(read->entries.size(), manifest.entries.size());
  for (std::size_t at = 0; at < manifest.entries.size(); ++at)
    EXPECT_EQ(read->entries[at], manifest.entries[at]) << printable(manifest.entries[at].path);
}

TEST(ManifestTest, MayBeReadInPiecesTornAnywhere) {
  const std::string text = write_manifest(odd_manifest());
  for (const std::size_t size : {std::size_t{1}, std::size_t{7}, std::size_t{1000}, text.size() - 1}) {
    Manifest read;
    ManifestReader reader("0007.mtree", [&read](ManifestEntry entry) -> Result<> {
      read.entries.push_back(std::move(entry));
      return {};
    });
    for (std::size_t at = 0; at < text.size(); at += size)
      ASSERT_TRUE(reader.add(std::string_view(text).substr(at, size)));
    const auto generation = reader.finish();
    ASSERT_TRUE(generation) << generation.error().line();
    read.generation = *generation;
    EXPECT_EQ(write_manifest(read), text) << size;
  }
}

TEST(ManifestTest, ALineWithoutAnEndIsRefusedBeforeItFillsTheMemory) {
  ManifestReader reader("0007.mtree", [](const ManifestEntry&) -> Result<> { return {}; });
  const std::string piece(300'000, 'x');
  Result<> added;
  for (int i = 0; i < 5 && added; ++i) added = reader.add(piece);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().path, "0007.mtree:1");
}

TEST(ManifestTest, CopiesOfAnEntryAreTheirOwn) {
  ManifestEntry link = dir_entry("a");
  link.set_link_target("there");
  ManifestEntry copy = link;
  EXPECT_EQ(copy, link);
  copy.set_link_target("elsewhere");
  EXPECT_EQ(link.link_target(), "there");
  EXPECT_NE(copy, link);
  copy = link;
  EXPECT_EQ(copy, link);
  copy.set_rdev(7);
  EXPECT_NE(copy, link);
}

TEST(ManifestTest, ANameWithANulIsNone) {
  EXPECT_FALSE(decode_path("a\\000b"));
  EXPECT_FALSE(decode_path(std::string_view("a\0b", 3)));
  EXPECT_EQ(decode_path("a\\001b"), "a\001b");
}

TEST(ManifestTest, FindsThePathOfSortedEntries) {
  const Manifest manifest = odd_manifest();
  EXPECT_EQ(find_path(manifest.entries, "o/fifo")->type, sys::FileType::fifo);
  EXPECT_EQ(find_path(manifest.entries, "o")->part, Part::global_part);
  EXPECT_EQ(find_path(manifest.entries, "nothing"), manifest.entries.end());
}

TEST(ManifestTest, IsOneLineOfPrintableCharactersAnEntry) {
  const std::string text = write_manifest(odd_manifest());
  EXPECT_TRUE(std::ranges::all_of(text, [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
}

class ManifestProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* program : {"mtree", "bsdtar"})
      VSKEL_REQUIRE(test::has_program(program) ? std::nullopt
                                               : std::optional<std::string>(program + " is not installed"s));
    std::ofstream(path_) << write_manifest(odd_manifest());
  }
  static std::size_t lines_of(const std::string& text) {
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
  }
  test::TemporaryDirectory directory_;
  std::string path_ = directory_.path() / "0007.mtree";
  std::size_t paths_ = odd_manifest().entries.size() - 1;  // "o" is one path in two parts
};

TEST_F(ManifestProgramTest, MtreeReadsEveryName) {
  const test::ProcessResult result = test::run({"mtree", "-C", "-f", path_});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(lines_of(result.out), paths_);
}

TEST_F(ManifestProgramTest, BsdtarReadsEveryName) {
  const test::ProcessResult result = test::run({"bsdtar", "-tf", path_});
  EXPECT_EQ(result.code, 0) << result;
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(lines_of(result.out), paths_);
}

TEST(ManifestReaderTest, TakesSetAndUnset) {
  const auto read = read_manifest(
      "#mtree\n# vskel generation 2\n/set type=file uid=3 gid=4 mode=0600 tags=part:local\n./a size=1\n./b mode=0644\n"
      "/set uid=5\n./c\n/unset mode gid\n./d type=dir\n/unset all\n./e type=dir tags=part:global,other:1 flags=none\n",
      "m");
  ASSERT_TRUE(read) << read.error().line();
  ASSERT_EQ(read->entries.size(), 5U);
  const auto& e = read->entries;
  EXPECT_EQ(std::tie(e[0].uid, e[0].gid, e[0].mode, e[0].size), std::make_tuple(3U, 4U, 0600U, 1U));
  EXPECT_EQ(std::tie(e[1].uid, e[1].mode, e[1].size), std::make_tuple(3U, 0644U, 0U));
  EXPECT_EQ(std::tie(e[2].uid, e[2].gid), std::make_tuple(5U, 4U));
  EXPECT_EQ(std::tie(e[3].uid, e[3].gid, e[3].mode), std::make_tuple(5U, 0U, 0U));
  EXPECT_EQ(std::tie(e[4].uid, e[4].part), std::make_tuple(0U, Part::global_part));
}

TEST(ManifestReaderTest, RefusesWhatIsWrongByItsLine) {
  const std::string head = "#mtree\n. type=dir tags=part:local\n", tail = " type=file tags=part:local";
  const std::string longest(255, 'n');
  ASSERT_TRUE(read_manifest(head + "./" + longest + tail + "\n", "m"));
  for (const std::string& line : {"./../x" + tail,
                                  "./a/../b" + tail,
                                  "/etc" + tail,
                                  "etc" + tail,
                                  "./" + tail,
                                  ".//a" + tail,
                                  "./a/" + tail,
                                  "./a/." + tail,
                                  "./a\\0" + tail,
                                  "./a\\000" + tail,
                                  "./a\\999" + tail,
                                  "./\\057etc" + tail,
                                  "./a\\057..\\057b" + tail,
                                  "./" + longest + "n" + tail,
                                  "./a tags=part:local"s,
                                  "./a type=door tags=part:local"s,
                                  "./a type=file"s,
                                  "./a type=file tags=part:nowhere"s,
                                  "./a type=file tags=part:local,part:global"s,
                                  "./a type=dir tags=part:local,part:local"s,
                                  "./a mode=8" + tail,
                                  "./a mode=17777" + tail,
                                  "./a mode=-1" + tail,
                                  "./a uid=4294967296" + tail,
                                  "./a uid=root" + tail,
                                  "./a size=18446744073709551616" + tail,
                                  "./a size=1x" + tail,
                                  "./a time=1.1000000000" + tail,
                                  "./a time=x" + tail,
                                  "./a nlink=" + tail,
                                  "./a device=native,1" + tail,
                                  "./a sha256digest=ab" + tail,
                                  "./a type=file tags=part:local,xxh128:zz"s,
                                  "./a link=\\9" + tail,
                                  ". type=dir tags=part:local"s,
                                  "./a\0b"s + tail}) {
    const auto read = read_manifest(head + line + "\n", "0001.mtree");
    ASSERT_FALSE(read) << line;
    EXPECT_EQ(read.error().path, "0001.mtree:3") << line;
    EXPECT_EQ(read.error().blame, Blame::machine);
  }
}

TEST(Manifest, AFileThatAnEarlierVersionGaveToStaticAndOneMorePartIsStatics) {
  for (const char* tags : {"part:static,part:local", "part:static,part:global"}) {
    const auto read = read_manifest(
        "#mtree\n# vskel generation 3\n./a type=file size=1 tags=" + std::string(tags) + "\n", "0003.mtree");
    ASSERT_TRUE(read) << tags;
    ASSERT_EQ(read->entries.size(), 1U);
    EXPECT_EQ(read->entries.front().part, Part::static_part);
  }
  EXPECT_FALSE(read_manifest("./a type=file tags=part:static,part:local,part:global\n", "0003.mtree"));
}

TEST(Manifest, AFileInSeveralPartsIsNotWritten) {
  const Manifest manifest{1, {dir_entry(""), file_entry("a", Part::local_part), file_entry("a", Part::static_part)}};
  const auto written = write_manifest(manifest, [](std::string_view) -> Result<> { return {}; });
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().path, "/a");
}

TEST(ManifestReaderTest, RefusesDoublesAndDisorder) {
  const std::string head = "./b type=dir tags=part:local\n";
  EXPECT_FALSE(read_manifest(head + "./a type=dir tags=part:local\n", "m"));
  EXPECT_FALSE(read_manifest(head + "./b type=dir tags=part:local\n", "m"));
  EXPECT_FALSE(read_manifest(head + "./b type=file tags=part:static\n", "m"));
  EXPECT_TRUE(read_manifest(head + "./b type=dir tags=part:static\n", "m"));
}

TEST(ManifestReaderTest, RefusesEveryTruncationOrReadsFewerEntries) {
  const std::string text = write_manifest({1, {dir_entry(""), file_entry("a", Part::local_part)}});
  const std::size_t last_line = text.rfind("./a");
  for (std::size_t size = last_line + 4; size + 1 < text.size(); ++size) {
    const auto read = read_manifest(std::string_view(text).substr(0, size), "m");
    if (!read) continue;
    EXPECT_NE(read->entries, read_manifest(text, "m")->entries) << size;
  }
}

}  // namespace
}  // namespace vskel
