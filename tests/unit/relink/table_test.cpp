// The table of relink.md, row by row.

#include "engine/relink/table.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

using sys::FileType;

constexpr Node file(std::uint64_t content, std::uint32_t mode = 0644) {
  return {FileType::regular, mode, 0, 0, content, 0};
}
constexpr Node directory_node(std::uint32_t mode = 0755) { return {FileType::directory, mode, 0, 0, 0, 0}; }
constexpr Node at(Node node, std::int64_t seconds, std::uint32_t nanoseconds = 0) {
  node.mtime = {seconds, nanoseconds};
  return node;
}
constexpr Node link_to(std::uint64_t target) { return {FileType::symlink, 0777, 0, 0, target, 0}; }
constexpr Node device(std::uint64_t number) { return {FileType::character, 0666, 0, 0, number, 0}; }

const Node x = file(1), y = file(2), z = file(3);
const std::optional<Node> absent;

Question ask(std::optional<Node> base, std::optional<Node> theirs, std::optional<Node> mine) {
  Question question;
  question.base = base;
  question.theirs = theirs;
  question.mine = mine;
  return question;
}

testing::AssertionResult is(const Question& question, int row, Action action, std::string_view why, bool base_moves) {
  const Decision decision = decide(question);
  if (decision.row == row && decision.action == action && decision.why == why && decision.base_moves == base_moves)
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "row " << int{decision.row} << ", action " << static_cast<int>(decision.action)
                                     << ", why '" << decision.why << "', base "
                                     << (decision.base_moves ? "moves" : "stays");
}

