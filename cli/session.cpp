// A wrong request touches nothing: a changing command looks whether what it needs is there before it opens the store in
// the way that makes missing directories.

#include "cli/session.h"

#include <array>
#include <cerrno>
#include <utility>

#include "cli/terminal.h"
#include "engine/recover/recover.h"
#include "engine/skel/skel.h"
#include "engine/sys/confinement.h"

namespace vskel::cli {

EngineOptions Session::engine() {
  EngineOptions engine;
  engine.jobs = options.jobs;
  engine.backend = options.chosen_backend();
  engine.measured_backends = settings.backends;
  engine.dry_run = options.dry_run ? DryRun::yes : DryRun::no;
  engine.quiesce = quiesce;
  engine.trusted = settings.trusted;
  engine.wait = options.no_wait ? sys::Wait::no : sys::Wait::yes;
  if (wants_progress()) engine.progress = &progress_;
  engine.say = [this](const std::string& line) { output.detail(line); };
  engine.warn = [this](const std::string& line) { output.warning(line); };
  return engine;
}

Result<Store> Session::told(Result<Store> store) {
  if (store && !store->without_clone().empty() && !std::exchange(told_, true)) output.warning(store->without_clone());
  return store;
}

Result<Store> Session::store_to_change(Needs needs, const std::optional<SkelName>& skel) {
  if (needs == Needs::nothing && dry_run()) return told(Store::open_whatever_is_there(options.paths));
  if (needs == Needs::vservers || dry_run()) {
    auto existing = told(Store::open_existing(options.paths));
    if (!existing && existing.error().code == ENOENT)
      return refuse("open", options.paths.vservers, "no such directory; build-skel makes it");
    if (!existing || dry_run()) return existing;
    const bool nothing_to_recover = !existing->journal().open();
    if (skel && nothing_to_recover) TRY(Skel::open(*existing, *skel));
  }
  Store store = TRY(told(Store::open_or_create(options.paths)));
  for (const std::string& line : TRY(recover(store, engine()))) {
    output.note("recover: " + line);
    recovered_ = true;
  }
  return store;
}

Result<> Session::confine() {
  if (recovered_ || dry_run()) return {};
  const std::array writable = {options.paths.vservers, options.paths.etc};
  if (TRY(sys::confine_changes(writable)) == sys::Confined::not_here)
    output.detail("this kernel has no Landlock that could confine vskel to its own directories");
  return {};
}

bool Session::wants_progress() const {
  if (options.json && output.verbosity() == Verbosity::quiet) return false;
  if (options.chosen_progress() == ShowProgress::always) return true;
  return options.chosen_progress() == ShowProgress::automatic && output.verbosity() != Verbosity::quiet &&
         is_terminal(Stream::error);
}

std::optional<ProgressBar> Session::show_progress() {
  if (!wants_progress()) return std::nullopt;
  return std::make_optional<ProgressBar>(output, progress_);
}

}  // namespace vskel::cli
