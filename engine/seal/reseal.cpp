#include "engine/seal/reseal.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "engine/seal/seal.h"
#include "engine/tree/walk.h"

namespace vskel {

namespace {

Result<bool> may_be_shared(const WalkDirectory& directory, const WalkEntry& entry, const sys::Stat& stat) {
  if (!is_linkable(stat, {})) return false;
  return is_linkable(stat, TRY(sys::xattrs(directory.top(), entry.name)));
}

Result<> prove_no_writer(const DirFd& dir, Name name) {
  const Fd file = TRY(sys::open_trusted_file(dir, name));
  if (!TRY(is_sealed(file, TRY(sys::stat(file))))) return {};
  if (TRY(sys::has_no_writer(file))) return {};
  return fail("seal", sys::path_of(file),
              "a process has it open for writing since before it was sealed; end that process, then verify");
}

}  // namespace

Result<std::uint64_t> seal_again(const DirFd& global, SealKind seal) {
  std::atomic<std::uint64_t> sealed{0};
  TRY(for_each_file(global, [&](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
    if (entry.type != sys::FileType::regular) return {};
    const sys::Stat stat = TRY(sys::stat(directory.top(), entry.name));
    // What has the flag is to have the guard in its place.
    if (stat.immutable ? seal != SealKind::guard : !TRY(may_be_shared(directory, entry, stat))) return {};
    TRY(set_seal(directory.top(), entry.name, seal));
    sealed.fetch_add(1, std::memory_order_relaxed);
    return {};
  }));
  return sealed.load();
}

Result<std::uint64_t> guard_all(const DirFd& global, const Guard& guard) {
  std::atomic<std::uint64_t> guarded{0};
  TRY(for_each_file(global, [&](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
    if (entry.type != sys::FileType::regular) return {};
    const sys::Stat stat = TRY(sys::stat(directory.top(), entry.name));
    if (!stat.immutable && !TRY(may_be_shared(directory, entry, stat))) return {};
    TRY(guard.add(TRY(sys::identity(directory.top(), entry.name))));
    guarded.fetch_add(1, std::memory_order_relaxed);
    return {};
  }));
  return guarded.load();
}

Result<Guarded> count_guarded(const DirFd& tree, const Guard& guard) {
  std::atomic<std::uint64_t> linkable{0}, held{0};
  TRY(for_each_file(tree, [&](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
    if (entry.type != sys::FileType::regular) return {};
    const sys::Stat stat = TRY(sys::stat(directory.top(), entry.name));
    if (!stat.immutable && !TRY(may_be_shared(directory, entry, stat))) return {};
    linkable.fetch_add(1, std::memory_order_relaxed);
    if (TRY(guard.holds(TRY(sys::identity(directory.top(), entry.name))))) held.fetch_add(1, std::memory_order_relaxed);
    return {};
  }));
  return Guarded{linkable.load(), held.load()};
}

Result<> begin_to_break_leases(const DirFd& tree) {
  return for_each_file(tree, [](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
    if (entry.type == sys::FileType::regular) (void)sys::open_file(directory.top(), entry.name);
    return {};
  });
}

Result<> prove_no_writers_below(const DirFd& tree, const InTurn& in_turn) {
  return for_each_file(tree, [&in_turn](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
    if (entry.type != sys::FileType::regular) return {};
    const auto prove = [&] { return prove_no_writer(directory.top(), entry.name); };
    return in_turn ? in_turn(prove) : prove();
  });
}

Result<> unseal_staged(const DirFd& tree, const DirFd& staged) {
  std::mutex mutex;
  std::vector<std::uint64_t> inodes;
  TRY(for_each_file(staged, [&](const WalkDirectory&, const WalkEntry& entry) -> Result<> {
    const std::scoped_lock lock(mutex);
    inodes.push_back(entry.inode);
    return {};
  }));
  std::ranges::sort(inodes);
  return for_each_file(tree, [&](const WalkDirectory& directory, const WalkEntry& entry) -> Result<> {
    if (entry.type != sys::FileType::regular || !std::ranges::binary_search(inodes, entry.inode)) return {};
    TRY(clear_seal(directory.top(), entry.name, SealKind::guard));
    if (!TRY(sys::stat(directory.top(), entry.name)).immutable) return {};
    return clear_seal(directory.top(), entry.name, SealKind::immutable);
  });
}

}  // namespace vskel
