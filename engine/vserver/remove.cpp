// remove-vs goes forward from its intent on: a vserver's root is renamed into the trash, where no process can be
// started in it and no name leads to it, then its configuration, context link and record go, and only then its files. A
// crash anywhere is finished by the same function. Trees in the trash that hold sealed inodes are emptied when no
// vserver that shares those runs (safety.md, "Seals").

#include "engine/vserver/remove.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>
#include <set>
#include <span>

#include "engine/quiesce/suspects.h"
#include "engine/seal/seal.h"
#include "engine/skel/reseal.h"
#include "engine/skel/skel.h"
#include "engine/skel/skel_to_change.h"
#include "engine/sys/stopping.h"
#include "engine/tree/arena.h"
#include "engine/tree/listing.h"
#include "engine/tree/remove.h"
#include "engine/txn/journal.h"
#include "engine/txn/lock.h"
#include "engine/vserver/contexts.h"
#include "engine/vserver/instances.h"
#include "engine/vserver/removal_intent.h"
#include "engine/vserver/tenants.h"

namespace vskel {

namespace {

/// Seals again what a crash between lifting a seal and restoring it has left in the open. Nothing for a skel whose
/// vservers asked for --seal none, or are under the guard, which is never lifted.
Result<> mend_seals(const Store& store, const Skel& skel) {
  if (!skel.tree(Part::global_part).open()) return {};
  const auto records = TRY(read_records(skel));
  if (recorded_seal(records) == SealKind::guard) return {};
  const auto is_open = [](const Record& record) {
    return record.share == Share::hardlink && record.seal == SealKind::none;
  };
  if (std::ranges::any_of(records, is_open)) return {};
  const auto seal = TRY(seal_to_go_on_with(store.staging(), records));
  return seal ? seal_skel_again(skel, *seal) : Result<>{};
}

Result<Name> checked_name(const std::string& text) {
  const auto name = Name::check(text);
  if (!name) return fail("remove vserver", text, "not a file's name");
  return *name;
}

std::string trash_name(const Intent& intent, const std::string& name) { return intent.id() + "." + name; }

/// Directories to be made durable, each once however many names went from it.
class ChangedDirectories {
 public:
  [[nodiscard]] Result<> unlink(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    if (slash == path.npos) return fail("remove configuration", path, "not an absolute path");
    const std::string name = path.substr(slash + 1), parent = slash == 0 ? "/" : path.substr(0, slash);
    const auto component = Name::check(name);
    if (!component) return fail("remove configuration", path, "not a file's name");
    auto found = directories_.find(parent);
    if (found == directories_.end()) {
      auto dir = sys::open_root(parent);
      if (!dir && dir.error().code == ENOENT) return {};
      found = directories_.emplace(parent, TRY(std::move(dir))).first;
    }
    return sys::unlink_if_there(found->second, *component);
  }
  [[nodiscard]] Result<> sync() const {
    for (const auto& [path, dir] : directories_) TRY(sys::sync_file(dir));
    return {};
  }

