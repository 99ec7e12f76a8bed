#include "engine/seal/reseal.h"

#include <atomic>
#include <cerrno>

#include "engine/seal/seal.h"
#include "engine/tree/walk.h"

namespace vskel {

Result<std::uint64_t> seal_again(const DirFd& global, SealKind seal) {
  std::atomic<std::uint64_t> sealed{0};
  TRY(for_each_file(global, [&](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
    if (entry.type != sys::FileType::regular) return {};
    const sys::Stat stat = TRY(sys::stat(directory.top(), entry.name));
    if (stat.immutable || !is_linkable(stat, {})) return {};
    if (!is_linkable(stat, TRY(sys::xattrs(directory.top(), entry.name)))) return {};
    TRY(set_seal(directory.top(), entry.name, seal));
    sealed.fetch_add(1, std::memory_order_relaxed);
    return {};
  }));
  return sealed.load();
}

Result<> prove_no_writers_below(const DirFd& tree) {
  return for_each_file(tree, [](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
    if (entry.type != sys::FileType::regular) return {};
    const Fd file = TRY(sys::open_trusted_file(directory.top(), entry.name));
    if (!TRY(sys::stat(file)).immutable) return {};
    auto lease = sys::take_read_lease(file);
    if (!lease && lease.error().code == EINVAL) return {};
    if (TRY(std::move(lease))) return {};
    return fail("seal", sys::path_of(file),
                "a process has it open for writing since before it was sealed; end that process, then verify");
  });
}

Result<> unseal_all(const DirFd& tree) {
  return for_each_file(tree, [](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
    if (entry.type != sys::FileType::regular || !TRY(sys::stat(directory.top(), entry.name)).immutable) return {};
    return clear_seal(directory.top(), entry.name, SealKind::immutable);
  });
}

}  // namespace vskel
