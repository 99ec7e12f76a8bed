#include "engine/sys/confinement.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "engine/sys/fd.h"

namespace vskel::sys {

namespace {

constexpr std::array kNeeded = {
    CAP_CHOWN,        CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,          CAP_FSETID,
    CAP_MKNOD,        CAP_SETFCAP,      CAP_LEASE,           CAP_LINUX_IMMUTABLE,
    CAP_SYS_ADMIN,     // clones of mounts; attributes of trusted and security; Landlock without no_new_privs
    CAP_SYS_PTRACE,    // root directories and namespaces of other processes
    CAP_KILL,          // holding tenants still
    CAP_SYS_RESOURCE,  // the space that a file system reserves for root
    CAP_IPC_LOCK,      // registered buffers beyond RLIMIT_MEMLOCK
};

/// Neither reading nor truncation: either would have Landlock go up to the root at every open, those for reading too
/// (security/landlock/fs.c, hook_file_open), a tenth of the time of a build. Nothing is truncated but through a
/// descriptor for writing, which the right to write stands before.
constexpr std::uint64_t kHandled =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
    LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER;
constexpr long kWithRefer = 2;

Result<> allow(const Fd& rules, const std::string& path, std::uint64_t rights) {
  const Fd tree(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!tree.open()) return errno == ENOENT ? Result<>{} : fail("open", path, errno);
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = tree.number();
  if (::syscall(SYS_landlock_add_rule, rules.number(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
    return fail("confine to", path, errno);
  return {};
}

}  // namespace

Result<> drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return fail("read capabilities", "", errno);
  std::array<std::uint32_t, 2> needed{};
  for (const unsigned capability : kNeeded) needed.at(capability / 32) |= 1U << (capability % 32);
  for (std::size_t half = 0; half < sets.size(); ++half) {
    sets.at(half).permitted &= needed.at(half);
    sets.at(half).effective &= needed.at(half);
    sets.at(half).inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, sets.data()) != 0) return fail("drop capabilities", "", errno);
  return {};
}

bool has_borrowed_rights() { return ::getauxval(AT_SECURE) != 0; }

Result<Confined> confine_changes(std::span<const std::string> writable) {
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < kWithRefer) return Confined::not_here;
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = kHandled;
  const Fd rules(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!rules.open()) return fail("confine", "", errno);
  for (const std::string& path : writable)
    TRY(allow(rules, path, kHandled & ~std::uint64_t{LANDLOCK_ACCESS_FS_EXECUTE}));
  if (::syscall(SYS_landlock_restrict_self, rules.number(), 0) != 0) {
    if (errno == EPERM) return Confined::not_here;  // without CAP_SYS_ADMIN: in a container
    return fail("confine", "", errno);
  }
  return Confined::yes;
}

}  // namespace vskel::sys
