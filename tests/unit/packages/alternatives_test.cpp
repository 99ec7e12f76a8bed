// What a tenant chose stays chosen while it is there; what an update brings to choose from comes, and what it takes
// goes.

#include "engine/packages/alternatives.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

std::string choice(const std::string& path, int priority, const std::string& man) {
  return "/usr/bin/" + path + "\n" + std::to_string(priority) + "\n" + man + "\n";
}
std::string file(const std::string& mode, const std::string& choices) {
  return mode + "\n/usr/bin/editor\neditor.1\n/usr/share/man/editor.1\n\n" + choices + "\n";
}
AlternativeSide side(const std::string& mode, const std::string& choices, const std::string& chosen) {
  return {file(mode, choices), "/usr/bin/" + chosen};
}

const std::string kEd = choice("ed", 10, "/man/ed"), kVi = choice("vi", 20, "/man/vi"), kNano = choice("nano", 40, ""),
                  kOwn = choice("own", 90, "/man/own");
using Links = std::map<std::string, std::optional<std::string>>;

MergedAlternative merged(const AlternativeSides& sides) {
  auto merged = merge_alternative("editor", sides);
  EXPECT_TRUE(merged) << merged.error().line();
  return merged ? std::move(*merged) : MergedAlternative();
}

TEST(AlternativesTest, AChoiceStaysAndWhatThereIsToChooseFromComes) {
  const auto next =
      merged({side("auto", kEd + kVi, "vi"), side("auto", kEd + kVi + kNano, "nano"), side("manual", kEd + kVi, "ed")});
  EXPECT_EQ(next.text, file("manual", kEd + kVi + kNano));
  EXPECT_EQ(next.links, (Links{{"editor", "/usr/bin/ed"}, {"editor.1", "/man/ed"}}));
}

TEST(AlternativesTest, AChoiceThatAnUpdateTookAwayIsTheBestOfTheRest) {
  const auto next =
      merged({side("auto", kEd + kVi, "vi"), side("auto", kEd + kNano, "nano"), side("manual", kEd + kVi, "vi")});
  EXPECT_EQ(next.text, file("auto", kEd + kNano));
  EXPECT_EQ(next.links, (Links{{"editor", "/usr/bin/nano"}, {"editor.1", std::nullopt}}));
}

TEST(AlternativesTest, WhatTheTenantInstalledStaysAndIsChosenByItsPriority) {
  const auto next =
      merged({side("auto", kEd + kVi, "vi"), side("auto", kEd + kNano, "nano"), side("auto", kEd + kVi + kOwn, "own")});
  EXPECT_EQ(next.text, file("auto", kEd + kOwn + kNano));
  EXPECT_EQ(next.links, (Links{{"editor", "/usr/bin/own"}, {"editor.1", "/man/own"}}));
}

TEST(AlternativesTest, OneWithNothingToChooseFromGoes) {
  const auto next = merged({side("auto", kEd, "ed"), {}, side("manual", kEd, "ed")});
  EXPECT_EQ(next.text, std::nullopt);
  EXPECT_EQ(next.links, (Links{{"editor", std::nullopt}, {"editor.1", std::nullopt}}));
}

TEST(AlternativesTest, WhatOnlyTheTenantHasIsLeftWhereThePackageGoes) {
  const auto next = merged({side("auto", kEd, "ed"), {}, side("manual", kEd + kOwn, "ed")});
  EXPECT_EQ(next.text, file("auto", kOwn));
  EXPECT_EQ(next.links, (Links{{"editor", "/usr/bin/own"}, {"editor.1", "/man/own"}}));
}

TEST(AlternativesTest, ALinkThatWasLedElsewhereByHandStays) {
  const auto next = merged(
      {side("auto", kEd + kVi, "vi"), side("auto", kEd + kNano, "nano"), side("auto", kEd + kVi, "../../opt/mine")});
  EXPECT_EQ(next.text, file("auto", kEd + kNano));
  EXPECT_EQ(next.links, Links());
  const auto none = merged({side("auto", kEd, "ed"), {}, {file("manual", kEd), std::nullopt}});
  EXPECT_EQ(none.text, std::nullopt);
  EXPECT_EQ(none.links, Links());
}

TEST(AlternativesTest, WhatTheSkelsAdministratorChoseIsForThoseWhoSaidNothing) {
  const AlternativeSide base = side("auto", kEd + kVi, "vi"), theirs = side("manual", kEd + kVi, "ed");
  EXPECT_EQ(merged({base, theirs, side("auto", kVi + kEd, "vi")}).links,
            (Links{{"editor", "/usr/bin/ed"}, {"editor.1", "/man/ed"}}));
  EXPECT_EQ(merged({base, theirs, side("manual", kEd + kVi, "vi")}).links,
            (Links{{"editor", "/usr/bin/vi"}, {"editor.1", "/man/vi"}}));
}

TEST(AlternativesTest, ALinkThatGoesAlongComesAndGoesWithItsAlternative) {
  const std::string plain = "auto\n/usr/bin/editor\n\n/usr/bin/ed\n10\n/usr/bin/vi\n20\n\n";
  const AlternativeSide base = {plain, "/usr/bin/vi"}, theirs = side("auto", kEd + kVi, "vi"),
                        mine = {"manual" + plain.substr(4), "/usr/bin/ed"};
  const auto comes = merged({base, theirs, mine});
  EXPECT_EQ(comes.text, file("manual", kEd + kVi));
  EXPECT_EQ(comes.links, (Links{{"editor", "/usr/bin/ed"}, {"editor.1", "/man/ed"}}));
  const auto goes = merged({theirs, base, side("manual", kEd + kVi, "ed")});
  EXPECT_EQ(goes.text, "manual" + plain.substr(4));
  EXPECT_EQ(goes.links, (Links{{"editor", "/usr/bin/ed"}, {"editor.1", std::nullopt}}));
}

TEST(AlternativesTest, WhatUpdateAlternativesWouldNotReadIsAnError) {
  const AlternativeSide good = side("auto", kEd, "ed");
  for (const std::string& bad : {std::string(), std::string("auto\n"), std::string("off\n/usr/bin/editor\n\n\n"),
                                 std::string("auto\n/usr/bin/editor\n../../passwd\n/x\n\n\n"),
                                 std::string("auto\n/e\neditor\n/x\n\n\n"), std::string("auto\n/e\na\n/x\na\n/x\n\n\n"),
                                 std::string("auto\n/e\n\n/p\nmany\n\n"), std::string("auto\n/e\n\n/p\n1"),
                                 std::string("auto\n/e\n\n/p\n1\n/p\n2\n\n"), std::string("auto\n/e\n\n\n/more\n"),
                                 std::string("auto\n/e\n\n\n\0", 11), std::string("auto\n/e\n\n/p\n99999999999\n\n")}) {
    const auto merged = merge_alternative("editor", {good, good, {bad, "/usr/bin/ed"}});
    ASSERT_FALSE(merged) << bad;
    EXPECT_EQ(merged.error().path, "/var/lib/dpkg/alternatives/editor");
  }
}

}  // namespace
}  // namespace vskel
