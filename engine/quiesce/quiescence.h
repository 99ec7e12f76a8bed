// Nobody who can reach a sealed inode runs while its seal is lifted (safety.md, "By the kernel, or by absence").
//
// refuse: seals are lifted only if nobody runs who could be a tenant (suspects.h). It is looked again before further
// turns, after a tenth of a second or ten times what a look takes, and at the end: whoever has come ends the operation.
//
// freeze: those who run inside the vservers in question are frozen: by cgroup where all of a cgroup are inside, else by
// SIGSTOP, until a look at all processes finds none that runs; who comes later, in the same way before the next turn.
// No process is moved to a cgroup of ours for that: its own is what its manager (systemd, LXC) knows and limits it by,
// and after a crash nobody could put a child that it had meanwhile back where it belongs.
//
// They are still in turns only. A window of turns ends by time, or when no turn is taken for a moment; then they go on
// for a breath at least. So a turn is short: what a task lifts is bounded before it lifts it.
//
// Only one process of ours holds anybody still at a time
// (lock "quiesce"): none can thaw whom another relies on. Who is frozen is in the journal before he is, so that recover
// thaws him after it has sealed all again.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/model/sharing.h"
#include "engine/quiesce/inhabitants.h"
#include "engine/tree/in_turn.h"
#include "engine/txn/journal.h"

namespace vskel {

struct QuiesceRequest {
  Quiesce quiesce = Quiesce::refuse;
  std::vector<std::string> trusted;             ///< control groups (suspects.h), for refuse
  sys::Wait wait = sys::Wait::yes;              ///< for another process of ours that holds somebody still
  std::function<void(const std::string&)> say;  ///< one line for -v; may be empty
  /// Proves that nobody has kept a writable descriptor of what was lifted; called when all is sealed again, if
  /// anybody was frozen or has begun to run; it looks in turns. May be empty.
  std::function<Result<>(const InTurn&)> prove;
};

/// Had while seals are lifted. Move-only; thaws when destroyed. turn() and keep_still() are thread-safe.
class Quiescence {
 public:
  /// Of nobody: for seals that need no lifting.
  Quiescence();
  /// freeze: sees to it that all who run inside `tenants` can be held still; refuse: sees to it that nobody runs who
  /// could be one of them. An error (without an errno) names vserver and process that could not be held, or could be a
  /// tenant; then nobody is held. Without tenants, and with Quiesce::off, nobody is looked for. `store` outlives it.
  [[nodiscard]] static Result<Quiescence> hold(const Store& store, std::vector<Tenant> tenants, QuiesceRequest request);

  /// Held by a task from before it lifts a seal until it has restored it.
  class Turn {
   public:
    Turn(Turn&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn();

   private:
    friend class Quiescence;
    explicit Turn(Quiescence* held) : held_(held) {}
    Quiescence* held_;  ///< null: of nobody
  };
  /// Freezes the tenants if they run. Where they have been frozen for some tenths of a second, waits until all turns
  /// have been given back, lets the tenants run for a moment first; where nobody had to be, looks whether somebody has
  /// come. A task has one turn at a time, for some milliseconds, and waits for no other task meanwhile. An error if
  /// they can't be held again, or if there is somebody now who could be a tenant: then nothing further may be lifted.
  [[nodiscard]] Result<Turn> turn();
  /// The same for one piece of work, of whose errors the ledger's name those who could have been it. This object stays
  /// where it is while that is used.
  [[nodiscard]] InTurn in_turn();
  /// By who has a turn and could not seal again what he had lifted, or not as it was: from here on nobody is let go
  /// before the end, when whoever has to be undone has sealed it. Gives the error; the ledger's (tree/ledger.h) names
  /// those who could have been it.
  [[nodiscard]] Error keep_still(Error error);
  /// Whether tenants run between turns, so that what is lifted in one has to be sealed in it.
  [[nodiscard]] bool lets_run() const;

  /// All is sealed again: proves that nobody has kept a writable descriptor (QuiesceRequest::prove), and, if nobody was
  /// to run, that nobody does. Further turns may be taken, to undo.
  [[nodiscard]] Result<> prove();
  /// All is sealed again: proves it, unless prove() was asked already, and thaws. Nothing may be lifted after. An error
  /// is the proof's, or says that somebody could not be thawed.
  [[nodiscard]] Result<> release();

  Quiescence(Quiescence&& other) noexcept;
  Quiescence& operator=(Quiescence&& other) noexcept;
  ~Quiescence();

 private:
  struct Held;
  void give_back();
  std::unique_ptr<Held> held_;  ///< null with Quiesce::off and without tenants
};

/// Thaws those whom a process that died held still; the seals are the caller's to have restored first.
[[nodiscard]] Result<std::vector<std::string>> finish_quiescence(const Store& store, Intent& intent);

}  // namespace vskel
