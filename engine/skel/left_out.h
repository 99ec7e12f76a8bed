// What a skel has not got of the tree that it was made from, by the layout's identity rules: for reports.
#pragma once

#include <cstdint>
#include <string>

namespace vskel {

/// What a rule of the kinds clear and scratch left out.
struct LeftOut {
  std::string pattern;  ///< "/var/log"
  std::uint64_t files = 0, bytes = 0;
};

/// What a rule of the kinds omit and omit-keys left out.
struct Omitted {
  std::string path;                          ///< relative to the root
  bool has_a_key = false;                    ///< by what is in it, not by its name
  [[nodiscard]] std::string reason() const;  ///< "one machine's own"
};

}  // namespace vskel
