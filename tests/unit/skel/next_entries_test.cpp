// The next generation's entries come in the manifest's order, whether they are kept or new.

#include "engine/skel/next_entries.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

ManifestEntry entry_of(const std::string& path, Part part, sys::FileType type = sys::FileType::regular) {
  ManifestEntry entry;
  entry.path = path;
  entry.part = part;
  entry.type = type;
  entry.mtime = {1, 2};
  return entry;
}

struct Given {
  std::string path;
  Part part;
  std::uint32_t nlink;
  sys::Time mtime;
  bool kept;
  friend bool operator==(const Given&, const Given&) = default;
};

std::vector<Given> given_by(const NextEntries& entries) {
  std::vector<Given> out;
  EXPECT_TRUE(entries.for_each([&out](const ManifestEntry& entry, const ManifestEntry* kept) -> Result<> {
    out.push_back({entry.path, entry.part, entry.nlink, entry.mtime, kept != nullptr});
    return {};
  }));
  return out;
}

TEST(NextEntriesTest, MergesWhatIsKeptWithWhatIsNew) {
  ManifestEntries last;
  for (const char* path : {"b", "d", "e", "g"}) last.push_back(entry_of(path, Part::global_part));
  NextEntries entries(last);
  entries.keep(0);
  entries.keep(2);
  entries.set_nlink(2, 5);
  entries.set_mtime(2, {7, 8});
  entries.set_nlink(0, 1);  // as it was
  ManifestEntries others;
  others.push_back(entry_of("", Part::global_part, sys::FileType::directory));
  others.push_back(entry_of("", Part::local_part, sys::FileType::directory));
  others.push_back(entry_of("c", Part::local_part));
  others.push_back(entry_of("z", Part::local_part));
  entries.add(std::move(others));
  const sys::Time before{1, 2}, after{7, 8};
  EXPECT_EQ(given_by(entries), (std::vector<Given>{{"", Part::global_part, 1, before, false},
                                                   {"", Part::local_part, 1, before, false},
                                                   {"b", Part::global_part, 1, before, true},
                                                   {"c", Part::local_part, 1, before, false},
                                                   {"e", Part::global_part, 5, after, true},
                                                   {"z", Part::local_part, 1, before, false}}));
  EXPECT_EQ(last[2].nlink, 1U) << "the last generation stays as it is";
}

TEST(NextEntriesTest, EndsWithTheSinksError) {
  ManifestEntries last;
  last.push_back(entry_of("a", Part::global_part));
  last.push_back(entry_of("b", Part::global_part));
  NextEntries entries(last);
  entries.keep(0);
  entries.keep(1);
  int calls = 0;
  const auto ended = entries.for_each([&calls](const ManifestEntry&, const ManifestEntry*) -> Result<> {
    ++calls;
    return fail("write", "manifest", "no more");
  });
  EXPECT_FALSE(ended);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace vskel