TEST(RelinkTableTest, Row1TheSkelsInodeStays) {
  Question question = ask(x, x, x);
  question.place = Place::as_it_should;
  EXPECT_TRUE(is(question, 1, Action::nothing, "", true));
}
TEST(RelinkTableTest, Row2AnEqualFileIsShared) { EXPECT_TRUE(is(ask(x, x, x), 2, Action::share, "", true)); }
TEST(RelinkTableTest, Row3ATenantsChangeStays) { EXPECT_TRUE(is(ask(x, x, y), 3, Action::nothing, "", true)); }
TEST(RelinkTableTest, Row4ADeletedFileStaysDeleted) {
  EXPECT_TRUE(is(ask(x, x, absent), 4, Action::nothing, "", true));
}
TEST(RelinkTableTest, Row5AnUntouchedFileIsUpdated) { EXPECT_TRUE(is(ask(x, y, x), 5, Action::replace, "", true)); }
TEST(RelinkTableTest, Row6AnEqualChangeIsShared) {
  EXPECT_TRUE(is(ask(x, y, y), 6, Action::share, "", true));
  Question question = ask(x, y, y);
  question.place = Place::as_it_should;
  EXPECT_TRUE(is(question, 6, Action::nothing, "", true));
}
TEST(RelinkTableTest, Row7AChangeOnBothSidesIsKept) {
  EXPECT_TRUE(is(ask(x, y, z), 7, Action::keep, "changed on both sides", false));
}
TEST(RelinkTableTest, Row8ADeletedFileThatTheSkelChangedIsReported) {
  EXPECT_TRUE(is(ask(x, y, absent), 8, Action::keep, "deleted here, changed in the skel", false));
}
TEST(RelinkTableTest, Row9AFileThatTheSkelRemovedGoes) {
  EXPECT_TRUE(is(ask(x, absent, x), 9, Action::remove, "", true));
}
TEST(RelinkTableTest, Row10AChangedFileThatTheSkelRemovedIsKept) {
  EXPECT_TRUE(is(ask(x, absent, y), 10, Action::keep, "removed in the skel, changed here", false));
}
TEST(RelinkTableTest, Row11APathThatIsGoneOnBothSidesIsForgotten) {
  EXPECT_TRUE(is(ask(x, absent, absent), 11, Action::nothing, "", true));
}
TEST(RelinkTableTest, Row12ANewFileIsAdded) { EXPECT_TRUE(is(ask(absent, y, absent), 12, Action::add, "", true)); }
TEST(RelinkTableTest, Row13AnEqualNewFileIsShared) { EXPECT_TRUE(is(ask(absent, y, y), 13, Action::share, "", true)); }
TEST(RelinkTableTest, Row14DifferentNewFilesAreKept) {
  EXPECT_TRUE(is(ask(absent, y, z), 14, Action::keep, "added on both sides", false));
  EXPECT_TRUE(is(ask(absent, directory_node(), z), 14, Action::keep, "added on both sides", false));
}
TEST(RelinkTableTest, Row15TheTenantsOwnIsLeftAlone) {
  EXPECT_TRUE(is(ask(absent, absent, z), 15, Action::nothing, "", true));
}
TEST(RelinkTableTest, Row16NewMetadataIsAnUpdate) {
  EXPECT_TRUE(is(ask(x, file(1, 0755), x), 16, Action::replace, "", true));
}
TEST(RelinkTableTest, Row17TheTenantsMetadataStays) {
  EXPECT_TRUE(is(ask(x, x, file(1, 0600)), 17, Action::nothing, "", true));
}
TEST(RelinkTableTest, Row18TheTenantsMetadataAndTheSkelsContentConflict) {
  EXPECT_TRUE(is(ask(x, y, file(1, 0600)), 18, Action::keep, "changed on both sides", false));
}
TEST(RelinkTableTest, Row19ADirectoryTakesAnUntouchedFilesPlace) {
  EXPECT_TRUE(is(ask(x, directory_node(), x), 19, Action::replace, "", true));
}
TEST(RelinkTableTest, Row20ADirectoryDoesNotTakeAChangedFilesPlace) {
  EXPECT_TRUE(is(ask(x, directory_node(), y), 20, Action::keep, "type changed", false));
}
TEST(RelinkTableTest, Row21AFileTakesAnUntouchedDirectorysPlace) {
  EXPECT_TRUE(is(ask(directory_node(), x, directory_node()), 21, Action::replace, "", true));
  EXPECT_TRUE(is(ask(directory_node(), link_to(1), directory_node()), 21, Action::replace, "", true));
}
TEST(RelinkTableTest, Row22ADirectoryWithTheTenantsEntriesStays) {
  Question question = ask(directory_node(), x, directory_node());
  question.below = Below::own_entries;
  EXPECT_TRUE(is(question, 22, Action::keep, "type changed", false));
}
TEST(RelinkTableTest, Row23ARemovedDirectoryGoesIfItIsEmpty) {
  EXPECT_TRUE(is(ask(directory_node(), absent, directory_node()), 23, Action::remove_dir, "", true));
  EXPECT_TRUE(is(ask(directory_node(), absent, directory_node(0700)), 23, Action::remove_dir, "", true));
}
TEST(RelinkTableTest, Row24ADirectorysMetadataFollowsUnlessTheTenantChangedIt) {
  EXPECT_TRUE(is(ask(directory_node(), directory_node(0700), directory_node()), 24, Action::set_metadata, "", true));
  EXPECT_TRUE(is(ask(directory_node(), directory_node(0700), directory_node(0750)), 24, Action::nothing, "", true));
}
TEST(RelinkTableTest, EqualBytesOfAnotherTimeAreAnUpdate) {
  EXPECT_TRUE(is(ask(at(x, 1), at(x, 2), at(x, 1)), 16, Action::replace, "", true));
  EXPECT_TRUE(is(ask(at(link_to(1), 1), at(link_to(1), 2), at(link_to(1), 1)), 16, Action::replace, "", true));
  // Touched, and nothing else.
  EXPECT_TRUE(is(ask(at(x, 1), at(x, 2), at(x, 3)), 16, Action::replace, "", true));
}
TEST(RelinkTableTest, WhatDiffersInItsTimeAloneIsUntouched) {
  EXPECT_TRUE(is(ask(at(x, 1), at(y, 2), at(x, 3)), 5, Action::replace, "", true));
  EXPECT_TRUE(is(ask(at(x, 1), absent, at(x, 3)), 9, Action::remove, "", true));
  EXPECT_TRUE(is(ask(at(x, 1), directory_node(), at(x, 3)), 19, Action::replace, "", true));
  EXPECT_TRUE(is(ask(at(x, 1), at(x, 2), absent), 4, Action::nothing, "", true));
}
TEST(RelinkTableTest, AnotherTimeIsNotShared) {
  EXPECT_TRUE(is(ask(at(x, 1), at(x, 1), at(x, 3)), 17, Action::nothing, "", true));
  EXPECT_TRUE(is(ask(at(x, 1), at(y, 2), at(y, 3)), 6, Action::nothing, "", true));
  EXPECT_TRUE(is(ask(absent, at(y, 2), at(y, 3)), 13, Action::nothing, "", true));
  Question question = ask(absent, at(y, 2), at(y, 3));
  question.base_known = false;
  EXPECT_TRUE(is(question, 30, Action::nothing, "", true));
}
TEST(RelinkTableTest, ANewTimeIsNoConflictWithATenantsChange) {
  EXPECT_TRUE(is(ask(at(x, 1), at(x, 2), at(y, 3)), 3, Action::nothing, "", true));
  EXPECT_TRUE(is(ask(at(x, 1), at(x, 2), at(file(1, 0600), 1)), 17, Action::nothing, "", true));
}
TEST(RelinkTableTest, ATimeIsComparedAsFarAsBothSidesHaveIt) {
  EXPECT_TRUE(is(ask(at(x, 1, 5), at(x, 1, 5), at(x, 1)), 2, Action::share, "", true));
  EXPECT_TRUE(is(ask(at(x, 1, 5), at(x, 1, 6), at(x, 1, 5)), 16, Action::replace, "", true));
}
TEST(RelinkTableTest, ADirectorysTimeSaysNothing) {
  EXPECT_TRUE(is(ask(at(directory_node(), 1), at(directory_node(0700), 2), at(directory_node(), 3)), 24,
                 Action::set_metadata, "", true));
}
TEST(RelinkTableTest, Row25NothingPassesThroughABlockedParent) {
  for (const auto& base : {absent, std::optional(x), std::optional(y)}) {
    Question question = ask(base, y, absent);
    question.obstacle = Obstacle::blocked;
    EXPECT_TRUE(is(question, 25, Action::keep, "blocked", false));
  }
  Question gone = ask(x, absent, absent);
  gone.obstacle = Obstacle::blocked;
  EXPECT_TRUE(is(gone, 25, Action::nothing, "", false));
}
TEST(RelinkTableTest, Row26WhatIsInUseIsKept) {
  for (Question question : {ask(x, x, x), ask(x, y, x), ask(x, absent, x), ask(absent, y, y)}) {
    question.obstacle = Obstacle::in_use;
    EXPECT_TRUE(is(question, 26, Action::keep, "in use", false));
  }
  Question untouched = ask(x, x, y);
  untouched.obstacle = Obstacle::in_use;
  EXPECT_TRUE(is(untouched, 3, Action::nothing, "", true));
}
TEST(RelinkTableTest, Row27WhatIsFrozenStaysAndKeepsItsBase) {
  Question question = ask(x, y, x);
  question.obstacle = Obstacle::frozen;
  EXPECT_TRUE(is(question, 27, Action::nothing, "", false));
  question = ask(x, x, x);
  question.obstacle = Obstacle::frozen;
  EXPECT_TRUE(is(question, 27, Action::nothing, "", true));
}
TEST(RelinkTableTest, Row28BehindAClosedGateOnlyEqualFilesAreShared) {
  for (Question question :
       {ask(x, y, x), ask(x, absent, x), ask(absent, y, absent), ask(x, file(1, 0755), x), ask(x, directory_node(), x),
        ask(directory_node(), directory_node(0700), directory_node())}) {
    question.gate = Gate::closed;
    EXPECT_TRUE(is(question, 28, Action::hold, "", false));
  }
  for (auto [question, row] : {std::pair(ask(x, x, x), 2), {ask(x, y, y), 6}, {ask(absent, y, y), 13}}) {
    question.gate = Gate::closed;
    EXPECT_TRUE(is(question, row, Action::share, "", true));
  }
  Question conflict = ask(x, y, z);
  conflict.gate = Gate::closed;
  EXPECT_TRUE(is(conflict, 7, Action::keep, "changed on both sides", false));
}
TEST(RelinkTableTest, Row29AGroupOfNamesIsActedOnWholeOrNotAtAll) {
  Question question = ask(x, y, x);
  question.group = Group::torn;
  EXPECT_TRUE(is(question, 29, Action::keep, "changed on both sides", false));
  question = ask(x, x, x);
  question.group = Group::torn;
  EXPECT_TRUE(is(question, 29, Action::nothing, "", true));
}
TEST(RelinkTableTest, Row30WithoutABaseOnlyEqualFilesAreShared) {
  for (const auto& [mine, action, text, moves] : {std::tuple(std::optional(y), Action::share, "", true),
                                                  {z, Action::keep, "added on both sides", false},
                                                  {absent, Action::keep, "deleted here, changed in the skel", false}}) {
    Question question = ask(absent, y, mine);
    question.base_known = false;
    EXPECT_TRUE(is(question, 30, action, text, moves));
  }
}
TEST(RelinkTableTest, Row31ASpecialFileIsKept) {
  EXPECT_TRUE(is(ask(device(1), device(2), device(1)), 31, Action::keep, "special file", false));
  EXPECT_TRUE(is(ask(x, y, device(1)), 31, Action::keep, "special file", false));
  EXPECT_TRUE(is(ask(device(1), absent, device(1)), 31, Action::keep, "special file", false));
  EXPECT_TRUE(is(ask(device(1), device(1), device(1)), 1, Action::nothing, "", true));
}

