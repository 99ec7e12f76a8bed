#include "engine/skel/reseal.h"

#include <cerrno>

#include "engine/seal/reseal.h"
#include "engine/skel/kept_files.h"
#include "engine/sys/stopping.h"
#include "engine/tree/listing.h"

namespace vskel {

namespace {

/// Calls `visit` with the roots of all trees that hold shared inodes.
template <class Visit>
Result<> for_each_shared_tree(const Skel& skel, Visit visit) {
  TRY(visit(skel.tree(Part::global_part)));
  if (!skel.generations().open()) return {};
  const DirFd generations = TRY(sys::reopen(skel.generations()));
  const Listing listing = TRY(Listing::read(generations));
  for (const Listed& listed : listing.entries()) {
    if (listed.type != sys::FileType::directory) continue;
    if (listed.name.view().ends_with(".leaders")) TRY(visit(TRY(sys::open_dir(generations, listed.name))));
    if (!listed.name.view().ends_with(".files")) continue;
    const DirFd files = TRY(sys::open_dir(generations, listed.name));
    auto global = sys::open_dir(files, "global");
    if (global) TRY(visit(*global));
    if (!global && global.error().code != ENOENT) return std::unexpected(std::move(global).error());
  }
  return {};
}

}  // namespace

Result<> seal_skel_again(const Skel& skel, SealKind seal) {
  const sys::Undoing to_the_end;
  return for_each_shared_tree(skel, [seal](const DirFd& tree) -> Result<> {
    (void)TRY(seal_again(tree, seal));
    return {};
  });
}

Result<std::uint64_t> guard_skel(const Skel& skel, const Guard& guard) {
  std::uint64_t guarded = 0;
  TRY(for_each_shared_tree(skel, [&](const DirFd& tree) -> Result<> {
    guarded += TRY(guard_all(tree, guard));
    return {};
  }));
  return guarded;
}

Result<Guarded> count_guarded_of(const Skel& skel, const Guard& guard) {
  Guarded sum;
  TRY(for_each_shared_tree(skel, [&](const DirFd& tree) -> Result<> {
    const Guarded counted = TRY(count_guarded(tree, guard));
    sum.linkable += counted.linkable;
    sum.held += counted.held;
    return {};
  }));
  return sum;
}

Result<> begin_to_break_leases(const Skel& skel) {
  return for_each_shared_tree(skel, [](const DirFd& tree) { return begin_to_break_leases(tree); });
}

Result<> prove_no_writers(const Skel& skel, const InTurn& in_turn) {
  return for_each_shared_tree(skel, [&](const DirFd& tree) { return prove_no_writers_below(tree, in_turn); });
}

}  // namespace vskel
