// Locks: one file a lock in VSERVERS/.vskel/locks, never unlinked (two processes could else hold locks of one name on
// two inodes), open-file-description locks that die with the process.
#pragma once

#include <optional>
#include <string>

#include "engine/sys/kernel.h"
#include "engine/txn/store.h"

namespace vskel {

/// Held until destroyed. Excludes other threads of this process too: a thread that takes what it holds waits forever.
/// Taking one writes nothing: who holds it is found out by whoever is refused.
class Lock {
 public:
  /// Takes `name` ("skel.web", "vserver.web1", "contexts", "journal"). With Wait::no a held lock is an error that names
  /// the holder.
  [[nodiscard]] static Result<Lock> take(const Store& store, const std::string& name, sys::Wait wait);
  /// The same; nullopt where it is held.
  [[nodiscard]] static Result<std::optional<Lock>> take_if_free(const Store& store, const std::string& name);

 private:
  explicit Lock(Fd file) : file_(std::move(file)) {}
  Fd file_;
};

}  // namespace vskel
