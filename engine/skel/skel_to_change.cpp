#include "engine/skel/skel_to_change.h"

#include "engine/txn/journal.h"

namespace vskel {

Result<> require_nothing_crashed(const Store& store, const SkelName& name) {
  // An operation on the skel holds its lock until its intent is closed: whose intent stands now was killed, also if
  // another process has taken it over and waits for the lock that we have.
  for (const CrashedOperation& crashed : TRY(find_all_operations(store)))
    if (crashed.records.front().value("skel", nlohmann::json()) == name.text())
      return fail("change skel", name.text(), "a command on it was killed just now; give this one again");
  return {};
}

Result<SkelToChange> open_skel_to_change(const Store& store, const SkelName& name, const EngineOptions& engine) {
  (void)TRY(Skel::open(store, name));
  std::optional<Lock> lock;
  if (engine.dry_run == DryRun::no) lock = TRY(Lock::take(store, "skel." + name.text(), engine.wait));
  if (lock) TRY(require_nothing_crashed(store, name));
  Skel skel = TRY(Skel::open(store, name));
  return SkelToChange{std::move(lock), std::move(skel)};
}

}  // namespace vskel
