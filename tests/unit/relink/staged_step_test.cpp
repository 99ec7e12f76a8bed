// Steps are read back as they were written, and what is no step is refused with its line.

#include "engine/relink/staged_step.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace vskel {
namespace {

StagedStep odd_step() {
  StagedStep step;
  step.kind = Step::Kind::remove;
  step.path = "usr/share/odd \xff\n\"name\"";
  step.slot = "17";
  step.slot_inode = ~std::uint64_t{0};
  step.slot_sealed = true;
  step.mine = {12, 34, {-7, 999'999'999}, {}, 0777, 5, 6, sys::FileType::symlink, true};
  step.proof = Proof::digest;
  step.part = Part::local_part;
  step.kept_in = 3;
  step.source = "usr/lib/\x01";
  step.sha256 = "00ff";
  step.base_generation = 2;
  step.in_use = true;
  step.since = {-8, 1};
  step.bundle = "var/lib/odd \"bundle\"";
  step.after_moves = true;
  return step;
}

std::string text_of(const std::vector<StagedStep>& steps) {
  std::string text;
  for (const StagedStep& step : steps) write_step(text, step);
  return text;
}

Result<std::vector<StagedStep>> steps_of(const std::string& text) {
  std::vector<StagedStep> steps;
  TRY(read_steps(text, "steps", [&steps](StagedStep step) -> Result<> {
    steps.push_back(std::move(step));
    return {};
  }));
  return steps;
}

TEST(StagedStepTest, ReadsWhatItWrote) {
  const std::string text = text_of({odd_step(), odd_step()});
  const auto read = steps_of(text);
  ASSERT_TRUE(read) << read.error().line();
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ(text_of(*read), text);
  EXPECT_EQ(read->at(1).path, odd_step().path);
  EXPECT_EQ(read->at(1).mine.mtime, odd_step().mine.mtime);
  EXPECT_EQ(read->at(1).source, odd_step().source);
  EXPECT_EQ(read->at(1).since, odd_step().since);
}

TEST(StagedStepTest, AStepThatLinksNamesWhatItLinks) {
  StagedStep step = odd_step();
  step.kind = Step::Kind::put_over;
  ASSERT_TRUE(step.links_when_carried_out());
  step.source.clear();
  const std::string text = text_of({step});
  const auto read = steps_of(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->front().global_path(), step.path);
  nlohmann::json nothing = nlohmann::json::parse(text);
  nothing["source"] = "";
  EXPECT_FALSE(steps_of(nothing.dump() + "\n"));
}

TEST(StagedStepTest, RefusesWhatIsNoStepAndNamesTheLine) {
  const std::string good = text_of({odd_step()});
  std::string no_slot = good, no_path = good;
  no_slot.replace(no_slot.find("\"17\""), 4, "\"../x\"");
  no_path.replace(no_path.find("usr/share"), 9, "\\\\777");
  const auto with = [&](const std::string& key, const nlohmann::json& value) {
    nlohmann::json step = nlohmann::json::parse(good);
    (step.contains(key) ? step : step["mine"])[key] = value;
    return step.dump() + "\n";
  };
  for (const std::string& bad :
       {std::string("{}\n"), std::string("7\n"), std::string("{\n"), no_slot, no_path, with("path", "../etc/passwd"),
        with("path", "/etc/passwd"), with("path", "usr/"), with("source", "usr/../../a"), with("kind", 9),
        with("kind", 258), with("proof", 4), with("part", 3), with("type", 8), with("inode", -1),
        with("uid", 4294967296), with("ns", 0.5)}) {
    const auto read = steps_of(good + bad);
    ASSERT_FALSE(read) << bad;
    EXPECT_EQ(read.error().path, "steps:2") << bad;
  }
}

}  // namespace
}  // namespace vskel
