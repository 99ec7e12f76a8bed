#include "engine/relink/planned_steps.h"

#include <algorithm>

namespace vskel {

Steps PlannedSteps::take_torn_groups() {
  Steps out;
  if (groups_.empty()) return out;
  std::unordered_map<std::uint64_t, std::uint32_t> acted;
  for (const Steps& steps : steps_)
    for (const Step& step : steps)
      if (groups_.contains(step.mine.inode)) ++acted[step.mine.inode];
  const auto is_torn = [&](const Step& step) {
    const auto group = groups_.find(step.mine.inode);
    return group != groups_.end() && step.made() == nullptr && step.kind != Step::Kind::put_new &&
           step.mine.type == sys::FileType::regular && acted[step.mine.inode] < group->second;
  };
  for (Steps& steps : steps_) {
    for (Step& step : steps)
      if (is_torn(step)) out.push_back(std::move(step));
    // What was moved from has its identity still.
    std::erase_if(steps, is_torn);
  }
  return out;
}

void PlannedSteps::drop_bundle(std::uint32_t bundle) {
  for (Steps& steps : steps_) std::erase_if(steps, [bundle](const Step& step) { return step.bundle == bundle; });
}

void PlannedSteps::clear() {
  for (Steps& steps : steps_) steps.clear();
  groups_.clear();
}

Steps PlannedSteps::take() {
  // One after the other, the memory of each going as it is taken over.
  Steps out = std::move(steps_.front());
  for (std::size_t turn = 1; turn < steps_.size(); ++turn)
    for (; !steps_[turn].empty(); steps_[turn].pop_front()) out.push_back(std::move(steps_[turn].front()));
  return out;
}

}  // namespace vskel
