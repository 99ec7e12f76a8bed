// Which base each path of a vserver has after a relink. The record names one generation and what differs from it; of
// the two ways to say so the shorter is taken.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "engine/vserver/record.h"

namespace vskel {

/// Gathers them while a plan is made; only paths that the skel changed have to be told. Not thread-safe. Keeps a
/// reference to the record.
class MovingBases {
 public:
  MovingBases(const Record& record, unsigned newest) : record_(record), newest_(newest) {}
  /// The newest generation is the base of `path` from now on; `until_now` was it.
  void move(const std::string& path, unsigned until_now) { moved_.emplace(path, until_now); }
  /// Its base stays.
  void stay(const std::string& path, unsigned base) { staying_.emplace(path, base); }
  /// It was to move and stays after all.
  void stay_after_all(const std::string& path, unsigned base);
  /// The same for a directory and all below it.
  void stay_below_after_all(const std::string& path, unsigned base);
  /// Below a directory that is not entered, everything keeps the base that it has.
  void stay_below(const std::string& path, unsigned base);

  struct Decided {
    unsigned generation = 0;
    std::map<std::string, unsigned> bases;  ///< what differs from it
  };
  /// For the record, when all has been told.
  [[nodiscard]] Decided decide();

 private:
  /// What the record says of a directory holds for all below it, but for what it says of that itself.
  [[nodiscard]] static unsigned inherited(const Decided& decided, std::string_view path);
  const Record& record_;
  const unsigned newest_;
  std::map<std::string, unsigned> moved_, staying_;  // path -> its base until now
};

}  // namespace vskel
