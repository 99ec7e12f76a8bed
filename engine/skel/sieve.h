// What of a tree does not come into a skel as it is, by the layout's identity rules: asked for every name of the source
// of build-skel and of a merged tree.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/skel/distribute.h"
#include "engine/skel/left_out.h"

namespace vskel {

/// Thread-safe but for what is said to be called when the tree has been walked.
class Sieve {
 public:
  /// `layout` outlives this.
  explicit Sieve(const Layout& layout) : layout_(layout) {}

  /// What becomes of this name. A file that a rule looks into is opened; one that can't be read is taken, for the one
  /// who then copies it to say so.
  [[nodiscard]] Treatment treat(const WalkDirectory& directory, const WalkEntry& entry);
  /// Makes the file that an empty or a token rule wants in the place of this one, with the same owner, mode, attributes
  /// and times: true then, and entries() has what the manifest is to say. For DistributeRequest::put_instead.
  [[nodiscard]] Result<bool> put(const Candidate& candidate, const DirFd& target, Name name);
  /// Is this regular file to become an empty one?
  [[nodiscard]] bool empties(std::string_view path) const;
  /// What put() would make of the regular file `dir`/`name` at `path` by a token rule; nullopt: no rule, or none that
  /// fits it.
  [[nodiscard]] Result<std::optional<std::string>> with_token(std::string_view path, const DirFd& dir, Name name) const;

  // When the tree has been walked:

  /// Counts what scratch rules left out of `tree`, which is the one that was walked.
  [[nodiscard]] Result<> count_scratch(const DirFd& tree);
  /// Of what put() made, in no order. Once.
  [[nodiscard]] ManifestEntries entries() { return std::move(entries_); }
  /// By path.
  [[nodiscard]] std::vector<Omitted> omitted() const;
  /// Those of omitted() that no rule knows by their names.
  [[nodiscard]] std::vector<std::string> paths_with_keys() const;
  /// By pattern; only what left something out.
  [[nodiscard]] std::vector<LeftOut> left_out() const;

 private:
  [[nodiscard]] bool leads_to_omitted(const WalkDirectory& directory, const WalkEntry& entry) const;
  Treatment omit(std::string path, bool has_a_key);
  void count(const std::string& pattern, std::uint64_t files, std::uint64_t bytes);

  const Layout& layout_;
  std::mutex mutex_;  ///< guards what follows
  std::map<std::string, bool> omitted_;
  std::map<std::string, LeftOut> left_out_;
  std::map<std::string, std::string> scratch_;  ///< path -> pattern
  ManifestEntries entries_;
};

}  // namespace vskel
