// Intents whose checksums are right and whose words are not: of a later version of the program, or of nobody.

#include "engine/recover/recover.h"

#include <vector>

#include "engine/txn/journal.h"
#include "tests/unit/txn/temporary_store.h"

namespace vskel {
namespace {

using Json = nlohmann::json;

class RecoverOddIntentTest : public TemporaryStoreTest {
 protected:
  /// Recovers after a crash that left `records`; what it says must be an error that names the intent's file, which
  /// stays.
  void expect_refused(const std::vector<Json>& records, const std::string& why) {
    auto store = Store::open_or_create(paths());
    ASSERT_TRUE(store);
    std::filesystem::path file;
    {
      auto intent = Intent::begin(*store, records.at(0));
      ASSERT_TRUE(intent);
      for (std::size_t at = 1; at < records.size(); ++at) ASSERT_TRUE(intent->record(records[at]));
      file = own("journal") / (intent->id() + ".journal");
    }
    const auto lines = recover(*store, {});
    ASSERT_FALSE(lines) << records.front();
    EXPECT_NE(lines.error().line().find(why), std::string::npos) << lines.error().line();
    EXPECT_TRUE(std::filesystem::exists(file)) << records.front();
    EngineOptions dry;
    dry.dry_run = DryRun::yes;
    const auto told = recover(*store, dry);
    ASSERT_TRUE(told) << told.error().line();
    EXPECT_EQ(told->size(), 1U);
    std::filesystem::remove(file);
  }
};

TEST_F(RecoverOddIntentTest, OfAnotherVersionIsLeftAlone) {
  for (const Json& version : {Json(2), Json(0), Json("1"), Json(), Json(1.5), Json::object()})
    expect_refused({{{"version", version}, {"operation", "create-vs"}, {"skel", "web"}}}, "version");
  expect_refused({{{"operation", "create-vs"}, {"skel", "web"}}}, "version");
}

TEST_F(RecoverOddIntentTest, OfAnUnknownOperationIsLeftAlone) {
  for (const Json& operation : {Json("sing"), Json(7), Json(), Json::array()})
    expect_refused({{{"version", 1}, {"operation", operation}}}, "unknown operation");
}

TEST_F(RecoverOddIntentTest, ThatSaysNothingOfUseIsAnErrorAndNoCrash) {
  for (const char* operation : {"build-skel", "merge-skel", "abort-merge", "split-skel", "rollback", "create-vs",
                                "relink", "remove-vs", "remove-skel"}) {
    const Json first{{"version", 1}, {"operation", operation}};
    for (const Json& skel : {Json(7), Json("../.."), Json("nothing-there"), Json::array()}) {
      // A skel that is gone is one that was removed.
      if (first["operation"] == "remove-skel" && skel == "nothing-there") continue;
      Json odd = first;
      odd["skel"] = skel;
      odd["vservers"] = 7;
      expect_refused({odd, {{"phase", 7}}}, "");
    }
  }
}

}  // namespace
}  // namespace vskel
