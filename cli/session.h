// What a command is given to work with.
#pragma once

#include <optional>

#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/settings.h"
#include "engine/model/identity.h"
#include "engine/model/options.h"
#include "engine/txn/store.h"

namespace vskel::cli {

/// What must be there before a command may lay down directories of its own.
enum class Needs {
  nothing,   ///< build-skel makes VSERVERS if it must
  vservers,  ///< VSERVERS itself
};

class Session {
 public:
  Session(const GlobalOptions& given, Settings file, Output& streams)
      : options(given), settings(std::move(file)), output(streams) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const GlobalOptions& options;
  const Settings settings;
  Output& output;
  /// What the command was told, also for what has to be recovered before it.
  Quiesce quiesce = Quiesce::refuse;

  [[nodiscard]] bool dry_run() const { return options.dry_run; }
  /// The engine's options by the global ones; what it says and warns goes to `output`.
  [[nodiscard]] EngineOptions engine();
  /// The store to look at.
  [[nodiscard]] Result<Store> store_to_read() { return told(Store::open_existing(options.paths)); }
  /// The store to change, after finishing or undoing what a crash interrupted. With --dry-run the store as it is.
  /// `skel`, if one is needed, is looked for before the first directory is made.
  [[nodiscard]] Result<Store> store_to_change(Needs needs, const std::optional<SkelName>& skel = std::nullopt);
  /// The same store, after a warning, once a command, where it lacks the kernel's seat-belt (Store::without_clone()).
  [[nodiscard]] Result<Store> told(Result<Store> store);
  /// For a command that reads what strangers made, runs no program and looks for no tenants' processes, which a
  /// confined process can't see: from now on nothing outside of the store can be changed (sys::confine_changes()).
  [[nodiscard]] Result<> confine();
  /// Draws the progress bar, as --progress says, for as long as the value lives.
  [[nodiscard]] std::optional<ProgressBar> show_progress();

 private:
  /// Whether anybody will see a bar: the engine does not count for nobody.
  [[nodiscard]] bool wants_progress() const;
  Progress progress_;
  bool told_ = false;       ///< that the store lacks its seat-belt
  bool recovered_ = false;  ///< something was: then there may be threads already, which would not be confined
};

}  // namespace vskel::cli
