#include "engine/quiesce/quiescence.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "engine/quiesce/suspects.h"
#include "engine/sys/cgroups.h"
#include "engine/sys/stopping.h"
#include "engine/tree/ledger.h"
#include "engine/txn/lock.h"

namespace vskel {

namespace {

using Clock = std::chrono::steady_clock;

/// Of turns; what the last of them takes, and a look at all processes, comes on top.
constexpr auto kLongestWindow = std::chrono::milliseconds(400);
constexpr auto kIdle = std::chrono::milliseconds(50);           ///< without a turn, until tenants are let go
constexpr auto kShortestCalm = std::chrono::milliseconds(100);  ///< from one look to the next where nobody is held
constexpr int kLooksShare = 10;                                 ///< of the time, at the most: one in so many
constexpr auto kBreath = std::chrono::milliseconds(100);
constexpr auto kPatience = std::chrono::seconds(5);  ///< with processes that sleep in the kernel
constexpr auto kPoll = std::chrono::milliseconds(1);
constexpr auto kStuck = std::chrono::milliseconds(250);
/// Of thousands of processes a look, and a signal to each, takes longer: as many rounds each of these lasts at least.
constexpr int kRoundsUntilStuck = 4, kRoundsOfPatience = 20;
constexpr const char* kOperation = "hold still";

/// Every process's group, to tell whether a group has others in it than those who are to be frozen.
class Groups {
 public:
  static Result<Groups> look(const sys::Cgroups& cgroups, const std::vector<Inhabitant>& inhabitants) {
    Groups out;
    std::set<int> inside;
    for (const Inhabitant& one : inhabitants) inside.insert(one.id.pid);
    for (const sys::RunningProcess& process : TRY(sys::running_processes())) {
      auto group = cgroups.group_of(process.id.pid);
      if (!group) continue;
      if (!inside.contains(process.id.pid)) out.add_outsider(*group);
      out.of_.emplace(process.id.pid, std::move(*group));
    }
    return out;
  }

  /// The highest group with the process in it and nobody from outside; nullopt if its own has.
  [[nodiscard]] std::optional<std::string> to_freeze(int pid) const {
    const auto own = of_.find(pid);
    if (own == of_.end()) return std::nullopt;
    std::optional<std::string> best;
    for (std::string group = own->second; group.size() > 1 && !with_outsiders_.contains(group);
         group.resize(group.rfind('/')))
      // The journal's text is UTF-8, and a delegated group's name its tenant's choice.
      if (printable(group) == group) best = group;
    return best;
  }

  [[nodiscard]] std::optional<std::string> of(int pid) const {
    const auto own = of_.find(pid);
    return own == of_.end() ? std::nullopt : std::optional(own->second);
  }

 private:
  void add_outsider(std::string group) {
    for (; !group.empty(); group.resize(group.rfind('/'))) with_outsiders_.insert(group);
  }

  std::map<int, std::string> of_;
  std::set<std::string> with_outsiders_;  ///< they and all groups above
};

nlohmann::json json_of(const sys::ProcessId& process) { return {{"pid", process.pid}, {"start", process.start}}; }

/// Thaws what the records of an intent name. The first error, after all was tried.
Result<> thaw_all(const std::vector<nlohmann::json>& records) {
  const auto cgroups = TRY(sys::Cgroups::find());
  Result<> outcome;
  const auto note = [&outcome](Result<> done) {
    if (!done && outcome) outcome = std::move(done);
  };
  for (const nlohmann::json& record : records) {
    if (cgroups)
      for (const auto& group : record.value("groups", nlohmann::json::array())) note(cgroups->thaw(group));
    for (const auto& process : record.value("processes", nlohmann::json::array()))
      note(sys::continue_process({process.value("pid", 0), process.value("start", std::uint64_t{0})}));
  }
  return outcome;
}

}  // namespace

struct Quiescence::Held {
  const Store& store;
  std::vector<Tenant> tenants;
  QuiesceRequest request;
  std::optional<Lock> lock;      ///< while anybody is held still
  std::optional<Intent> intent;  ///< names all who were ever frozen
  std::set<std::string> groups;
  std::set<sys::ProcessId> processes;
  std::set<std::string> names;  ///< of the vservers, for people
  Clock::time_point since;      ///< when tenants began to be frozen,
  Clock::time_point thawed_at;  ///< or went on
  Clock::duration frozen_for{};
  bool proven = false;

  /// All is sealed, and everybody runs, when this process is stopped.
  std::optional<sys::Unpausable> unpausable = sys::Unpausable();

