#include "engine/skel/generation_change.h"

#include "engine/seal/seal.h"
#include "engine/skel/next_generation.h"
#include "engine/sys/stopping.h"
#include "engine/txn/journal.h"

namespace vskel {

namespace {

Result<SealKind> seal_to_use(const Store& store, const GenerationRequest& request, const Skel& skel) {
  const auto seal = TRY(request.choose_seal ? request.choose_seal(skel) : choose_seal(store.staging(), std::nullopt));
  if (!seal && request.engine.warn) request.engine.warn("this file system takes no seal: global is not sealed");
  return seal.value_or(SealKind::none);
}

/// What an undoing has to take off again.
std::string_view seal_word(SealKind seal) {
  if (seal == SealKind::guard) return "guard";
  return must_lift(seal) ? "immutable" : "none";
}

}  // namespace

PartChanges GenerationReport::all() const {
  PartChanges sum;
  for (const PartChanges& part : parts) {
    sum.changed += part.changed;
    sum.added += part.added;
    sum.removed += part.removed;
    sum.unchanged += part.unchanged;
  }
  return sum;
}

Result<GenerationReport> change_generation(const Store& store, const GenerationRequest& request, const Skel& skel,
                                           std::string_view operation, unsigned last, const GenerationMaker& make) {
  const SealKind seal = TRY(seal_to_use(store, request, skel));
  Quiescence quiescence = TRY(must_lift(seal) ? request.hold_tenants(skel) : Result<Quiescence>());
  Intent intent = TRY(Intent::begin(store, {{"version", 1},
                                            {"operation", operation},
                                            {"skel", skel.name().text()},
                                            {"generation", last},
                                            {"seal", seal_word(seal)}}));
  const DirFd staging = TRY(sys::ensure_dir(store.staging(), *Name::check(intent.id()), 0700));
  Result<StagedGeneration> staged = make(staging, seal, quiescence);
  if (staged) {
    auto announced = sys::may_go_on();
    if (announced) announced = sys::sync_file_system(staging);
    if (announced)
      announced = intent.record(
          {{"phase", staged->report.new_generation ? "publish" : "unchanged"}, {"set_aside", staged->set_aside_name}});
    if (!announced) staged = std::unexpected(std::move(announced).error());
  }
  auto finished = finish_generation(store, intent, Trash::empty, {}, &quiescence);
  if (!staged) return std::unexpected(std::move(staged).error());
  TRY(finished);
  TRY(quiescence.release());
  staged->report.generation = last + (staged->report.new_generation ? 1 : 0);
  return std::move(staged->report);
}

}  // namespace vskel
