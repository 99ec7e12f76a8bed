// Loading, replacing and unloading the guard's programs, and what can be told of them.
//
// Which hooks a kernel has, and with which arguments, is asked of its own types: every hook that a program may be
// attached to is a function bpf_lsm_HOOK there (kernel/bpf/bpf_lsm.c).
#ifdef VSKEL_GUARD

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <mutex>
#include <set>
#include <system_error>

#include "engine/seal/guard/guard.h"
#include "engine/seal/guard/guard.skel.h"
#include "engine/seal/guard/key.h"
#include "engine/seal/guard/pins.h"
#include "engine/tree/listing.h"

namespace vskel {

namespace {

enum class Presence { required, where_it_exists, where_blocks_are_shared };

/// One hook of the kernel, the program for each of its forms, and the name under which it is told and pinned.
struct Hook {
  const char* name;
  const char* kernel_name;
  int counter;         ///< vskel_guard_hook; -1: it refuses nothing, or counts with another
  const char* plain;   ///< program for the form without, and
  const char* mapped;  ///< with something in front of the dentry; nullptr: there is one form
  Presence presence;
};

constexpr std::array kHooks{
    Hook{"open", "file_open", VSKEL_GUARD_OPEN, "open_", nullptr, Presence::required},
    Hook{"setattr", "inode_setattr", VSKEL_GUARD_SETATTR, "inode_setattr_bare", "inode_setattr_mapped",
         Presence::required},
    Hook{"setxattr", "inode_setxattr", VSKEL_GUARD_SETXATTR, "inode_setxattr_bare", "inode_setxattr_mapped",
         Presence::required},
    Hook{"removexattr", "inode_removexattr", VSKEL_GUARD_REMOVEXATTR, "inode_removexattr_bare",
         "inode_removexattr_mapped", Presence::required},
    Hook{"set_acl", "inode_set_acl", VSKEL_GUARD_SET_ACL, "inode_set_acl_bare", "inode_set_acl_mapped",
         Presence::where_it_exists},
    Hook{"remove_acl", "inode_remove_acl", VSKEL_GUARD_REMOVE_ACL, "inode_remove_acl_bare", "inode_remove_acl_mapped",
         Presence::where_it_exists},
    Hook{"ioctl", "file_ioctl", VSKEL_GUARD_IOCTL, "ioctl", nullptr, Presence::required},
    Hook{"ioctl_compat", "file_ioctl_compat", -1, "ioctl_compat", nullptr, Presence::where_it_exists},
    Hook{"file_setattr", "inode_file_setattr", VSKEL_GUARD_FILE_SETATTR, "inode_file_setattr_bare",
         "inode_file_setattr_mapped", Presence::where_it_exists},
    Hook{"lock", "file_lock", VSKEL_GUARD_LOCK, "lock", nullptr, Presence::required},
    Hook{"dedupe", "file_permission", VSKEL_GUARD_DEDUPE, "dedupe", nullptr, Presence::where_blocks_are_shared},
    Hook{"map", "bpf_map", VSKEL_GUARD_MAP, "map", nullptr, Presence::where_it_exists},
    Hook{"forget", "inode_free_security", -1, "forget", nullptr, Presence::where_it_exists},
};

struct Free {
  void operator()(btf* types) const { ::btf__free(types); }
  void operator()(vskel_guard_bpf* skeleton) const { vskel_guard_bpf::destroy(skeleton); }
  void operator()(bpf_link* link) const { ::bpf_link__destroy(link); }
};
using Types = std::unique_ptr<btf, Free>;
using Skeleton = std::unique_ptr<vskel_guard_bpf, Free>;
using Link = std::unique_ptr<bpf_link, Free>;

/// What libbpf warned of last: it says more than an errno.
std::string last_warning;

int keep_warning(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  std::array<char, 512> line{};
  std::vsnprintf(line.data(), line.size(), format, arguments);
  last_warning = line.data();
  while (last_warning.ends_with('\n')) last_warning.pop_back();
  return 0;
}

std::unexpected<Error> failed(const char* what, int code) {
  std::string reason = std::generic_category().message(code);
  if (code == EPERM) reason += " (a container, or a kernel that is locked down?)";
  if (!last_warning.empty()) reason += " (" + last_warning + ")";
  return fail(what, "guard", std::move(reason));
}

Result<std::string> read_file(const char* path) { return sys::read_whole(TRY(sys::open_input(path)), 4096); }

/// Whether `word` is one of a list with commas.
bool is_listed(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find_first_of(",\n"), list.size());
    if (list.substr(0, end) == word) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

/// For the kernel's command line: what runs now, and bpf.
std::string how_to_boot(std::string_view modules) {
  return "boot with lsm=" + std::string(modules.substr(0, modules.find('\n'))) +
         ",bpf (in GRUB_CMDLINE_LINUX of /etc/default/grub; then update-grub, reboot)";
}

std::string why_not(const Types& types) {
  if (!types) return "the kernel does not describe its types (CONFIG_DEBUG_INFO_BTF: /sys/kernel/btf/vmlinux)";
  if (::btf__find_by_name_kind(types.get(), "bpf_lsm_file_open", BTF_KIND_FUNC) < 0)
    return "the kernel has no hooks for programs (CONFIG_BPF_LSM)";
  // Where the file is not to be had nothing is known, and loading will tell.
  if (const auto modules = read_file("/sys/kernel/security/lsm"); modules && !is_listed(*modules, "bpf"))
    return "bpf is not among the kernel's security modules; " + how_to_boot(*modules);
  const auto bpffs = sys::open_root(pins::kBpffs);
  const auto type = bpffs ? sys::file_system(*bpffs) : Result<sys::FileSystem>(fail("open", pins::kBpffs, ENOENT));
  if (!type || type->type != "bpf")
    return std::string("no bpffs is mounted on ") + pins::kBpffs + " (mount -t bpf bpf " + pins::kBpffs + ")";
  return {};
}

/// Where a hook's arguments have the dentry; nullopt: there is no such hook. -1: no argument is one.
std::optional<int> place_of_dentry(const btf* types, const Hook& hook) {
  const std::string function = std::string("bpf_lsm_") + hook.kernel_name;
  const int id = ::btf__find_by_name_kind(types, function.c_str(), BTF_KIND_FUNC);
  if (id < 0) return std::nullopt;
  const btf_type* prototype = ::btf__type_by_id(types, ::btf__type_by_id(types, static_cast<__u32>(id))->type);
  const btf_param* parameters = ::btf_params(prototype);
  for (int at = 0; at < ::btf_vlen(prototype); ++at) {
    const btf_type* type = ::btf__type_by_id(types, parameters[at].type);
    if (type == nullptr || !::btf_is_ptr(type)) continue;
    const btf_type* target = ::btf__type_by_id(types, type->type);
    if (::btf_is_struct(target) && std::string_view(::btf__name_by_offset(types, target->name_off)) == "dentry")
      return at;
  }
  return -1;
}

std::string pin_path(std::string_view name) { return std::string(pins::kBpffs) + "/vskel/" + std::string(name); }

/// The pins' directory; nullopt if there is none.
Result<std::optional<DirFd>> pins_if_there() {
  const DirFd bpffs = TRY(sys::open_root(pins::kBpffs));
  auto dir = sys::open_dir(bpffs, "vskel");
  if (dir) return std::move(*dir);
  if (dir.error().code == ENOENT) return std::nullopt;
  return std::unexpected(std::move(dir).error());
}

Result<bool> is_pinned(const char* name) {
  const auto dir = TRY(pins_if_there());
  return dir && TRY(sys::stat_if_there(*dir, *Name::check(name)));
}

struct Chosen {
  const Hook* hook;
  const char* program;
};

Result<std::vector<Chosen>> choose_programs(const btf* types, SharedBlocks blocks) {
  std::vector<Chosen> chosen;
  for (const Hook& hook : kHooks) {
    if (hook.presence == Presence::where_blocks_are_shared && blocks == SharedBlocks::none) continue;
    const auto place = place_of_dentry(types, hook);
    if (!place && hook.presence == Presence::where_it_exists) continue;
    if (!place) return fail("start", "guard", std::string("the kernel has no hook ") + hook.kernel_name);
    if (hook.mapped != nullptr && *place != 0 && *place != 1)
      return fail("start", "guard", std::string("the kernel's hook ") + hook.kernel_name + " has another form");
    chosen.push_back({&hook, hook.mapped != nullptr && *place == 1 ? hook.mapped : hook.plain});
  }
  return chosen;
}

/// Removes all pins but those in `but`.
Result<> unpin_all(const DirFd& dir, const std::set<std::string>& but) {
  const DirFd again = TRY(sys::reopen(dir));
  const Listing listing = TRY(Listing::read(again));
  for (const Listed& listed : listing.entries())
    if (!but.contains(std::string(listed.name.view()))) TRY(sys::unlink(dir, listed.name));
  return {};
}

/// Whether a map of the kernel's is of the kind and size that the new programs want. libbpf would take any.
bool is_like(const Fd& old, const bpf_map* map) {
  bpf_map_info info{};
  __u32 size = sizeof info;
  return ::bpf_obj_get_info_by_fd(old.number(), &info, &size) == 0 && info.type == ::bpf_map__type(map) &&
         info.key_size == ::bpf_map__key_size(map) && info.value_size == ::bpf_map__value_size(map) &&
         info.max_entries == ::bpf_map__max_entries(map);
}

/// Has the new programs work with the sealed inodes of those that are there, if any are.
Result<> reuse_sealed(bpf_map* map) {
  const Fd old(::bpf_obj_get(pins::kSealed));
  if (!old.open()) return {};
  if (!is_like(old, map) || ::bpf_map__reuse_fd(map, old.number()) != 0)
    return fail("start", "guard",
                std::string("the one that is loaded is of another version; vskel guard stop, then start"));
  return {};
}

/// The counts of a guard that is there, if any: its map where that has the form of ours; else, it being one of fewer or
/// more hooks, this gives it, for its counts to go into a map of our own.
Result<Fd> reuse_refusals(bpf_map* map) {
  Fd old(::bpf_obj_get(pins::kRefusals));
  if (!old.open() || !is_like(old, map)) return old;
  if (const int code = ::bpf_map__reuse_fd(map, old.number()); code != 0) return failed("load", -code);
  return Fd();
}

using Counts = std::vector<std::uint64_t>;  ///< one for each CPU

Counts counts_of(const Fd& refusals, int counter) {
  Counts counts(static_cast<std::size_t>(std::max(::libbpf_num_possible_cpus(), 1)));
  if (!refusals.open() || ::bpf_map_lookup_elem(refusals.number(), &counter, counts.data()) != 0)
    std::ranges::fill(counts, 0);
  return counts;
}

Result<> take_over_counts(const Fd& old, const bpf_map* map) {
  for (int counter = 0; old.open() && counter < VSKEL_GUARD_HOOKS; ++counter)
    if (::bpf_map_update_elem(::bpf_map__fd(map), &counter, counts_of(old, counter).data(), BPF_ANY) != 0)
      return failed("load", errno);
  return {};
}

}  // namespace

class GuardLoader {
 public:
  static Result<> fill(int map, const std::function<Result<>(const Guard&)>& fill) {
    Guard guard{Fd(map)};
    auto filled = fill(guard);
    (void)guard.map_.release();  // the skeleton's
    return filled;
  }
};

Result<> load_guard(SharedBlocks blocks, const std::function<Result<>(const Guard&)>& fill) {
  ::libbpf_set_print(keep_warning);
  const Types types(::btf__load_vmlinux_btf());
  if (const std::string reason = why_not(types); !reason.empty()) return fail("start", "guard", reason);
  // It may be loaded for another VSERVERS.
  if (TRY(is_pinned("dedupe"))) blocks = SharedBlocks::possible;
  const std::vector<Chosen> chosen = TRY(choose_programs(types.get(), blocks));
  last_warning.clear();

  const Skeleton skeleton(vskel_guard_bpf::open());
  if (!skeleton) return failed("open", errno);
  for (const Chosen& one : chosen)
    ::bpf_program__set_autoload(::bpf_object__find_program_by_name(skeleton->obj, one.program), true);
  TRY(reuse_sealed(skeleton->maps.sealed));
  const Fd old_refusals = TRY(reuse_refusals(skeleton->maps.refusals));
  if (const int code = vskel_guard_bpf::load(skeleton.get()); code != 0) return failed("load", -code);
  TRY(take_over_counts(old_refusals, skeleton->maps.refusals));
  TRY(GuardLoader::fill(::bpf_map__fd(skeleton->maps.sealed), fill));

  std::vector<Link> links;
  for (const Chosen& one : chosen) {
    links.emplace_back(::bpf_program__attach_lsm(::bpf_object__find_program_by_name(skeleton->obj, one.program)));
    if (!links.back()) return failed("attach", errno);
  }
  // All that is new works by now. A kill from here on leaves old and new side by side, which the next start replaces.
  const DirFd bpffs = TRY(sys::open_root(pins::kBpffs));
  const DirFd dir = TRY(sys::ensure_dir(bpffs, "vskel", 0700));
  std::set<std::string> pinned{"sealed", "refusals"};
  for (std::size_t at = 0; at < chosen.size(); ++at) {
    const std::string name = chosen[at].hook->name, fresh = name + "_new";  // bpffs takes no dots
    TRY(sys::unlink_if_there(dir, *Name::check(fresh)));
    if (const int code = ::bpf_link__pin(links[at].get(), pin_path(fresh).c_str()); code != 0)
      return failed("pin", -code);
    TRY(sys::unlink_if_there(dir, *Name::check(name)));
    TRY(sys::rename_new(dir, *Name::check(fresh), dir, *Name::check(name)));
    pinned.insert(name);
  }
  TRY(unpin_all(dir, pinned));
  if (old_refusals.open()) TRY(sys::unlink_if_there(dir, "refusals"));
  if (!TRY(sys::stat_if_there(dir, "refusals")))
    if (const int code = ::bpf_map__pin(skeleton->maps.refusals, pins::kRefusals); code != 0)
      return failed("pin", -code);
  // Last: by its map a guard is known to be loaded.
  if (!TRY(sys::stat_if_there(dir, "sealed")))
    if (const int code = ::bpf_map__pin(skeleton->maps.sealed, pins::kSealed); code != 0) return failed("pin", -code);
  // What is pinned lives on; destroying a link only gives up our hold on it.
  return {};
}

Result<> unload_guard() {
  const auto dir = pins_if_there();
  if (!dir && (dir.error().code == ENOENT || dir.error().code == ENOTDIR)) return {};
  if (!dir) return std::unexpected(dir.error());
  if (!*dir) return {};
  TRY(sys::unlink_if_there(**dir, "sealed"));
  TRY(unpin_all(**dir, {}));
  return sys::remove_dir(TRY(sys::open_root(pins::kBpffs)), "vskel");
}

Result<GuardState> guard_state() {
  GuardState state;
  ::libbpf_set_print(keep_warning);
  const Fd map(::bpf_obj_get(pins::kSealed)), refusals(::bpf_obj_get(pins::kRefusals));
  if (!map.open()) {
    state.why_not = why_not(Types(::btf__load_vmlinux_btf()));
    return state;
  }
  state.loaded = true;
  const auto dir = TRY(pins_if_there());
  for (const Hook& hook : kHooks) {
    const auto pin = dir ? TRY(sys::stat_if_there(*dir, *Name::check(hook.name))) : std::nullopt;
    const bool needed = hook.presence != Presence::where_blocks_are_shared;
    GuardHook told{hook.name, pin.has_value(), needed ? "not in this kernel" : "not needed", 0};
    if (hook.counter >= 0)
      for (const std::uint64_t count : counts_of(refusals, hook.counter)) told.refused += count;
    state.hooks.push_back(told);
  }
  if (const Guard* guard = TRY(Guard::loaded()); guard != nullptr) state.inodes = TRY(guard->count());
  return state;
}

}  // namespace vskel

#endif