  std::mutex mutex;  ///< guards what follows; what stands before belongs to whoever has set `changing`
  std::condition_variable changed;
  std::condition_variable watched;  ///< for the watch
  unsigned turns = 0;
  bool changing = false;  ///< somebody looks, freezes or thaws: no turns are had
  bool still = false;     ///< all are frozen
  bool stays = false;     ///< keep_still()
  bool ends = false;
  Clock::time_point window_end;
  Clock::time_point last_turn;  ///< its end
  std::optional<Error> error;
  std::thread watch;  ///< lets tenants go when nobody takes turns

  SuspectSearch suspects;
  Clock::time_point next_look;
  std::mutex suspected_mutex;
  std::optional<std::string> suspected;  ///< when somebody was found to have changed something

  Held(const Store& in, std::vector<Tenant> whom, QuiesceRequest how)
      : store(in),
        tenants(std::move(whom)),
        request(std::move(how)),
        suspects(in.vservers(), tenants, request.trusted) {}

  /// When all who could be tenants are to be looked at again, or to have their breath.
  [[nodiscard]] bool is_due() const {
    if (intent && stays) return !still;
    if (sys::pause_noted() || (intent && !still)) return true;
    return Clock::now() > (intent ? window_end : next_look);
  }

  /// Nothing is lifted now.
  Result<> look_again() {
    if (intent) return breathe();
    be_stopped();
    const auto start = Clock::now();
    auto outcome = request.quiesce == Quiesce::refuse ? suspects.look() : hold_who_came();
    const auto end = Clock::now();
    next_look = end + std::max<Clock::duration>(kShortestCalm, kLooksShare * (end - start));
    return outcome;
  }

  /// If a terminal has asked for it, until it asks to go on.
  void be_stopped() {
    if (!sys::pause_noted()) return;
    unpausable.reset();
    unpausable.emplace();
  }

  Result<> hold_who_came() {
    if (TRY(nobody())) return {};
    TRY(begin());
    return freeze();
  }

  Result<std::vector<Inhabitant>> look() const { return find_inhabitants(store.vservers(), tenants); }

  /// Whether nobody is there. One look may miss a process that was just born of one that has just died: /proc is read
  /// name by name.
  Result<bool> nobody() const { return TRY(look()).empty() && TRY(look()).empty(); }

  Result<> begin() {
    lock = TRY(Lock::take(store, "quiesce", request.wait));
    intent = TRY(Intent::begin(
        store, {{"version", 1}, {"operation", "quiesce"}, {"boot", TRY(sys::boot_id())}, {"pid", sys::own_pid()}}));
    watch = std::thread([this] { let_go_when_idle(); });
    return {};
  }

  /// Whoever takes no turn any more, or not for a while, thinks of nobody.
  void let_go_when_idle() {
    std::unique_lock guard(mutex);
    for (;;) {
      watched.wait(guard, [&] { return ends || (still && !changing && !stays); });
      if (ends) return;
      const auto now = Clock::now();
      if (now < window_end && (turns != 0 || now < last_turn + kIdle)) {
        watched.wait_until(guard, std::min(window_end, now + kIdle));
        continue;
      }
      changing = true;
      changed.wait(guard, [&] { return turns == 0; });
      guard.unlock();
      auto thawed = stays ? Result<>() : thaw();
      guard.lock();
      if (!thawed && !error) error = std::move(thawed).error();
      changing = false;
      changed.notify_all();
    }
  }

  void stop_watching() {
    if (!watch.joinable()) return;
    {
      const std::scoped_lock guard(mutex);
      ends = true;
    }
    watched.notify_all();
    watch.join();
  }

  /// Freezes until a look finds nobody who runs.
  Result<> freeze() {
    const auto begin = Clock::now();
    Clock::duration longest_round{};
    const auto cgroups = TRY(sys::Cgroups::find());
    since = Clock::now();
    auto last_shake = since;
    for (int quiet_looks = 0;;) {
      const auto round_begin = Clock::now();
      const auto inhabitants = TRY(look());
      const Inhabitant* const runs = TRY(freeze_those_who_run(cgroups, inhabitants));
      longest_round = std::max(longest_round, Clock::now() - round_begin);
      quiet_looks = runs == nullptr ? quiet_looks + 1 : 0;
      if (quiet_looks == 2) return begin_window();  // as in nobody()
      if (runs == nullptr) continue;
      if (Clock::now() - begin > std::max<Clock::duration>(kPatience, kRoundsOfPatience * longest_round))
        return fail(kOperation, runs->tenant,
                    "process " + runs->process +
                        " runs in this vserver and does not stop; stop the vserver, or give "
                        "--quiesce off if none that runs is hostile");
      // Who waits for a child of his between vfork(2) and execve(2) can't stop while that child is stopped.
      if (Clock::now() - last_shake > std::max<Clock::duration>(kStuck, kRoundsUntilStuck * longest_round)) {
        for (const sys::ProcessId& process : processes) TRY(sys::continue_process(process));
        last_shake = Clock::now();
      }
      std::this_thread::sleep_for(kPoll);
    }
  }

