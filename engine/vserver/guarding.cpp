#include "engine/vserver/guarding.h"

#include "engine/seal/seal.h"
#include "engine/skel/reseal.h"
#include "engine/skel/skel.h"
#include "engine/skel/skel_to_change.h"
#include "engine/tree/arena.h"
#include "engine/txn/lock.h"
#include "engine/vserver/instances.h"
#include "engine/vserver/tenants.h"

namespace vskel {

namespace {

struct Candidate {
  Skel skel;
  std::optional<SealKind> seal;       ///< as recorded
  std::vector<std::string> vservers;  ///< that share files
};

/// Whether the guard is to hold its files: vservers rely on it, or none shares any.
bool wants_guard(const Candidate& one) { return !one.seal || one.seal == SealKind::guard; }

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
    Candidate one{std::move(*skel), records ? recorded_seal(*records) : SealKind::guard, {}};
    if (records)
      for (const Record& record : *records)
        if (record.share == Share::hardlink) one.vservers.push_back(record.name);
    out.push_back(std::move(one));
  }
  return out;
}

/// Of one skel whose inodes the guard holds, beside their flags: records, which say from now on who fills the guard at
/// boot, then flags.
Result<> go_over(const Store& store, const Candidate& one, const EngineOptions& engine) {
  const SkelToChange opened = TRY(open_skel_to_change(store, one.skel.name(), engine));
  if (opened.skel.merged()) return fail("guard", one.skel.name().text(), std::string("it is merged; split-skel first"));
  TRY(move_records_to_guard(store, opened.skel));
  return seal_skel_again(opened.skel, SealKind::guard);
}

/// Records of an older seal beside one of the guard: versions before left them so.
Result<> mend_records(const Store& store, const Candidate& one) {
  const auto lock = TRY(Lock::take_if_free(store, "skel." + one.skel.name().text()));
  return lock ? move_records_to_guard(store, one.skel) : Result<>{};
}

}  // namespace

Result<std::vector<GuardedSkel>> guarded_skels(const Store& store, const EngineOptions& engine) {
  const Guard* const guard = TRY(Guard::loaded());
  Arena arena(readers(engine));
  std::vector<GuardedSkel> out;
  for (Candidate& one : TRY(candidates(store, engine))) {
    Guarded counted;
    if (guard != nullptr) counted = TRY(arena.execute([&] { return count_guarded_of(one.skel, *guard); }));
    out.push_back({one.skel.name().text(), one.seal, std::move(one.vservers), counted.linkable, counted.held});
  }
  return out;
}

Result<GuardStarted> start_guard(const Store& store, OlderSeals older, const EngineOptions& engine) {
  GuardStarted out;
  const GuardState before = TRY(guard_state());
  out.was_loaded = before.loaded;
  std::vector<Candidate> skels;
  for (Candidate& one : TRY(candidates(store, engine))) {
    if (!wants_guard(one) && (older == OlderSeals::stay || one.seal != SealKind::immutable)) {
      out.others.push_back({one.skel.name().text(), one.seal, std::move(one.vservers), 0, 0});
      continue;
    }
    out.skels.push_back(one.skel.name().text());
    skels.push_back(std::move(one));
  }
  if (engine.dry_run == DryRun::yes) return out;
  Arena arena(readers(engine));
  const SharedBlocks blocks = shared_blocks_of(TRY(sys::file_system(store.vservers())));
  TRY(load_guard(blocks, [&](const Guard& guard) -> Result<> {
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
  for (const Candidate& one : skels) (void)arena.execute([&] { return begin_to_break_leases(one.skel); });
  for (const Candidate& one : skels) {
    // One that is the guard's already may have kept flags, of a start that was killed.
    const bool goes = older == OlderSeals::go_over && one.seal && !(wants_guard(one) && one.skel.merged());
    auto changed = arena.execute([&] { return goes ? go_over(store, one, engine) : mend_records(store, one); });
    if (!changed) out.troubles.push_back(changed.error().line());
    if (auto proven = arena.execute([&] { return prove_no_writers(one.skel); }); !proven)
      out.troubles.push_back(proven.error().line());
  }
  return out;
}

}  // namespace vskel
