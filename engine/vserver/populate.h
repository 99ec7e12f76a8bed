// A fleet's trees from a skel: links from global, copies from local, static with its tokens filled in.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "engine/issue/executor.h"
#include "engine/model/sharing.h"
#include "engine/skel/skel.h"
#include "engine/vserver/tokens.h"

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

struct PopulateRequest {
  const Skel* skel = nullptr;
  Share share = Share::hardlink;
  SealKind seal = SealKind::none;  ///< what seals shared inodes; they are sealed when populate() returns
  Executor* executor = nullptr;
  Progress* progress = nullptr;
};

/// Makes all trees. One that fails says so in its Destination and does not disturb the others; an Error is one of the
/// skel itself and concerns all. Gives the unknown tokens met in static files ("/etc/motd: %%VS_FOO%%"). Runs inside
/// the caller's TBB arena. The skel is walked once for every `group` of destinations that the descriptor limit allows.
[[nodiscard]] Result<std::set<std::string>> populate(const PopulateRequest& request,
                                                     std::span<Destination* const> destinations, unsigned jobs);

}  // namespace vskel