  /// Of thousands of processes it takes longer to stop them all than a window may last: then it lasts as long again.
  Result<> begin_window() {
    const auto now = Clock::now();
    const std::scoped_lock guard(mutex);
    still = true;
    last_turn = now;
    window_end = now + std::max<Clock::duration>(kLongestWindow - (now - since), now - since);
    return {};
  }

  /// One round; somebody who ran at its beginning, or nullptr.
  Result<const Inhabitant*> freeze_those_who_run(const std::optional<sys::Cgroups>& cgroups,
                                                 const std::vector<Inhabitant>& inhabitants) {
    const Inhabitant* runs = nullptr;
    std::optional<Groups> known;
    std::set<std::string> new_groups;
    std::set<sys::ProcessId> new_processes;
    for (const Inhabitant& one : inhabitants) {
      names.insert(one.tenant);
      if (sys::state_of(one.id) != sys::RunState::running) continue;
      if (cgroups && !known) known = TRY(Groups::look(*cgroups, inhabitants));
      const auto own = known ? known->of(one.id.pid) : std::nullopt;
      if (own && TRY(cgroups->is_frozen(*own))) continue;
      runs = &one;
      // Who was asked to be still and is not yet may have moved, or made a new group meanwhile: asked again.
      if (const auto group = known ? known->to_freeze(one.id.pid) : std::nullopt)
        new_groups.insert(*group);
      else
        new_processes.insert(one.id);
    }
    if (runs == nullptr) return runs;
    TRY(note(new_groups, new_processes));
    for (const std::string& group : new_groups) {
      auto frozen = cgroups->freeze(group);
      if (!frozen && frozen.error().code != ENOENT && frozen.error().code != ENODEV)
        return std::unexpected(frozen.error());
    }
    for (const sys::ProcessId& process : new_processes) TRY(sys::stop_process(process));
    return runs;
  }

  /// In the journal before it is done, once.
  Result<> note(const std::set<std::string>& new_groups, const std::set<sys::ProcessId>& new_processes) {
    nlohmann::json record = {{"groups", nlohmann::json::array()}, {"processes", nlohmann::json::array()}};
    for (const std::string& group : new_groups)
      if (groups.insert(group).second) record["groups"].push_back(group);
    for (const sys::ProcessId& process : new_processes)
      if (processes.insert(process).second) record["processes"].push_back(json_of(process));
    return record["groups"].empty() && record["processes"].empty() ? Result<>{} : intent->record(record);
  }

  Result<> thaw() {
    {
      const std::scoped_lock guard(mutex);
      still = false;
    }
    TRY(thaw_all(intent->records()));
    thawed_at = Clock::now();
    frozen_for += thawed_at - since;
    return {};
  }

  /// A moment in which the tenants run, and another window. Nothing is lifted now.
  Result<> breathe() {
    if (still) TRY(thaw());
    be_stopped();
    std::this_thread::sleep_until(thawed_at + kBreath);
    return freeze();
  }

  /// Thaws and takes the intent away. What could not be thawed stays in the journal, for recover.
  Result<> end() {
    if (!intent) return {};
    stop_watching();
    auto thawed = thawed_at < since ? thaw() : Result<>();
    if (thawed) thawed = intent->close();
    intent.reset();
    lock.reset();
    return thawed;
  }

  /// The ledger's errors (tree/ledger.h) name those who could have been it. Thread-safe.
  Error with_suspects(Error of) {
    if (of.operation != kLedgerOperation) return of;
    // One look for all: it may take long, while something is lifted.
    const std::scoped_lock guard(suspected_mutex);
    if (!suspected) suspected = suspects.suspected();
    of.reason += "; " + *suspected;
    return of;
  }

