// What fuzzing found worth keeping, run again without a fuzzer; and all that may become of a file on a failing disk:
// cut anywhere, any bit flipped.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <vector>

#include "engine/manifest/manifest.h"
#include "engine/txn/journal_text.h"
#include "tests/fuzz/target.h"
#include "tests/support/requirement.h"

namespace vskel::test::fuzz {
namespace {

namespace fs = std::filesystem;

std::string read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Bytes as they may be told.
std::string told(std::string_view bytes) { return testing::PrintToString(std::string(bytes.substr(0, 500))); }

class CorpusTest : public testing::TestWithParam<Target> {
 protected:
  void SetUp() override {
    VSKEL_REQUIRE(::geteuid() == 0 ? std::nullopt : std::optional<std::string>("needs root"));
    umask_ = ::umask(0);
    std::signal(SIGXFSZ, SIG_IGN);  // as engine_start() does
  }
  void TearDown() override { ::umask(umask_); }

 private:
  ::mode_t umask_ = 022;
};

TEST_P(CorpusTest, Holds) {
  const fs::path corpus = fs::path(VSKEL_TEST_DATA) / "corpus" / GetParam().name;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(corpus)) files.push_back(entry.path());
  ASSERT_FALSE(files.empty()) << corpus;
  std::ranges::sort(files);
  for (const fs::path& file : files) EXPECT_NO_THROW(GetParam().run(read_bytes(file))) << file;
}

TEST_P(CorpusTest, TakesNothingAtAll) { EXPECT_NO_THROW(GetParam().run("")); }

INSTANTIATE_TEST_SUITE_P(Of, CorpusTest, testing::ValuesIn(targets().begin(), targets().end()),
                         [](const auto& target) { return std::string(target.param.name); });

/// Every prefix of `text`, and `text` with every single bit flipped.
std::vector<std::string> damaged(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t size = 0; size < text.size(); ++size) out.push_back(text.substr(0, size));
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    out.push_back(text);
    char& byte = out.back()[bit / 8];
    byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1U << (bit % 8)));
  }
  return out;
}

/// As create-vs writes it for two vservers.
std::string real_journal() {
  using Json = nlohmann::json;
  const std::vector<Json> records{
      {{"version", 1},
       {"operation", "create-vs"},
       {"skel", "web"},
       {"vservers", {{{"name", "web1"}, {"context", 100}, {"inode", 1234567}}, {{"name", "web2"}, {"context", 101}}}}},
      {{"phase", "publish"}, {"names", {"web1", "caf\u00e9 \"2\"\n"}}},
      {{"phase", "done"}}};
  std::string out;
  for (const Json& record : records) out += *journal_line(record, "j");
  return out;
}

TEST(DamagedJournalTest, IsRefusedOrReadUpToTheDamageWhateverTheDamage) {
  const std::string text = real_journal();
  const auto whole = parse_journal(text, "j");
  ASSERT_TRUE(whole);
  ASSERT_EQ(whole->records.size(), 3U);
  std::size_t taken = 0, refused = 0;
  for (const std::string& bytes : damaged(text)) {
    ASSERT_NO_THROW(journal(bytes)) << told(bytes);
    const auto parsed = parse_journal(bytes, "j");
    if (!parsed) {
      ++refused;
      continue;
    }
    ++taken;
    // Not one record that was not written, and none left out on the way.
    ASSERT_LT(parsed->records.size(), whole->records.size()) << told(bytes);
    ASSERT_TRUE(std::ranges::equal(parsed->records, std::span(whole->records).first(parsed->records.size())))
        << told(bytes);
  }
  EXPECT_GT(taken, text.size());
  EXPECT_GT(refused, text.size());
}

/// A line of every kind.
std::string real_manifest() {
  Manifest manifest;
  manifest.generation = 7;
  const auto add = [&](const char* path, sys::FileType type, Part part) -> ManifestEntry& {
    ManifestEntry& entry = manifest.entries.emplace_back();
    entry.path = path;
    entry.type = type;
    entry.part = part;
    entry.mode = 0755;
    entry.mtime = {1'700'000'000, 123'456'789};
    return entry;
  };
  add("", sys::FileType::directory, Part::global_part);
  add("", sys::FileType::directory, Part::local_part);
  add("dev/sda", sys::FileType::block, Part::local_part).set_rdev(0x801);
  ManifestEntry& file = add("etc/odd name\n", sys::FileType::regular, Part::static_part);
  file.size = 42;
  file.content = Hash128{1, 2, 3};
  file.set_sha256(Sha256{4, 5, 6});
  file.set_xattrs(Hash128{7});
  add("lib", sys::FileType::symlink, Part::global_part).set_link_target("usr/lib");
  return write_manifest(manifest);
}

TEST(DamagedManifestTest, IsRefusedOrReadAsSomethingSafe) {
  const std::string text = real_manifest();
  ASSERT_TRUE(read_manifest(text, "m"));
  for (const std::string& bytes : damaged(text)) ASSERT_NO_THROW(manifest(bytes)) << told(bytes);
}

TEST(DamagedStatusTest, OfPackagesIsRefusedOrReadAsSomethingSafe) {
  const std::string one = "Package: one\nStatus: install ok half-configured\nMulti-Arch: same\nArchitecture: amd64\n";
  const std::string text = one + "Version: 1:2.0-3\n\nPackage: two\nStatus: purge ok not-installed\n";
  for (const std::string& bytes : damaged(text)) ASSERT_NO_THROW(packages(bytes)) << told(bytes);
  for (const std::string& bytes : damaged("/.\n/usr\n/usr/bin\n/usr/bin/x-y\n"))
    ASSERT_NO_THROW(packages(bytes)) << told(bytes);
}

}  // namespace
}  // namespace vskel::test::fuzz
