#include "engine/skel/skel_to_change.h"

namespace vskel {

Result<SkelToChange> open_skel_to_change(const Store& store, const SkelName& name, const EngineOptions& engine) {
  (void)TRY(Skel::open(store, name));
  std::optional<Lock> lock;
  if (engine.dry_run == DryRun::no) lock = TRY(Lock::take(store, "skel." + name.text(), engine.wait));
  Skel skel = TRY(Skel::open(store, name));
  return SkelToChange{std::move(lock), std::move(skel)};
}

}  // namespace vskel
