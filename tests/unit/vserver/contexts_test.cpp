// Context ids: the next free ones, and none twice, whatever was asked for before.

#include "engine/vserver/contexts.h"

#include "tests/unit/txn/temporary_store.h"

namespace vskel {
namespace {

class ContextsTest : public TemporaryStoreTest {
 protected:
  void SetUp() override {
    TemporaryStoreTest::SetUp();
    store_ = *Store::open_or_create(paths());
  }
  Result<std::vector<std::uint32_t>> reserve(const std::vector<std::optional<std::uint32_t>>& asked,
                                             DryRun dry_run = DryRun::no) {
    EngineOptions engine;
    engine.dry_run = dry_run;
    return reserve_contexts(store_, asked, 50, engine);
  }
  std::string next() {
    std::ifstream file(paths().etc + "/contexts/nextid");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write_next(const std::string& text) { std::ofstream(paths().etc + "/contexts/nextid") << text; }
  using Ids = std::vector<std::uint32_t>;
  Store store_;
};

TEST_F(ContextsTest, BeginWhereTheySaidAndCountUp) {
  EXPECT_EQ(*reserve({std::nullopt, std::nullopt}), (Ids{50, 51}));
  EXPECT_EQ(*reserve({std::nullopt}), Ids{52});
  EXPECT_EQ(next(), "53\n");
}

TEST_F(ContextsTest, ThatWereAskedForAreNeverGivenOutAgain) {
  EXPECT_EQ(*reserve({100}), Ids{100});
  EXPECT_EQ(*reserve({std::nullopt}), Ids{101});
  const auto again = reserve({100});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().blame, Blame::request);
}

TEST_F(ContextsTest, OfAFleetPassByWhatItsMembersAskedFor) {
  EXPECT_EQ(*reserve({std::nullopt, 51, std::nullopt}), (Ids{50, 51, 52}));
  EXPECT_EQ(*reserve({std::nullopt}), Ids{53});
}

TEST_F(ContextsTest, AreRefusedOutOfRangeOrInUse) {
  ASSERT_TRUE(link_context(store_, 60, "a"));
  for (const std::uint32_t id : {0U, 1U, kHighestContext + 1, 60U}) EXPECT_FALSE(reserve({id})) << id;
  EXPECT_EQ(next(), "") << "a refusal reserves nothing";
}

TEST_F(ContextsTest, EndWhereDynamicOnesBegin) {
  write_next(std::to_string(kHighestContext) + "\n");
  EXPECT_EQ(*reserve({std::nullopt}), Ids{kHighestContext});
  EXPECT_FALSE(reserve({std::nullopt}));
}

TEST_F(ContextsTest, StandAboveAllInUseWhereNextidIsLost) {
  ASSERT_TRUE(link_context(store_, 70, "a"));
  EXPECT_EQ(*reserve({std::nullopt}), Ids{71});
  write_next("rubbish\n");
  ASSERT_TRUE(link_context(store_, 90, "b"));
  EXPECT_EQ(*reserve({std::nullopt}), Ids{91});
}

TEST_F(ContextsTest, OfADryRunAreNotReserved) {
  EXPECT_EQ(*reserve({std::nullopt}, DryRun::yes), Ids{50});
  EXPECT_EQ(next(), "");
}

TEST_F(ContextsTest, LinkToTheirVserverAndToNoOther) {
  ASSERT_TRUE(link_context(store_, 50, "a"));
  EXPECT_TRUE(link_context(store_, 50, "a"));
  EXPECT_FALSE(link_context(store_, 50, "b"));
  EXPECT_EQ(std::filesystem::read_symlink(paths().etc + "/contexts/50"), paths().vservers + "/a");
}

TEST_F(ContextsTest, LeadToAVserverByWhateverPathTheStoreIsCalled) {
  const std::string link = paths().etc + "/store";
  std::filesystem::create_directory_symlink(paths().vservers, link);
  for (const std::string& place : {paths().vservers, link, link + "/", paths().vservers + "/../vservers"})
    EXPECT_EQ(vserver_led_to(store_, place + "/a"), "a") << place;
  for (const std::string& target :
       {std::string("a"), std::string(""), std::string("/a"), std::string("/nowhere/a"), paths().etc + "/a",
        paths().vservers, paths().vservers + "/a/b", paths().vservers + "/..", paths().vservers + "/"})
    EXPECT_EQ(vserver_led_to(store_, target), std::nullopt) << target;
}

}  // namespace
}  // namespace vskel
