// What the engine does with a loaded guard. Loading it is load.cpp's.

#include "engine/seal/guard/guard.h"

#include <sys/sysmacros.h>

#include <cerrno>

#include "engine/seal/guard/key.h"

#ifdef VSKEL_GUARD
#include <bpf/bpf.h>

#include "engine/seal/guard/pins.h"
#endif

namespace vskel {

#ifdef VSKEL_GUARD

namespace {

vskel_guard_key key_of(const sys::Identity& inode) {
  return {inode.inode, (gnu_dev_major(inode.device) << 20) | gnu_dev_minor(inode.device), inode.generation};
}

/// E2BIG is the map's word for full (kernel/bpf/hashtab.c).
Result<> put(const Fd& map, const sys::Identity& inode, vskel_guard_state state) {
  const vskel_guard_key key = key_of(inode);
  const auto value = static_cast<std::uint8_t>(state);
  TRY(sys::pass_seam("seal", "guard", "bpf_map_update_elem", true));
  if (::bpf_map_update_elem(map.number(), &key, &value, BPF_ANY) == 0) return {};
  if (errno == E2BIG) return fail("seal", "guard", std::string("it holds all the inodes that it can"));
  return fail("seal", "guard", errno);
}

}  // namespace

Result<const Guard*> Guard::loaded() {
  static const Result<std::optional<Guard>> found = []() -> Result<std::optional<Guard>> {
    Fd map(::bpf_obj_get(pins::kSealed));
    if (map.open()) return Guard(std::move(map));
    // EPERM: a kernel or a container that lets nobody but others ask; EINVAL, ENOSYS: one without.
    if (errno == ENOENT || errno == ENOTDIR || errno == EPERM || errno == EACCES || errno == EINVAL || errno == ENOSYS)
      return std::nullopt;
    return fail("open", pins::kSealed, errno);
  }();
  if (!found) return std::unexpected(found.error());
  return found->has_value() ? &**found : nullptr;
}

Result<> Guard::add(const sys::Identity& inode) const { return put(map_, inode, VSKEL_GUARD_SEALED); }

Result<> Guard::add_with_flags_open(const sys::Identity& inode) const {
  return put(map_, inode, VSKEL_GUARD_FLAGS_OPEN);
}

Result<> Guard::remove(const sys::Identity& inode) const {
  const vskel_guard_key key = key_of(inode);
  TRY(sys::pass_seam("unseal", "guard", "bpf_map_delete_elem", true));
  if (::bpf_map_delete_elem(map_.number(), &key) == 0 || errno == ENOENT) return {};
  return fail("unseal", "guard", errno);
}

Result<bool> Guard::holds(const sys::Identity& inode) const {
  const vskel_guard_key key = key_of(inode);
  std::uint8_t value = 0;
  TRY(sys::pass_seam("ask for seal", "guard", "bpf_map_lookup_elem", false));
  if (::bpf_map_lookup_elem(map_.number(), &key, &value) == 0) return true;
  if (errno == ENOENT) return false;
  return fail("ask for seal", "guard", errno);
}

Result<std::uint64_t> Guard::count() const {
  vskel_guard_key key{}, next{};
  std::uint64_t count = 0;
  for (const vskel_guard_key* last = nullptr; ::bpf_map_get_next_key(map_.number(), last, &next) == 0; ++count) {
    key = next;
    last = &key;
  }
  if (errno != ENOENT) return fail("count seals", "guard", errno);
  return count;
}

#else

Result<const Guard*> Guard::loaded() { return nullptr; }
Result<> Guard::add(const sys::Identity&) const { return fail("seal", "guard", ENOSYS); }
Result<> Guard::add_with_flags_open(const sys::Identity&) const { return fail("seal", "guard", ENOSYS); }
Result<> Guard::remove(const sys::Identity&) const { return fail("unseal", "guard", ENOSYS); }
Result<bool> Guard::holds(const sys::Identity&) const { return false; }
Result<std::uint64_t> Guard::count() const { return 0U; }

namespace {
constexpr std::string_view kNotBuilt = "this vskel was built without it (CMake: VSKEL_GUARD; clang, bpftool, libbpf)";
}

Result<GuardState> guard_state() {
  GuardState state;
  state.why_not = kNotBuilt;
  return state;
}
Result<> load_guard(SharedBlocks, const std::function<Result<>(const Guard&)>&) {
  return fail("start", "guard", std::string(kNotBuilt));
}
Result<> unload_guard() { return {}; }

#endif

/// Those of which it is known that they have no FIDEDUPERANGE.
SharedBlocks shared_blocks_of(const sys::FileSystem& file_system) {
  const bool none = file_system.type == "ext4" || file_system.type == "tmpfs";
  return none ? SharedBlocks::none : SharedBlocks::possible;
}

}  // namespace vskel
