// What the tenant said to dpkg and apt, holds and diversions, in lists that the skel's packages change, too.

#include <algorithm>
#include <array>

#include "engine/packages/dpkg_bookkeeping.h"
#include "engine/relink/own_file.h"
#include "engine/relink/planner.h"

namespace vskel {

namespace {

constexpr std::array kLists{kDpkgStatus, kDpkgDiversions, kDpkgOverrides, kAptExtendedStates};

}  // namespace

Result<bool> Planner::plan_package_list(const Path3& place, const DirFd& dir, const Listed& mine) {
  if (gate_ != Gate::open || place.unchanged() || !place.base_known) return false;
  if (std::ranges::find(kLists, place.path) == kLists.end()) return false;
  const auto base = TRY(view_.text_of(place.base, kMaxDpkgStatus));
  const auto theirs = TRY(view_.text_of(place.theirs, kMaxDpkgStatus));
  if (!base || !theirs) return false;
  const auto own = TRY(read_own_file(dir, mine.name, kMaxDpkgStatus));
  if (!own || own->bytes == *base || own->bytes == *theirs) return false;
  plan_.bytes_read += own->bytes.size();
  const ListSides sides{*base, *theirs, own->bytes};
  std::string next;
  if (place.path == kDpkgStatus) {
    auto merged = merge_dpkg_status(sides);
    if (!merged || !*merged) return false;
    next = std::move(**merged);
  } else {
    auto merged = merge_dpkg_list(place.path, sides);
    if (!merged) return false;
    for (const std::string& line : merged->kept) plan_.kept.push_back({"/" + place.path, line});
    next = std::move(merged->text);
  }
  if (next != own->bytes) {
    Step step = rewrite(*own, place.path, std::move(next));
    step.base_generation = place.base_generation;
    changed_directories_.emplace(parent_path(place.path), 0);
    steps_.add(in_database(place.path) ? Turn::database : Turn::others, std::move(step));
  }
  settle(place, {});
  return true;
}

}  // namespace vskel