  void tell() const {
    if (request.say && request.quiesce == Quiesce::refuse)
      request.say("nobody ran who could be a tenant; the machine began " + std::to_string(suspects.begun_meanwhile()) +
                  " tasks while seals were lifted");
    if (!request.say || names.empty()) return;
    std::string whom;
    constexpr std::size_t kNamed = 5;
    std::size_t told = 0;
    for (const std::string& name : names)
      if (told++ < kNamed) whom += (whom.empty() ? "" : ", ") + name;
    if (names.size() > kNamed) whom += " and " + std::to_string(names.size() - kNamed) + " more";
    const auto milliseconds = std::chrono::round<std::chrono::milliseconds>(frozen_for).count();
    request.say("held " + whom + " still for " + std::to_string(milliseconds) + " ms");
  }
};

Quiescence::Quiescence() = default;
Quiescence::Quiescence(Quiescence&& other) noexcept = default;

Quiescence& Quiescence::operator=(Quiescence&& other) noexcept {
  std::swap(held_, other.held_);
  return *this;
}

Quiescence::~Quiescence() {
  // An operation that failed on its way: what it could not thaw is in the journal.
  if (held_ != nullptr) (void)held_->end();
}

Result<Quiescence> Quiescence::hold(const Store& store, std::vector<Tenant> tenants, QuiesceRequest request) {
  Quiescence out;
  if (request.quiesce == Quiesce::off || tenants.empty()) return out;
  out.held_ = std::make_unique<Held>(store, std::move(tenants), std::move(request));
  TRY(out.held_->look_again());
  out.held_->watched.notify_all();
  return out;
}

Result<Quiescence::Turn> Quiescence::turn() {
  TRY(sys::may_go_on());
  if (held_ == nullptr) return Turn(nullptr);
  std::unique_lock lock(held_->mutex);
  held_->changed.wait(lock, [&] { return !held_->changing; });
  if (!held_->error && held_->is_due()) {
    held_->changing = true;
    held_->changed.wait(lock, [&] { return held_->turns == 0; });
    lock.unlock();
    auto looked = held_->look_again();
    lock.lock();
    if (!looked) held_->error = std::move(looked).error();
    held_->changing = false;
    held_->changed.notify_all();
    held_->watched.notify_all();
  }
  if (held_->error) return std::unexpected(*held_->error);
  ++held_->turns;
  return Turn(this);
}

Quiescence::Turn::~Turn() {
  if (held_ != nullptr) held_->give_back();
}

void Quiescence::give_back() {
  const std::scoped_lock lock(held_->mutex);
  if (--held_->turns != 0) return;
  held_->last_turn = Clock::now();
  if (held_->changing) held_->changed.notify_all();
}

InTurn Quiescence::in_turn() {
  return [this](const std::function<Result<>()>& work) -> Result<> {
    const Turn one = TRY(turn());
    auto done = work();
    if (!done && held_ != nullptr) return std::unexpected(held_->with_suspects(std::move(done).error()));
    return done;
  };
}

Error Quiescence::keep_still(Error error) {
  if (held_ == nullptr) return error;
  {
    const std::scoped_lock lock(held_->mutex);
    held_->stays = true;
  }
  return held_->with_suspects(std::move(error));
}

bool Quiescence::lets_run() const { return held_ != nullptr && held_->request.quiesce == Quiesce::freeze; }

Result<> Quiescence::prove() {
  if (held_ == nullptr || held_->proven) return {};
  held_->proven = true;
  const sys::Undoing to_the_end;  // by whoever is to be undone, and by whoever has published already
  if (held_->request.quiesce == Quiesce::refuse) return held_->suspects.look();
  // Who came in meanwhile was in nobody's sight while seals were off.
  const bool anybody = held_->intent.has_value() || !TRY(held_->look()).empty();
  return anybody && held_->request.prove ? held_->request.prove(in_turn()) : Result<>{};
}

Result<> Quiescence::release() {
  if (held_ == nullptr) return {};
  auto proven = prove();
  const auto held = std::move(held_);
  auto ended = held->end();
  held->tell();
  TRY(std::move(proven));
  return ended;
}

Result<std::vector<std::string>> finish_quiescence(const Store& store, Intent& intent) {
  const Lock lock = TRY(Lock::take(store, "quiesce", sys::Wait::yes));
  std::vector<std::string> lines;
  // After a boot nobody of them is there, and numbers mean others.
  if (intent.records().front().value("boot", "") == TRY(sys::boot_id())) {
    TRY(thaw_all(intent.records()));
    lines.emplace_back("vservers that were held still were let go on");
  }
  TRY(intent.close());
  return lines;
}

}  // namespace vskel
