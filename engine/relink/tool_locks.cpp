#include "engine/relink/tool_locks.h"

#include <array>
#include <cerrno>

#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

/// All for writing by fcntl(2): dpkg's and apt's in their order, rpm's, and lckpwdf(3), which useradd, vipw and
/// systemd-sysusers take.
constexpr std::array<const char*, 5> kLocks{"var/lib/dpkg/lock-frontend", "var/lib/dpkg/lock", "var/lib/rpm/.rpm.lock",
                                            "usr/lib/sysimage/rpm/.rpm.lock", "etc/.pwd.lock"};

enum class Taken { yes, by_another, none };

Result<Taken> take_one(const DirFd& root, const std::string& path, TakeLocks how, std::vector<Fd>& locks) {
  const auto dir = sys::open_dirs(root, parent_path(path));
  if (!dir && leads_nowhere(dir.error())) return Taken::none;
  if (!dir) return std::unexpected(dir.error());
  const auto pinned = sys::pin_if_there(*dir, last_name(path));
  if (!pinned && leads_nowhere(pinned.error())) return Taken::none;
  if (!pinned) return std::unexpected(pinned.error());
  // Vservers that were copied by link have one between them, which says nothing of any.
  const bool is_lock = *pinned && (*pinned)->stat.type == sys::FileType::regular && (*pinned)->stat.nlink == 1;
  if (!is_lock) return Taken::none;
  auto opened = sys::open_pinned(**pinned);
  if (!opened && opened.error().code == EAGAIN) return Taken::by_another;  // behind a lease, which is its tenant's
  if (!opened) return std::unexpected(std::move(opened).error());
  const Fd& file = *opened;
  if (how == TakeLocks::look_only) {
    const bool locked = TRY(sys::locked_exclusively(file));
    return locked ? Taken::by_another : Taken::none;
  }
  if (!TRY(sys::lock_shared(file))) return Taken::by_another;
  locks.push_back(*std::move(opened));
  return Taken::yes;
}

}  // namespace

Result<ToolLocks> ToolLocks::take(const DirFd& root, TakeLocks how) {
  ToolLocks out;
  for (const char* path : kLocks) {
    if (TRY(take_one(root, path, how, out.locks_)) != Taken::by_another) continue;
    out.held_by_another_ = "/" + std::string(path);
    out.locks_.clear();
    break;
  }
  return out;
}

}  // namespace vskel
