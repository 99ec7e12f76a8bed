#include "tests/faults/fault_test.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <random>
#include <stdexcept>

namespace vskel::test {
namespace {

std::string_view outcome_name(Outcome outcome) {
  constexpr std::array<std::string_view, 4> kNames{"done", "failed", "refused", "partly"};
  return kNames.at(static_cast<std::size_t>(outcome));
}

bool is_barrier(const std::string& call) {
  return call.starts_with("fsync ") || call.starts_with("fdatasync ") || call.starts_with("syncfs ");
}

}  // namespace

bool is_long_run() {
  const char* wanted = std::getenv("VSKEL_LONG");
  return wanted != nullptr && std::string_view(wanted) == "1";
}

Course::Course(World& the_world, const Scenario& the_scenario)
    : world(the_world), scenario(the_scenario), mounts_(World::mounts()) {
  world.lay_down(scenario.from);
  world.lay_down(scenario.from);  // what is laid down from its copy, not what the copy was made of
  before = read_store(world.places());
  if (const std::string text = inconsistencies(world.places()); !text.empty() && scenario.name != "adopt")
    throw std::runtime_error(scenario.name + " begins with " + text);
  const Ending clean = world.run(scenario);
  changes = clean.calls;
  after = read_store(world.places());
  if (const std::string text = inconsistencies(world.places()); !text.empty())
    throw std::runtime_error(scenario.name + " ends with " + text);
  if (!clean.complaint.empty() || clean.answer.outcome != Outcome::done)
    throw std::runtime_error(scenario.name + " without a fault: " + clean.answer.why + clean.complaint);
  const Ending counted = run({.every_call = true});
  calls = counted.calls;
  const StoreState again = read_store(world.places());
  if (const std::string text = differences(again, std::array{&std::as_const(after)}); !text.empty())
    throw std::runtime_error(scenario.name + " twice: " + text);
  if (scenario.between.empty()) return;
  if (!run({.kind = Fault::Kind::kill, .on = scenario.between}).fired)
    throw std::runtime_error(scenario.name + " makes no call " + scenario.between);
  static_cast<void>(world.recover());
  between = read_store(world.places());
}

Ending Course::run(const Fault& fault) {
  if (!is_laid_down_) world.lay_down(scenario.from);
  is_laid_down_ = false;
  return world.run(scenario, fault);
}

std::string Course::wrong_after(const Ending& ending, const Fault& fault) {
  std::string text = ending.complaint;
  const bool said_done = ending.told && ending.answer.outcome == Outcome::done;
  const bool refused = ending.told && ending.answer.outcome == Outcome::refused;
  if (said_done && ending.fired && fault.kind == Fault::Kind::fail && is_barrier(ending.call))
    text += "a failed sync was not told\n";
  const Ending recovered = world.recover_twice();
  if (recovered.answer.outcome != Outcome::done || !recovered.told || !recovered.complaint.empty())
    text += "recover: " + recovered.answer.why + recovered.complaint + "\n";
  const StoreState found = read_store(world.places());
  std::vector<const StoreState*> allowed;
  if (!said_done) allowed.push_back(&before);
  if (!refused) allowed.push_back(&after);
  if (!refused && !said_done && !between.empty()) allowed.push_back(&between);
  is_laid_down_ = found == before;
  // What is neither as before nor as after is in part this, in part that, and must fit together.
  if (!is_laid_down_ && found != after)
    text += differences(found, allowed, scenario.path_by_path) + inconsistencies(world.places());
  else if (said_done && is_laid_down_ && before != after)
    text += "it said that it was done, and nothing was done\n";
  else if (refused && !is_laid_down_)
    text += "it refused, and did it\n";
  text += world.canary().changes();
  if (World::mounts() != mounts_) text += "a mount was left behind\n";
  if (text.empty()) return text;
  return scenario.name + ", " + (ending.fired ? "at " + ending.call : "no fault") +
         (ending.told ? ", " + std::string(outcome_name(ending.answer.outcome)) + " " + ending.answer.why : "") +
         ":\n" + text;
}

std::vector<unsigned> sample(unsigned all, unsigned wanted) {
  std::vector<unsigned> numbers(all);
  std::iota(numbers.begin(), numbers.end(), 1U);
  // Every part of the course has its share: one of each stretch, by a generator with a fixed seed.
  if (wanted >= all) return numbers;
  std::mt19937 random(20031);  // NOLINT: the same points in every run
  std::vector<unsigned> out;
  for (unsigned at = 0; at < wanted; ++at) {
    const auto first = static_cast<unsigned>(std::uint64_t{at} * all / wanted);
    const auto end = static_cast<unsigned>(std::uint64_t{at + 1} * all / wanted);
    out.push_back(numbers.at(first + random() % (end - first)));
  }
  return out;
}

void tell_figure(const std::string& name, unsigned value) {
  ::testing::Test::RecordProperty(name, static_cast<int>(value));
  std::cout << "[ FIGURE   ] " << name << ": " << value << std::endl;
}

std::vector<std::string> scenario_names() {
  std::vector<std::string> names;
  for (const Scenario& one : scenarios()) names.push_back(one.name);
  return names;
}

}  // namespace vskel::test
