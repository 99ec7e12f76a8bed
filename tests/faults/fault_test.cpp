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

bool same_unit(const StoreState& a, const StoreState& b, const std::string& unit) {
  const auto in_a = a.find(unit), in_b = b.find(unit);
  if (in_a == a.end() || in_b == b.end()) return in_a == a.end() && in_b == b.end();
  return in_a->second == in_b->second;
}

bool is_barrier(const std::string& call) {
  return call.starts_with("fsync ") || call.starts_with("fdatasync ") || call.starts_with("syncfs ");
}

}  // namespace

bool is_long_run() {
  const char* wanted = std::getenv("VSKEL_LONG");
  return wanted != nullptr && std::string_view(wanted) == "1";
}

FileSystem place_of_trials() {
  const char* wanted = std::getenv("VSKEL_FAULTS_ON");
  if (wanted == nullptr) return FileSystem::tmpfs;
  for (const FileSystem kind : {FileSystem::ext4, FileSystem::xfs, FileSystem::btrfs, FileSystem::tmpfs})
    if (file_system_name(kind) == wanted) return kind;
  throw std::runtime_error(std::string("VSKEL_FAULTS_ON: no file system ") + wanted);
}

unsigned affordable(unsigned all) {
#if defined(__SANITIZE_ADDRESS__)
  constexpr unsigned kOneIn = 10;
#else
  constexpr unsigned kOneIn = 1;
#endif
  const char* wanted = std::getenv("VSKEL_ONE_IN");
  const unsigned one_in = std::max(wanted == nullptr ? kOneIn : static_cast<unsigned>(std::atoi(wanted)), 1U);
  return (all + one_in - 1) / one_in;
}

Course::Course(World& the_world, const Scenario& the_scenario)
    : world(the_world), scenario(the_scenario), mounts_(world.mounts()) {
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

void Course::lay_down() {
  if (!is_laid_down_) world.lay_down(scenario.from);
  is_laid_down_ = true;
}

Ending Course::run(const Fault& fault) {
  lay_down();
  is_laid_down_ = false;
  return world.run(scenario, fault);
}

std::string Course::wrong_after(const Ending& ending, const Fault& fault) {
  std::string text = ending.complaint;
  const bool done = ending.told && ending.answer.outcome == Outcome::done;
  const bool refused = ending.told && ending.answer.outcome == Outcome::refused;
  if (done && ending.fired && fault.kind == Fault::Kind::fail && is_barrier(ending.call))
    text += "a failed sync was not told\n";
  std::vector<const StoreState*> allowed;
  if (!done) allowed.push_back(&before);
  if (!refused) allowed.push_back(&after);
  if (!refused && !done && !between.empty()) allowed.push_back(&between);
  text += wrong_now(allowed);
  return told(ending, text);
}

std::string Course::wrong_after_recovery(const Ending& recovery) {
  std::string text = recovery.complaint;
  if (recovery.told && recovery.answer.outcome == Outcome::done)
    if (const Ending idle = world.recover_idly(); idle.answer.outcome != Outcome::done)
      text += "recover said that it was done: " + idle.answer.why + "\n";
  std::vector<const StoreState*> allowed{&before, &after};
  if (!between.empty()) allowed.push_back(&between);
  text += wrong_now(allowed);
  return told(recovery, text);
}

std::string Course::wrong_now(const std::vector<const StoreState*>& allowed) {
  std::string text;
  const Ending recovered = world.recover_twice();
  if (recovered.answer.outcome != Outcome::done || !recovered.told || !recovered.complaint.empty())
    text += "recover: " + recovered.answer.why + recovered.complaint + "\n";
  const StoreState found = read_store(world.places());
  is_laid_down_ = found == before;
  if (std::ranges::none_of(allowed, [&](const StoreState* state) { return *state == found; })) {
    text += differences(found, allowed, scenario.path_by_path);
    // What is in part before and in part after must fit together.
    text += inconsistencies(world.places());
    const bool in_part = std::ranges::any_of(scenario.path_by_path, [&](const auto& mixed) {
      return std::ranges::none_of(allowed,
                                  [&](const StoreState* state) { return same_unit(found, *state, mixed.first); });
    });
    if (text.empty() && in_part) text += wrong_after_the_rest();
  }
  return text;
}

std::string Course::wrong_outside() const {
  return world.canary().changes() + (world.mounts() == mounts_ ? "" : "a mount was left behind\n");
}

std::string Course::wrong_after_the_rest() {
  const Ending rest = world.run_again(scenario);
  std::string text = rest.complaint;
  if (rest.answer.outcome != Outcome::done) text += "the next run: " + rest.answer.why + "\n";
  // Names of one inode that an error has torn apart need not find together again; all else must be as after the
  // command, and the record must say so.
  const StoreState found = read_store(world.places());
  text += differences(found, std::array{&std::as_const(after)}, scenario.path_by_path);
  for (const auto& [unit, but] : scenario.path_by_path)
    if (progress_of(found, unit) != progress_of(after, unit))
      text += unit + " says " + progress_of(found, unit) + ", not " + progress_of(after, unit) + "\n";
  return text.empty() ? text : "after the next run, which was to bring the rest: " + text;
}

std::string Course::told(const Ending& ending, const std::string& wrong) const {
  if (wrong.empty()) return {};
  const std::string answer = std::string(outcome_name(ending.answer.outcome)) + " " + ending.answer.why;
  return scenario.name + ", " + (ending.fired ? "at " + ending.call : "no fault") + (ending.told ? ", " + answer : "") +
         ":\n" + wrong;
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
