#include "engine/vserver/guarding.h"

#include "engine/seal/seal.h"
#include "engine/skel/reseal.h"
#include "engine/skel/skel.h"
#include "engine/tree/arena.h"
#include "engine/vserver/instances.h"
#include "engine/vserver/tenants.h"

namespace vskel {

namespace {

struct Candidate {
  Skel skel;
  std::vector<std::string> vservers;
};

/// A vserver without a record that can be read is no reason to leave the others without a guard: its skel is taken for
/// one that wants it.
Result<std::vector<Candidate>> candidates(const Store& store, const EngineOptions& engine) {
  std::vector<Candidate> out;
  if (!store.skels().open()) return out;
  for (const SkelName& name : TRY(Skel::all(store))) {
    auto skel = Skel::open(store, name);
    if (!skel) {
      if (engine.warn) engine.warn(skel.error().line());
      continue;
    }
    const auto records = read_records(*skel);
    if (!records && engine.warn) engine.warn(records.error().line());
    const auto recorded = records ? recorded_seal(*records) : SealKind::guard;
    if (recorded && recorded != SealKind::guard) continue;
    Candidate one{std::move(*skel), {}};
    if (records)
      for (const Record& record : *records)
        if (record.share == Share::hardlink && record.seal == SealKind::guard) one.vservers.push_back(record.name);
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace

Result<std::vector<GuardedSkel>> guarded_skels(const Store& store, const EngineOptions& engine) {
  const Guard* const guard = TRY(Guard::loaded());
  Arena arena(readers(engine));
  std::vector<GuardedSkel> out;
  for (Candidate& one : TRY(candidates(store, engine))) {
    Guarded counted;
    if (guard != nullptr) counted = TRY(arena.execute([&] { return count_guarded_of(one.skel, *guard); }));
    out.push_back({one.skel.name().text(), std::move(one.vservers), counted.linkable, counted.held});
  }
  return out;
}

Result<GuardStarted> start_guard(const Store& store, const EngineOptions& engine) {
  GuardStarted out;
  const GuardState before = TRY(guard_state());
  out.was_loaded = before.loaded;
  const std::vector<Candidate> skels = TRY(candidates(store, engine));
  for (const Candidate& one : skels) out.skels.push_back(one.skel.name().text());
  if (engine.dry_run == DryRun::yes) return out;
  Arena arena(readers(engine));
  TRY(load_guard([&](const Guard& guard) -> Result<> {
    for (const Candidate& one : skels) {
      auto guarded = arena.execute([&] { return guard_skel(one.skel, guard); });
      // On a file system that it can't hold, no vserver relies on it.
      if (!guarded && guarded.error().code == EOPNOTSUPP && one.vservers.empty()) continue;
      out.files += TRY(std::move(guarded));
    }
    return {};
  }));
  // Loaded is not yet heard: a kernel that runs without "bpf" takes programs and never asks them.
  if (store.staging().open())
    if (auto held = choose_seal(store.staging(), SealKind::guard); !held) {
      if (!out.was_loaded) TRY(unload_guard());
      return std::unexpected(std::move(held).error());
    }
  for (const Candidate& one : skels)
    if (auto proven = arena.execute([&] { return prove_no_writers(one.skel); }); !proven)
      out.writers.push_back(proven.error().line());
  return out;
}

}  // namespace vskel