 private:
  std::map<std::string, DirFd> directories_;
};

/// contexts/ID, if it is this vserver's.
Result<> unlink_context(const Store& store, std::uint32_t context, const std::string& vserver) {
  const std::string text = std::to_string(context);
  const Name name = *Name::check(text);
  const auto stat = TRY(sys::stat_if_there(store.contexts(), name));
  if (!stat || stat->type != sys::FileType::symlink ||
      vserver_led_to(store, TRY(sys::read_link(store.contexts(), name))) != vserver)
    return {};
  return sys::unlink_if_there(store.contexts(), name);
}

/// Takes the roots out of sight. A root's inode tells the vserver that was meant from one made since under the same
/// name.
Result<> move_roots_to_trash(const Store& store, const Intent& intent, const nlohmann::json& members) {
  for (const auto& member : members) {
    const auto name = TRY(VserverName::parse(member.value("name", "")));
    const std::string trash = trash_name(intent, name.text());
    const auto stat = TRY(sys::stat_if_there(store.vservers(), name.name()));
    if (stat && stat->inode == member.value("inode", std::uint64_t{0}))
      TRY(sys::rename_new(store.vservers(), name.name(), store.trash(), *Name::check(trash)));
  }
  TRY(sys::sync_file(store.trash()));
  return sys::sync_file(store.vservers());
}

/// Configurations, context links, and last the records: while a record stands, its vserver is known.
Result<> forget(const Store& store, const Skel& skel, const nlohmann::json& members) {
  ChangedDirectories configurations;
  for (const auto& member : members) {
    // An adopted vserver may have neither.
    if (const std::string config = member.value("config", ""); !config.empty()) TRY(configurations.unlink(config));
    TRY(unlink_context(store, member.value("context", 0U), member.value("name", "")));
  }
  TRY(configurations.sync());
  TRY(sys::sync_file(store.contexts()));
  for (const auto& member : members) {
    const std::string record = member.value("name", "") + ".json";
    TRY(sys::unlink_if_there(skel.instances(), TRY(checked_name(record))));
  }
  return sys::sync_file(skel.instances());
}

struct Finished {
  std::vector<std::string> lines;
  std::map<std::string, Error> left;  ///< vservers of whose files some could not be deleted, and why
  std::optional<Error> not_held;      ///< why the files of the others stay for now
};

/// What stands in the way of deleting one vserver's files (something mounted there, a file that is swapped to) is no
/// reason to leave the others', or to have the next command stumble over it: it stays in the trash.
Result<Finished> finish_vservers(const Store& store, Intent& intent, const EngineOptions& engine) {
  const nlohmann::json first = intent.records().front();
  const nlohmann::json& members = first.at("vservers");
  const Skel skel = TRY(Skel::open(store, TRY(SkelName::parse(first.value("skel", "")))));
  TRY(move_roots_to_trash(store, intent, members));
  TRY(forget(store, skel, members));
  // From here on all that is left is garbage, which the trash holds without the intent too.
  const Lock lock = TRY(Lock::take(store, "trash", sys::Wait::yes));
  auto quiescence = hold_all_tenants(store, engine);
  Finished out;
  std::mutex mutex;  // guards out.not_held
  for (const auto& member : members) {
    const std::string name = member.value("name", ""), trash = trash_name(intent, name);
    const InTurn in_turn = [&](const std::function<Result<>()>& work) -> Result<> {
      const auto turn = quiescence ? quiescence->turn() : std::unexpected(quiescence.error());
      if (turn) return work();
      const std::scoped_lock guard(mutex);
      out.not_held = turn.error();
      return std::unexpected(turn.error());
    };
    auto gone = out.not_held ? std::unexpected(*out.not_held) : remove_tree(store.trash(), *Name::check(trash), in_turn);
    if (!gone && !out.not_held) out.left.emplace(name, std::move(gone).error());
    out.lines.push_back("vserver " + name + ": removal was finished");
  }
  auto released = quiescence ? quiescence->release() : Result<>();
  TRY(intent.close());
  TRY(std::move(released));
  // Of tenants that can't be held, and of somebody who could be one, no errno is told.
  if (out.not_held && out.not_held->code != 0) return std::unexpected(std::move(*out.not_held));
  return out;
}

Result<std::vector<std::string>> finish_skel(const Store& store, Intent& intent) {
  const auto name = TRY(SkelName::parse(intent.records().front().value("skel", "")));
  const std::string trash = trash_name(intent, name.text());
  const auto stat = TRY(sys::stat_if_there(store.skels(), name.name()));
  if (stat && stat->inode == intent.records().front().value("inode", std::uint64_t{0})) {
    TRY(sys::rename_new(store.skels(), name.name(), store.trash(), *Name::check(trash)));
    TRY(sys::sync_file(store.trash()));
    TRY(sys::sync_file(store.skels()));
  }
  const Lock lock = TRY(Lock::take(store, "trash", sys::Wait::yes));
  TRY(remove_tree(store.trash(), *Name::check(trash)));
  TRY(intent.close());
  return std::vector{"skel " + name.text() + ": removal was finished"};
}

nlohmann::json member_of(const Record& record, std::uint64_t inode) {
  return {{"name", record.name}, {"context", record.context}, {"config", record.config}, {"inode", inode}};
}

/// The vservers of one skel, as one operation. What can't be removed because it runs says so; the others go.
Result<> remove_of_skel(const Store& store, std::span<RemovedVserver*> group, const std::vector<Record>& records,
                        const EngineOptions& engine) {
  const std::string& skel = records.front().skel;
  const Lock skel_lock = TRY(Lock::take(store, "skel." + skel, engine.wait));
  TRY(require_nothing_crashed(store, TRY(SkelName::parse(skel))));
  std::vector<Lock> locks;
  std::vector<RemovedVserver*> going;
  auto members = nlohmann::json::array();
  for (std::size_t index = 0; index < records.size(); ++index) {
    locks.push_back(TRY(Lock::take(store, "vserver." + records[index].name, engine.wait)));
    // What was read before the lock may be of a vserver that another process has removed and made anew since.
    const auto now = TRY(find_record(store, TRY(VserverName::parse(records[index].name))));
    if (!now || now->skel != skel) {
      group[index]->error = fail("remove vserver", records[index].name, "removed by another command").error().line();
      continue;
    }
    const Record& record = *now;
    const auto stat = TRY(sys::stat_if_there(store.vservers(), TRY(checked_name(record.name))));
    if (stat) {
      const Tenant tenant{record.name, stat->device, stat->inode};
      auto inside = TRY(find_inhabitants(store.vservers(), std::span(&tenant, 1)));
      if (inside.empty()) inside = TRY(find_holders_of(store.vservers(), std::span(&tenant, 1)));
      if (!inside.empty()) {
        group[index]->error = fail("remove vserver", record.name, "it runs: " + inside.front().process).error().line();
        continue;
      }
    }
    members.push_back(member_of(record, stat ? stat->inode : 0));
    going.push_back(group[index]);
  }
  if (going.empty()) return {};
  Intent intent = TRY(Intent::begin(
      store, {{"version", 1}, {"operation", "remove-vs"}, {"skel", skel}, {"vservers", std::move(members)}}));
  const Finished finished = TRY(finish_vservers(store, intent, engine));
  for (RemovedVserver* removed : going) {
    if (const auto left = finished.left.find(removed->name); left != finished.left.end()) {
      removed->error = removed->name + " is removed, but some of its files stay in the trash: " + left->second.line();
      continue;
    }
    const std::string trash = trash_name(intent, removed->name);
    if (TRY(sys::stat_if_there(store.trash(), *Name::check(trash))))
      removed->note = "its files are deleted later: a vserver that shares sealed files runs and can't be held still" +
                      (finished.not_held ? " (" + finished.not_held->line() + ")" : std::string());
  }
  return {};
}

/// An emptying that was killed may have left a seal lifted, and then also something in the trash: so all is sealed
/// before that goes. False where a skel is locked by another process.
Result<bool> seal_all_again(const Store& store) {
  for (const SkelName& name : TRY(Skel::all(store))) {
    const auto lock = TRY(Lock::take_if_free(store, "skel." + name.text()));
    if (!lock) return false;
    TRY(mend_seals(store, TRY(Skel::open(store, name))));
  }
  return true;
}

}  // namespace

Result<std::vector<std::string>> finish_removal(const Store& store, Intent& intent, const EngineOptions& engine) {
  if (intent.records().front().value("operation", "") == "remove-skel") return finish_skel(store, intent);
  // Where the crash came between lifting a seal and restoring it, the other vservers' file is in the open.
  const Skel skel = TRY(Skel::open(store, TRY(SkelName::parse(intent.records().front().value("skel", "")))));
  TRY(mend_seals(store, skel));
  return TRY(finish_vservers(store, intent, engine)).lines;
}

Result<std::vector<std::string>> empty_trash(const Store& store, const EngineOptions& engine) {
  std::vector<std::string> lines;
  const auto names_in_trash = [&]() -> Result<Listing> { return Listing::read(TRY(sys::reopen(store.trash()))); };
  if (TRY(names_in_trash()).entries().empty()) return lines;
  // Nothing is waited for: what another process is working on, or a vserver shares that can't be held still, keeps its
  // place in the trash until a later command.
  if (!TRY(seal_all_again(store))) return lines;
  const auto lock = TRY(Lock::take_if_free(store, "trash"));
  if (!lock) return lines;
  EngineOptions at_once = engine;
  at_once.wait = sys::Wait::no;
  auto quiescence = hold_all_tenants(store, at_once);
  // Of tenants that can't be held, and of another process that holds some, no errno is told.
  if (!quiescence && quiescence.error().code != 0) return std::unexpected(std::move(quiescence).error());
  if (!quiescence) return lines;
  const Listing listing = TRY(names_in_trash());
  for (const Listed& listed : listing.entries()) {
    TRY(sys::may_go_on());
    const sys::Unfinished unfinished;  // seals are lifted, and no intent says so
    const auto gone = remove_tree(store.trash(), listed.name, quiescence->in_turn());
    lines.push_back("trash: " + std::string(listed.name.view()) +
                    (gone ? " was emptied" : " could not be emptied: " + gone.error().line()));
  }
  TRY(quiescence->release());
  return lines;
}

Result<std::vector<RemovedVserver>> remove_vservers(const Store& store, const std::vector<VserverName>& names,
                                                    const EngineOptions& engine) {
  std::map<std::string, std::vector<Record>> by_skel;
  std::vector<RemovedVserver> out;
  std::set<std::string> seen;
  for (const VserverName& name : names) {
    if (!seen.insert(name.text()).second) continue;
    auto record = TRY(find_record(store, name));
    if (!record) return refuse("remove vserver", name.text(), "no vserver of that name has a record");
    // The kernel moves no mount point to the trash, so that an intent to do it could never be finished.
    if (TRY(sys::is_mount_point(store.vservers(), name.name())))
      return refuse("remove vserver", name.text(),
                    store.paths().vservers + "/" + name.text() + " is a mount point; unmount it first");
    out.push_back({record->name, {}, {}});
    by_skel[record->skel].push_back(std::move(*record));
  }
  if (engine.dry_run == DryRun::yes) return out;
  Arena arena(workers(engine));
  for (const auto& [skel, records] : by_skel) {
    std::vector<RemovedVserver*> group;
    for (const Record& record : records) group.push_back(&*std::ranges::find(out, record.name, &RemovedVserver::name));
    const auto removed = arena.execute([&] { return remove_of_skel(store, group, records, engine); });
    if (removed) continue;
    for (RemovedVserver* vserver : group)
      if (vserver->error.empty()) vserver->error = removed.error().line();
  }
  return out;
}

Result<> remove_skel(const Store& store, const SkelName& name, const EngineOptions& engine) {
  const SkelToChange opened = TRY(open_skel_to_change(store, name, engine));
  const Skel& skel = opened.skel;
  const auto records = TRY(read_records(skel));
  if (!records.empty())
    return refuse("remove skel", name.text(),
                  "it has " + std::to_string(records.size()) + " vservers, " + records.front().name + " first");
  const std::string merged = "tmp_skel_" + name.text();
  if (skel.merged() || TRY(sys::stat_if_there(store.vservers(), *Name::check(merged))))
    return refuse("remove skel", name.text(), "a merge is under way");
  if (engine.dry_run == DryRun::yes) return {};
  const std::uint64_t inode = TRY(sys::stat(skel.dir())).inode;
  Intent intent = TRY(
      Intent::begin(store, {{"version", 1}, {"operation", "remove-skel"}, {"skel", name.text()}, {"inode", inode}}));
  Arena arena(workers(engine));
  TRY(arena.execute([&] { return finish_skel(store, intent); }));
  return {};
}

}  // namespace vskel
