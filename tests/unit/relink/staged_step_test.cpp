// Steps are read back as they were written, and what is no step is refused with its line.

#include "engine/relink/staged_step.h"

#include <gtest/gtest.h>

namespace vskel {
namespace {

StagedStep odd_step() {
  StagedStep step;
  step.kind = Step::Kind::remove;
  step.path = "usr/share/odd \xff\n\"name\"";
  step.slot = "17";
  step.slot_inode = ~std::uint64_t{0};
  step.slot_sealed = true;
  step.mine = {sys::FileType::symlink, 12, 34, 0777, 5, 6, {-7, 999'999'999}, true};
  step.proof = Proof::digest;
  step.part = Part::local_part;
  step.kept_in = 3;
  step.source = "usr/lib/\x01";
  step.sha256 = "00ff";
  step.base_generation = 2;
  step.in_use = true;
  return step;
}

TEST(StagedStepTest, ReadsWhatItWrote) {
  const std::string text = write_steps({odd_step(), odd_step()});
  const auto read = read_steps(text, "steps");
  ASSERT_TRUE(read) << read.error().line();
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ(write_steps(*read), text);
  EXPECT_EQ(read->at(1).path, odd_step().path);
  EXPECT_EQ(read->at(1).mine.mtime, odd_step().mine.mtime);
  EXPECT_EQ(read->at(1).source, odd_step().source);
}

TEST(StagedStepTest, AStepThatLinksNamesWhatItLinks) {
  StagedStep step = odd_step();
  step.kind = Step::Kind::put_over;
  ASSERT_TRUE(step.links_when_carried_out());
  EXPECT_TRUE(read_steps(write_steps({step}), "steps"));
  step.source.clear();
  EXPECT_FALSE(read_steps(write_steps({step}), "steps"));
}

TEST(StagedStepTest, RefusesWhatIsNoStepAndNamesTheLine) {
  const std::string good = write_steps({odd_step()});
  std::string no_slot = good, no_path = good;
  no_slot.replace(no_slot.find("\"17\""), 4, "\"../x\"");
  no_path.replace(no_path.find("usr/share"), 9, "\\\\777");
  for (const std::string& bad : {std::string("{}\n"), std::string("7\n"), std::string("{\n"), no_slot, no_path}) {
    const auto read = read_steps(good + bad, "steps");
    ASSERT_FALSE(read) << bad;
    EXPECT_EQ(read.error().path, "steps:2") << bad;
  }
}

}  // namespace
}  // namespace vskel
