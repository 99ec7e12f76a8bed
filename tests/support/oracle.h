// The oracle: whether a store is as it must be after a command was failed, killed or cut off anywhere and recover has
// run. What is one thing to the administrator (a skel; a vserver with its configuration, record and context) is as a
// whole what it was before the command, or what it is after it.
//
// It uses nothing of the engine, so that a fault there cannot hide itself.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>

#include "tests/support/tree_snapshot.h"

namespace vskel::test {

/// The administrator's two directories.
struct StorePlaces {
  std::filesystem::path vservers, etc;
};

/// What is wrong with a store when no command runs: something left in the journal, staging or trash, or a temporary
/// file; a vserver without one of its parts, or a part without its vserver; a context that is two vservers', or not the
/// one of the record; a shared file that is not sealed. A line each; "" if all is well.
[[nodiscard]] std::string inconsistencies(const StorePlaces& places);

/// One line a name: all that can be seen of it but for what differs from run to run (inode numbers; times later than
/// the test's start, which are all "new").
using Facts = std::map<std::string, std::string>;

/// A store taken apart: "skel base", "vserver web1", "nextid", and "rest" for what belongs to none. Locks and logs are
/// left out.
using StoreState = std::map<std::string, Facts>;

[[nodiscard]] StoreState read_store(const StorePlaces& places);

/// Units that may be mixed path by path, each as in one of the states, where a command does not promise whole units.
/// How far such a vserver's record says that it has come is not looked at: the next run has to prove it. Nor is any
/// path that is named with the unit: what a plugin was writing there is no affair of ours.
using PathByPath = std::map<std::string, std::set<std::string>>;

/// How far a vserver has come by its record: generation, bases, plugins; "" if it has none.
[[nodiscard]] std::string progress_of(const StoreState& state, const std::string& unit);

/// What is wrong with `found` if every unit must be as in one of `allowed`: a line each, "" if nothing is.
[[nodiscard]] std::string differences(const StoreState& found, std::span<const StoreState* const> allowed,
                                      const PathByPath& path_by_path = {});

/// A tree outside of all stores in which nothing whatever may change: bytes, modes, owners, attributes, times, numbers
/// of links.
class Canary {
 public:
  /// Makes the tree.
  explicit Canary(std::filesystem::path root);
  /// What changed since; "" if nothing did.
  [[nodiscard]] std::string changes() const;

 private:
  std::filesystem::path root_;
  TreeSnapshot before_;
};

}  // namespace vskel::test
