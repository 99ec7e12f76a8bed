// What proves and makes sharing: read leases (nobody writes), deduplication (the kernel compares and shares in one
// step), and the map of a file's extents.

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cstring>

#include "engine/sys/call.h"
#include "engine/sys/kernel.h"

namespace vskel::sys {

using detail::Effect;

Result<bool> take_read_lease(const Fd& file) {
  auto taken = detail::perform("take lease", "fcntl", Effect::looks, file, "",
                               [&] { return ::fcntl(file.number(), F_SETLEASE, F_RDLCK); });
  if (taken) return true;
  if (taken.error().code == EAGAIN) return false;
  return std::unexpected(std::move(taken).error());
}

Result<bool> has_no_writer(const Fd& file) {
  auto lease = take_read_lease(file);
  if (!lease && lease.error().code == EINVAL) return true;
  return lease;
}

Result<bool> holds_read_lease(const Fd& file) {
  return TRY(detail::attempt("ask lease", "fcntl", Effect::looks, file, "",
                             [&] { return ::fcntl(file.number(), F_GETLEASE); })) == F_RDLCK;
}

Result<Deduped> dedupe(const Fd& source, const Fd& target, std::uint64_t offset, std::uint64_t length) {
  alignas(file_dedupe_range) std::array<std::byte, sizeof(file_dedupe_range) + sizeof(file_dedupe_range_info)> raw{};
  auto* const range = new (raw.data()) file_dedupe_range{};
  range->src_offset = offset;
  range->src_length = length;
  range->dest_count = 1;
  auto* const info = new (raw.data() + sizeof(file_dedupe_range)) file_dedupe_range_info{};
  info->dest_fd = target.number();
  info->dest_offset = offset;
  TRY(detail::perform("share extents", "FIDEDUPERANGE", Effect::changes, target, "",
                      [&] { return ::ioctl(source.number(), FIDEDUPERANGE, range); }));
  if (info->status < 0) return detail::failed("share extents", target, "", -info->status);
  return Deduped{info->status == FILE_DEDUPE_RANGE_SAME, info->bytes_deduped};
}

namespace {

/// All extents of a file; nullopt where one of them has any of the flags `but` (FIEMAP_EXTENT_*).
Result<std::optional<std::vector<PhysicalExtent>>> map_extents(const Fd& file, std::uint32_t how, std::uint32_t but) {
  constexpr std::uint32_t kAtATime = 128;
  constexpr std::size_t kBytes = sizeof(fiemap) + kAtATime * sizeof(fiemap_extent);
  std::vector<PhysicalExtent> out;
  alignas(fiemap) std::array<std::byte, kBytes> raw;
  for (std::uint64_t start = 0;;) {
    auto* const map = new (raw.data()) fiemap{};
    map->fm_start = start;
    map->fm_length = FIEMAP_MAX_OFFSET - start;
    map->fm_flags = how;
    map->fm_extent_count = kAtATime;
    const auto asked = detail::perform("map extents", "FIEMAP", Effect::looks, file, "",
                                       [&] { return ::ioctl(file.number(), FS_IOC_FIEMAP, map); });
    if (!asked && (asked.error().code == EOPNOTSUPP || asked.error().code == ENOTTY)) return std::nullopt;
    TRY(asked);
    if (map->fm_mapped_extents == 0) return out;
    for (std::uint32_t at = 0; at < map->fm_mapped_extents; ++at) {
      fiemap_extent extent{};
      std::memcpy(&extent, raw.data() + sizeof(fiemap) + at * sizeof(fiemap_extent), sizeof extent);
      if ((extent.fe_flags & but) != 0) return std::nullopt;
      out.push_back({extent.fe_logical, extent.fe_physical, extent.fe_length});
      start = extent.fe_logical + extent.fe_length;
      if ((extent.fe_flags & FIEMAP_EXTENT_LAST) != 0) return out;
    }
  }
}

/// What these mark has no settled place on the disk: not written yet, or packed into metadata.
constexpr std::uint32_t kUnsettled = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_DATA_INLINE |
                                     FIEMAP_EXTENT_DATA_TAIL | FIEMAP_EXTENT_NOT_ALIGNED;

}  // namespace

Result<std::optional<std::vector<PhysicalExtent>>> physical_extents(const Fd& file) {
  return map_extents(file, 0, kUnsettled);
}

Result<bool> are_same_blocks(const Fd& a, const Fd& b) {
  // Of an encoded extent (btrfs: compressed) different parts have one address; an unwritten one has no bytes.
  constexpr std::uint32_t kNoProof = kUnsettled | FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_UNWRITTEN;
  const auto of_a = TRY(map_extents(a, FIEMAP_FLAG_SYNC, kNoProof));
  if (!of_a || of_a->empty()) return false;
  return TRY(map_extents(b, FIEMAP_FLAG_SYNC, kNoProof)) == of_a;
}

}  // namespace vskel::sys
