// The entries of a skel's next generation, for its manifest. By far the most are the last generation's again, and of
// those a bit is kept in memory and not a second entry.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "engine/manifest/manifest.h"

namespace vskel {

/// Not thread-safe.
class NextEntries {
 public:
  /// `last` is sorted, and outlives this.
  explicit NextEntries(const ManifestEntries& last) : last_(last), keeps_(last.size()) {}

  /// The entry at index `at` of the last generation stands again, but for what is said next.
  void keep(std::size_t at) { keeps_[at] = true; }
  [[nodiscard]] bool keeps(std::size_t at) const { return keeps_[at]; }
  void set_nlink(std::size_t at, std::uint32_t nlink);
  void set_mtime(std::size_t at, sys::Time mtime);
  /// All others, sorted by path, then part.
  void add(ManifestEntries others) { others_ = std::move(others); }

  /// Takes an entry, and the last generation's where that is kept; else nullptr.
  using Sink = std::function<Result<void>(const ManifestEntry& entry, const ManifestEntry* kept)>;
  /// All of them by path, then part. Ends with the sink's error.
  [[nodiscard]] Result<> for_each(const Sink& sink) const;

 private:
  struct Patch {
    std::uint32_t nlink = 0;
    sys::Time mtime;
  };
  Patch& patch(std::size_t at);
  const ManifestEntries& last_;
  std::vector<bool> keeps_;
  std::map<std::size_t, Patch> patches_;
  ManifestEntries others_;
};

}  // namespace vskel
