// Hard links inside a tree that is copied: where each inode with several names got its first copy, so that its further
// names become links to that. Holds only inodes with more than one name.
#pragma once

#include <array>
#include <mutex>
#include <string>
#include <unordered_map>

#include "engine/sys/error.h"

namespace vskel {

class FirstNames {
 public:
  struct Place {
    std::string dir;  ///< relative to the root of the copy
    std::string name;
    unsigned names = 1;  ///< how many names the copy has by now
  };

  /// The first call for `inode` runs `make_first()` and notes the place; later ones run `make_further(place)`. Calls
  /// for one inode exclude each other, so that a further name never comes before the first is complete; both give
  /// Result<>. If make_first fails the inode stays unknown.
  template <class First, class Further>
  [[nodiscard]] Result<> make(std::uint64_t inode, std::string_view dir, std::string_view name, First make_first,
                              Further make_further) {
    Stripe& stripe = stripes_[inode % stripes_.size()];
    const std::scoped_lock lock(stripe.mutex);
    const auto known = stripe.places.find(inode);
    if (known != stripe.places.end()) {
      TRY(make_further(std::as_const(known->second)));
      ++known->second.names;
      return {};
    }
    TRY(make_first());
    stripe.places.emplace(inode, Place{std::string(dir), std::string(name)});
    return {};
  }

  /// Number of names that the copy of `inode` has; 1 if it was never given here. Not to be called while make() runs
  /// elsewhere.
  [[nodiscard]] unsigned names_of(std::uint64_t inode) const {
    const Stripe& stripe = stripes_[inode % stripes_.size()];
    const auto known = stripe.places.find(inode);
    return known == stripe.places.end() ? 1 : known->second.names;
  }

 private:
  struct Stripe {
    std::mutex mutex;
    std::unordered_map<std::uint64_t, Place> places;
  };
  std::array<Stripe, 64> stripes_;
};

}  // namespace vskel
