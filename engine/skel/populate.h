// Trees from a skel's parts: links from global, copies from local, static with its tokens filled in. A fleet's, or the
// one that merge-skel makes.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "engine/issue/executor.h"
#include "engine/model/sharing.h"
#include "engine/quiesce/quiescence.h"
#include "engine/skel/skel.h"
#include "engine/skel/tokens.h"

namespace vskel {

/// One tree to be made. Lives longer than populate().
struct Destination {
  DirFd root;  ///< an empty directory in staging
  TokenValues tokens;

  std::atomic<std::uint64_t> linked{0}, cloned{0}, copied{0}, bytes_copied{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;            ///< guards error
  std::optional<Error> error;  ///< the first that came; the rest of this tree was left undone

  void fail_with(Error first);
};

/// What becomes of static files.
enum class StaticFiles {
  filled,  ///< copied, with their tokens filled in
  as_they_are,
  left_out,
};

struct PopulateRequest {
  const Skel* skel = nullptr;
  std::optional<Share> share = Share::hardlink;  ///< of global files; nullopt: private copies, cloned where that works
  StaticFiles static_files = StaticFiles::filled;
  SealKind seal = SealKind::none;    ///< what seals shared inodes; they are sealed when populate() returns
  Quiescence* quiescence = nullptr;  ///< whose turns are taken while seals are lifted; may be null where none is
  Executor* executor = nullptr;
  Progress* progress = nullptr;  ///< counts paths of all destinations; the total is the caller's to say
};

/// Makes all trees. One that fails says so in its Destination and does not disturb the others; an Error is one of the
/// skel itself and concerns all. Gives the unknown tokens met in static files ("/etc/motd: %%VS_FOO%%"). Runs inside
/// the caller's TBB arena. The skel is walked once for every `group` of destinations that the descriptor limit allows.
[[nodiscard]] Result<std::set<std::string>> populate(const PopulateRequest& request,
                                                     std::span<Destination* const> destinations, unsigned jobs);

/// Makes proc/ and sys/ in a tree where the skel has none, without moving the root's times.
[[nodiscard]] Result<> make_mount_points(const DirFd& root);

}  // namespace vskel
