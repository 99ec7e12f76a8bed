// A record is checked field by field: it stands where an administrator may edit it, and recover and remove act on it.

#include "engine/vserver/record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace vskel {
namespace {

Record full_record() {
  Record record;
  record.name = "web1";
  record.fqdn = "web1.example.com";
  record.ip = "10.0.0.1/24";
  record.skel = "debian";
  record.context = 50;
  record.config = "/etc/vservers/web1.conf";
  record.generation = 3;
  record.share = Share::reflink;
  record.seal = SealKind::iunlink;
  record.created = "2026-01-31T12:00:00Z";
  record.columns = {{"RACK", "b7 \"left\" \xc3\xa4"}};
  record.plugins = {{"passwd", PluginStatus::ok, "", ""}, {"dns", PluginStatus::failed, "exit status 3", ""}};
  return record;
}

std::string with(const char* key, const nlohmann::json& value) {
  auto json = nlohmann::json::parse(write_record(full_record()));
  json[key] = value;
  return json.dump();
}

TEST(RecordTest, ReadsWhatItWrote) {
  const auto read = read_record(write_record(full_record()), "web1.json");
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_EQ(write_record(*read), write_record(full_record()));
  EXPECT_EQ(read->share, Share::reflink);
  EXPECT_EQ(read->seal, SealKind::iunlink);
  EXPECT_EQ(read->columns, full_record().columns);
  ASSERT_EQ(read->plugins.size(), 2U);
  EXPECT_EQ(read->plugins[1].reason, "exit status 3");
}

TEST(RecordTest, KeepsBasesOfPathsThatAreNotText) {
  Record record = full_record();
  record.bases = {{"etc/motd", 1}, {"srv/\xff\n \"x\"", 0}};
  record.set_id = {"usr/bin/su", "srv/\xff"};
  const auto read = read_record(write_record(record), "web1.json");
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_EQ(read->bases, record.bases);
  EXPECT_EQ(read->set_id, record.set_id);
}

TEST(RecordTest, KeepsNumbersOfAccountsAndIsAsBeforeWithoutAny) {
  EXPECT_EQ(write_record(full_record()).find("ids"), std::string::npos);
  Record record = full_record();
  record.ids = {{{104, 998}, {1, kHighestId}}, {{108, 997}}};
  const auto read = read_record(write_record(record), "web1.json");
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_EQ(read->ids, record.ids);
  EXPECT_EQ(read->ids.user(104), 998U);
  EXPECT_EQ(read->ids.user(105), 105U);
  EXPECT_EQ(read->ids.group(108), 997U);
  EXPECT_EQ(read->ids.group(104), 104U);
}

TEST(RecordTest, NoNumberIsMappedToRootNorFromIt) {
  const std::vector<nlohmann::json> wrong{{{"uid", {{"104", 0}}}},
                                          {{"uid", {{"0", 104}}}},
                                          {{"gid", {{"0104", 998}}}},
                                          {{"gid", {{"104", 4294967295}}}},
                                          {{"gid", {{"+1", 998}}}},
                                          {{"uid", {{"4294967295", 1}}}},
                                          {{"uid", {{"104", -1}}}},
                                          {{"uid", {{"104", "1"}}}},
                                          {{"uid", nlohmann::json::array({1})}},
                                          {{"uid", {{"", 1}}}},
                                          nlohmann::json::array({1}),
                                          "104"};
  for (const nlohmann::json& ids : wrong) {
    const auto read = read_record(with("ids", ids), "web1.json");
    ASSERT_FALSE(read) << ids;
    EXPECT_EQ(read.error().path, "web1.json") << ids;
  }
}

TEST(RecordTest, TheBaseOfADirectoryHoldsForAllBelowThatHasNoneOfItsOwn) {
  Record record = full_record();
  record.generation = 5;
  record.bases = {{"usr/lib", 2}, {"usr/lib/x", 4}};
  EXPECT_EQ(base_of(record, ""), 5U);
  EXPECT_EQ(base_of(record, "usr"), 5U);
  EXPECT_EQ(base_of(record, "usr/lib"), 2U);
  EXPECT_EQ(base_of(record, "usr/lib/y/z"), 2U);
  EXPECT_EQ(base_of(record, "usr/lib/x/z"), 4U);
  EXPECT_EQ(base_of(record, "usr/library"), 5U);
}

TEST(RecordTest, AnAdoptedVserverMayLackAllButItsNameAndItsSkel) {
  Record record = full_record();
  record.fqdn = record.ip = record.config = "";
  record.context = record.generation = 0;
  EXPECT_TRUE(read_record(write_record(record), "web1.json"));
}

TEST(RecordTest, NeverHoldsAPluginsMessage) {
  Record record = full_record();
  record.plugins[0].message = "root password: hunter2";
  EXPECT_EQ(write_record(record).find("hunter2"), std::string::npos);
}

TEST(RecordTest, SkipsKeysOfLaterVersionsOfTheProgram) { EXPECT_TRUE(read_record(with("further", 7), "web1.json")); }

TEST(RecordTest, RefusesWhatIsNoRecord) {
  for (const char* text : {"", "{", "[]", "7", "{}", R"({"version":1})"}) {
    const auto read = read_record(text, "web1.json");
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().blame, Blame::machine);
    EXPECT_EQ(read.error().path, "web1.json");
  }
}

TEST(RecordTest, RefusesEveryFieldThatIsNotWhatItShouldBe) {
  const std::vector<std::pair<const char*, nlohmann::json>> bad = {{"version", 2},
                                                                   {"name", "../x"},
                                                                   {"name", "tmp_skel_a"},
                                                                   {"name", 7},
                                                                   {"fqdn", "a b"},
                                                                   {"fqdn", nullptr},
                                                                   {"ip", "10.0.0"},
                                                                   {"skel", "/"},
                                                                   {"context", 1},
                                                                   {"context", 49152},
                                                                   {"context", "50"},
                                                                   {"context", -3},
                                                                   {"context", 4294967298},
                                                                   {"context", 2.5},
                                                                   {"generation", -1},
                                                                   {"bases", {{"a", 4294967297}}},
                                                                   {"bases", {{"../a", 1}}},
                                                                   {"bases", {{"a//b", 1}}},
                                                                   {"set_id", {"/usr/bin/su"}},
                                                                   {"set_id", {""}},
                                                                   {"columns", {{"A=B", "c"}}},
                                                                   {"columns", {{"a", "c"}}},
                                                                   {"columns", {{"A", "c\nd"}}},
                                                                   {"config", "web1.conf"},
                                                                   {"bases", 7},
                                                                   {"set_id", {7}},
                                                                   {"set_id", {"a\\777"}},
                                                                   {"bases", {{"a\\777", 1}}},
                                                                   {"generation", "1"},
                                                                   {"share", "symlink"},
                                                                   {"seal", "auto"},
                                                                   {"created", "today"},
                                                                   {"created", ""},
                                                                   {"columns", {1, 2}},
                                                                   {"columns", {{"A", 1}}},
                                                                   {"plugins", {{"a", 1}}},
                                                                   {"plugins", "none"}};
  for (const auto& [key, value] : bad) {
    const auto read = read_record(with(key, value), "web1.json");
    ASSERT_FALSE(read) << key << ": " << value.dump();
    EXPECT_EQ(read.error().blame, Blame::machine) << key;
    EXPECT_EQ(read.error().path, "web1.json") << key;
  }
}

}  // namespace
}  // namespace vskel
