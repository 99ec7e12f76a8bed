// A small but whole world for the engine: a disk with a source of every kind of file, a store, and states of it that
// are made once and laid down again for every trial.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/faults/disk.h"
#include "tests/faults/trial.h"
#include "tests/support/oracle.h"

namespace vskel::test {

class World;

/// A command and where it starts.
struct Scenario {
  std::string name;
  std::string from;  ///< a state of World
  std::function<Told(const World&, const Store&)> command;
  bool opening = false;  ///< the store is made by it
  /// What need not be whole after it: by `again` (the command itself, if there is none) it must come to the state
  /// after.
  PathByPath path_by_path{};
  std::string between{};  ///< a call (see Fault::on) between two steps that the command promises one by one
  std::function<Told(const World&, const Store&)> again{};
};

/// All commands that change something.
[[nodiscard]] const std::vector<Scenario>& scenarios();
[[nodiscard]] const Scenario& scenario(const std::string& name);

class World {
 public:
  explicit World(FileSystem kind);

  [[nodiscard]] std::filesystem::path source() const { return disk_.path() / "source"; }
  [[nodiscard]] StorePlaces places() const { return {disk_.path() / "vservers", disk_.path() / "etc"}; }
  [[nodiscard]] const Canary& canary() const { return canary_; }
  [[nodiscard]] Disk& disk() { return disk_; }

  /// Lays down a state ("empty", "skel", "fleet", ...; made on first use, by commands without a fault) in place of
  /// whatever there is. Throws where that fails.
  void lay_down(const std::string& state);
  /// Keeps what there is as a state.
  void keep_as(const std::string& state);

  [[nodiscard]] Ending run(const Scenario& scenario, Fault fault = {}) const;
  [[nodiscard]] Ending run_again(const Scenario& scenario) const;
  [[nodiscard]] Ending recover(const Fault& fault = {}) const;
  /// recover, which must have nothing left to do.
  [[nodiscard]] Ending recover_idly() const;
  /// recover, and once more, idly.
  [[nodiscard]] Ending recover_twice() const;
  /// Mounts of the disk, or on it, in this process's namespace, where others mount what is theirs.
  [[nodiscard]] std::size_t mounts() const;

 private:
  void make(const std::string& state);
  void run_or_throw(const std::string& what, const Command& command) const;
  [[nodiscard]] std::filesystem::path kept(const std::string& state) const { return disk_.path() / "states" / state; }
  [[nodiscard]] StorePaths paths() const { return {places().vservers.string(), places().etc.string()}; }

  Disk disk_;
  Canary canary_;
};

}  // namespace vskel::test
