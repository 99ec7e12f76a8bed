#include "engine/skel/reseal.h"

#include <cerrno>

#include "engine/seal/reseal.h"
#include "engine/skel/kept_files.h"
#include "engine/tree/listing.h"

namespace vskel {

Result<> seal_skel_again(const Skel& skel, SealKind seal) {
  (void)TRY(seal_again(skel.tree(Part::global_part), seal));
  if (!skel.generations().open()) return {};
  const DirFd generations = TRY(sys::reopen(skel.generations()));
  const Listing listing = TRY(Listing::read(generations));
  for (const Listed& listed : listing.entries()) {
    if (listed.type != sys::FileType::directory || !listed.name.view().ends_with(".files")) continue;
    const DirFd files = TRY(sys::open_dir(generations, listed.name));
    auto global = sys::open_dir(files, "global");
    if (global) (void)TRY(seal_again(*global, seal));
    if (!global && global.error().code != ENOENT) return std::unexpected(std::move(global).error());
  }
  return {};
}

}  // namespace vskel
