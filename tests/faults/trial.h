// One run of an engine command in a process of its own, with one fault.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>

#include "engine/txn/store.h"
#include "tests/faults/disk.h"

namespace vskel::test {

/// As the program's exit status says it.
enum class Outcome { done, failed, refused, partly };

struct Told {
  Outcome outcome = Outcome::done;
  std::string why;
};

/// Runs in the child.
using Command = std::function<Told(const Store&)>;

struct Fault {
  enum class Kind {
    none,
    fail,      ///< the call fails with `code`
    kill,      ///< SIGKILL before the call
    cut,       ///< the file system stops dead before the call, and the process dies
    cut_after  ///< the same when the command has said how it went
  };
  Kind kind = Kind::none;
  bool every_call = false;  ///< count those that only look, too
  bool opening = false;     ///< the opening of the store is under it, too
  unsigned at = 0;          ///< at the how-manieth call, from 1
  std::string on{};         ///< or at the first whose Ending::call holds this
  int code = 0;             ///< EIO in its place where it would be a statement and no failure, see trial.cpp
  Spared spared = Spared::nothing;
  std::set<std::string> barriers_out{};  ///< calls that are reported as done and left out
};

struct Ending {
  bool fired = false;     ///< the fault came to pass
  bool told = false;      ///< the command came to its end
  Told answer;            ///< if it did
  std::string call;       ///< that the fault fell upon: "linkat /mount/vservers/web1/usr/bin/tool"
  unsigned calls = 0;     ///< that were counted
  std::string complaint;  ///< a crash, a hang, a descriptor or process left behind; "" if none
};

/// Runs `command` on the store in `places`. `disk` is what is cut off.
[[nodiscard]] Ending run_trial(const Disk& disk, const StorePaths& places, const Command& command,
                               const Fault& fault = {});

}  // namespace vskel::test
