#include "engine/seal/reseal.h"

#include <atomic>

#include "engine/seal/seal.h"
#include "engine/tree/walk.h"

namespace vskel {

Result<std::uint64_t> seal_again(const DirFd& global, SealKind seal) {
  std::atomic<std::uint64_t> sealed{0};
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void>) -> Result<> {
    for (const WalkEntry& entry : directory->entries) {
      if (entry.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
      if (entry.type != sys::FileType::regular) continue;
      const sys::Stat stat = TRY(sys::stat(directory->top(), entry.name));
      if (stat.immutable || stat.type != sys::FileType::regular) continue;
      const Fd file = TRY(sys::open_trusted_file(directory->top(), entry.name));
      if (!is_linkable(stat, TRY(sys::xattrs(file)))) continue;
      TRY(set_seal(directory->top(), entry.name, seal));
      sealed.fetch_add(1, std::memory_order_relaxed);
    }
    return {};
  };
  (void)TRY(Walk::run({&global}, Mounts::stop, nullptr, visitor));
  return sealed.load();
}

Result<> unseal_all(const DirFd& tree) {
  const Visitor visitor = [](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                             std::shared_ptr<void>) -> Result<> {
    for (const WalkEntry& entry : directory->entries) {
      if (entry.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
      if (entry.type != sys::FileType::regular || !TRY(sys::stat(directory->top(), entry.name)).immutable) continue;
      TRY(clear_seal(directory->top(), entry.name, SealKind::immutable));
    }
    return {};
  };
  (void)TRY(Walk::run({&tree}, Mounts::stop, nullptr, visitor));
  return {};
}

}  // namespace vskel
