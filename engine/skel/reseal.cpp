#include "engine/skel/reseal.h"

#include <cerrno>

#include "engine/seal/reseal.h"
#include "engine/skel/kept_files.h"
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
    if (listed.type != sys::FileType::directory || !listed.name.view().ends_with(".files")) continue;
    const DirFd files = TRY(sys::open_dir(generations, listed.name));
    auto global = sys::open_dir(files, "global");
    if (global) TRY(visit(*global));
    if (!global && global.error().code != ENOENT) return std::unexpected(std::move(global).error());
  }
  return {};
}

}  // namespace

Result<> seal_skel_again(const Skel& skel, SealKind seal) {
  return for_each_shared_tree(skel, [seal](const DirFd& tree) -> Result<> {
    (void)TRY(seal_again(tree, seal));
    return {};
  });
}

Result<> prove_no_writers(const Skel& skel) { return for_each_shared_tree(skel, prove_no_writers_below); }

}  // namespace vskel