TEST(RelinkTableTest, ShareOnlySaysNothingOfConflicts) {
  Question question = ask(x, y, z);
  question.gate = Gate::share_only;
  EXPECT_TRUE(is(question, 7, Action::nothing, "", false));
}

TEST(RelinkTableTest, ALinkHasNoModeOfItsOwn) {
  Node other = link_to(1);
  other.mode = 0700;
  EXPECT_TRUE(same_node(link_to(1), other));
  EXPECT_FALSE(same_node(link_to(1), link_to(2)));
}

// Over all small worlds: whatever is not equal to base or theirs is the tenant's, and never replaced or removed; what
// is told moves the base only where theirs is reached.
TEST(RelinkTableTest, NothingOfTheTenantsIsEverLost) {
  const std::vector<std::optional<Node>> nodes = {absent,           x,          y,        z, file(1, 0600),
                                                  directory_node(), link_to(1), device(1)};
  for (const auto& base : nodes)
    for (const auto& theirs : nodes)
      for (const auto& mine : nodes)
        for (const bool known : {true, false}) {
          Question question = ask(base, theirs, mine);
          question.base_known = known;
          const Decision decision = decide(question);
          const bool changes = decision.action == Action::replace || decision.action == Action::remove ||
                               decision.action == Action::remove_dir || decision.action == Action::set_metadata;
          const bool as_base = known && mine && base && same_node(*mine, *base);
          if (changes) {
            EXPECT_TRUE(as_base);
          }
          if (decision.action == Action::share) {
            EXPECT_TRUE(mine && theirs && same_node(*mine, *theirs));
          }
          if (decision.action == Action::add) {
            EXPECT_TRUE(!mine && theirs && !base && known);
          }
          EXPECT_EQ(decision.action == Action::keep, !decision.why.empty());
          EXPECT_EQ(decision.action == Action::keep, !decision.base_moves);
        }
}

}  // namespace
}  // namespace vskel
