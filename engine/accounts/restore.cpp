#include "engine/accounts/restore.h"

#include <algorithm>
#include <map>
#include <set>

#include "engine/accounts/login_defs.h"
#include "engine/accounts/name_lists.h"
#include "engine/accounts/newcomer.h"

namespace vskel {

namespace {

using namespace account_field;

/// The name that a number is known by: the first that has it.
using OwnersByNumber = std::map<std::uint32_t, std::string>;

OwnersByNumber owners_of(const Accounts& accounts, AccountFile file, std::size_t place) {
  OwnersByNumber owners;
  for (const AccountEntry* entry : accounts.table(file)->entries())
    owners.try_emplace(entry->number(place), entry->name());
  return owners;
}

class Restoring {
 public:
  Restoring(const RestoreRequest& request, Accounts own)
      : request_(request), ranges_(number_ranges(request.login_defs)), before_(own) {
    out_.accounts = std::move(own);
  }

  Result<Restored> run() {
    if (has(AccountFile::group)) {
      TRY(renumber(AccountFile::group, kGroupNumber, {ranges_.system_groups, ranges_.groups}, "group",
                   out_.renumbered.gid));
      groups();
    }
    if (has(AccountFile::passwd)) {
      TRY(renumber(AccountFile::passwd, kUid, {ranges_.system_users, ranges_.users}, "user", out_.renumbered.uid));
      users();
    }
    if (has(AccountFile::group))
      for (const AccountEntry* entry : request_.then->table(AccountFile::group)->entries()) members(entry->name());
    for (const AccountFile file : {AccountFile::subuid, AccountFile::subgid}) ranges(file);
    // Who can't read it back could not follow.
    (void)TRY(Accounts::parse(out_.accounts.texts(), ""));
    return std::move(out_);
  }

 private:
  [[nodiscard]] bool has(AccountFile file) const {
    return request_.then->table(file) != nullptr && before_.table(file) != nullptr;
  }
  [[nodiscard]] const AccountEntry* then(AccountFile file, std::string_view key) const {
    return request_.then->find(file, key);
  }
  [[nodiscard]] const AccountEntry* newest(AccountFile file, std::string_view key) const {
    return request_.newest == nullptr ? before_.find(file, key) : request_.newest->find(file, key);
  }
  void put(AccountFile file, AccountEntry entry) { out_.accounts.table(file)->put(std::move(entry)); }

  /// Which numbers of own's go to others, and what those who have them get instead: then's, or one that is free.
  Result<> renumber(AccountFile file, std::size_t place, const SystemOrNot& free, const char* word,
                    std::map<std::uint32_t, std::uint32_t>& map) const {
    const OwnersByNumber now = owners_of(before_, file, place), old = owners_of(*request_.then, file, place);
    std::set<std::uint32_t> avoided{0};
    for (const OwnersByNumber* owners : {&now, &old})
      for (const auto& [number, name] : *owners) avoided.insert(number);
    for (const auto& [number, name] : now) {
      if (number == 0) continue;
      if (const AccountEntry* const entry = then(file, name)) {
        if (entry->number(place) != number) map.emplace(number, entry->number(place));
      } else if (old.contains(number)) {
        const std::uint32_t next = TRY(free_account_number(number, free, avoided, word));
        avoided.insert(next);
        map.emplace(number, next);
      }
    }
    return {};
  }

  void groups() {
    for (const AccountEntry* own : before_.table(AccountFile::group)->entries()) {
      const AccountEntry* const old = then(AccountFile::group, own->name());
      AccountEntry next = *own;
      next.set_number(kGroupNumber,
                      old != nullptr ? old->number(kGroupNumber) : out_.renumbered.group(own->number(kGroupNumber)));
      if (next.number(kGroupNumber) != own->number(kGroupNumber)) put(AccountFile::group, std::move(next));
    }
    for (const AccountEntry* old : request_.then->table(AccountFile::group)->entries())
      if (before_.find(AccountFile::group, old->name()) == nullptr)
        come_back(AccountFile::group, AccountFile::gshadow, *old);
  }

  void users() {
    for (const AccountEntry* own : before_.table(AccountFile::passwd)->entries()) {
      const AccountEntry* const old = then(AccountFile::passwd, own->name());
      AccountEntry next = *own;
      next.set_number(kUid, old != nullptr ? old->number(kUid) : out_.renumbered.user(own->number(kUid)));
      next.set_number(kGid, out_.renumbered.group(own->number(kGid)));
      if (old != nullptr) follow(*old, *own, next);
      if (next != *own) put(AccountFile::passwd, std::move(next));
    }
    for (const AccountEntry* old : request_.then->table(AccountFile::passwd)->entries()) {
      if (before_.find(AccountFile::passwd, old->name()) != nullptr) continue;
      come_back(AccountFile::passwd, AccountFile::shadow, *old);
      returned_.emplace(old->name());
    }
  }

  void follow(const AccountEntry& old, const AccountEntry& own, AccountEntry& next) const {
    const AccountEntry* const last = newest(AccountFile::passwd, own.name());
    for (const std::size_t place : {kGid, kComment, kHome, kShell})
      if (last != nullptr && last->field(place) == own.field(place)) next.set_field(place, old.field(place));
  }

  /// No hash comes back: who took an account away does not give it a password again by this.
  void come_back(AccountFile file, AccountFile shadow_file, AccountEntry entry) {
    const AccountEntry* const shadow = then(shadow_file, entry.name());
    entry.set_field(kPassword, "*");
    if (out_.accounts.table(shadow_file) != nullptr && shadow != nullptr) {
      AccountEntry next = *shadow;
      next.set_field(kPassword, locked_password(next.field(kPassword)));
      if (before_.find(shadow_file, entry.name()) == nullptr) put(shadow_file, std::move(next));
      entry.set_field(kPassword, "x");
    }
    put(file, std::move(entry));
  }

  /// Users that then did not have stay members.
  void members(std::string_view group) {
    follow_names(AccountFile::group, kMembers, group);
    follow_names(AccountFile::gshadow, kMembers, group);
    follow_names(AccountFile::gshadow, kAdministrators, group);
  }

  void follow_names(AccountFile file, std::size_t place, std::string_view group) {
    const AccountEntry *const old = then(file, group), *const own = before_.find(file, group);
    if (old == nullptr || own == nullptr) return;
    const auto is_later = [this](const std::string& name) { return then(AccountFile::passwd, name) == nullptr; };
    const AccountEntry* const last = newest(file, group);
    const NameList names = own->names(place);
    NameList wanted = old->names(place);
    std::ranges::copy_if(names, std::back_inserter(wanted), is_later);
    const NameList merged = merged_names(
        last != nullptr ? last->names(place) : NameList(), wanted, names,
        [this](const std::string& name) { return out_.accounts.find(AccountFile::passwd, name) != nullptr; });
    if (merged == names) return;
    AccountEntry next = *out_.accounts.find(file, group);
    next.set_names(place, merged);
    put(file, std::move(next));
  }

  /// Of who came back.
  void ranges(AccountFile file) {
    if (!has(file)) return;
    for (const AccountEntry* old : request_.then->table(file)->entries()) {
      if (!returned_.contains(old->name()) || before_.find(file, old->line()) != nullptr) continue;
      if (is_range_taken(*out_.accounts.table(file), *old))
        out_.told.push_back(std::string(account_file_name(file)) + " range " + printable(old->line()) +
                            ": another's by now");
      else
        put(file, *old);
    }
  }

  const RestoreRequest& request_;
  const NumberRanges ranges_;
  const Accounts before_;
  Restored out_;
  std::set<std::string, std::less<>> returned_;
};

}  // namespace

Result<Restored> restore_accounts(const RestoreRequest& request, Accounts own) {
  return Restoring(request, std::move(own)).run();
}

}  // namespace vskel
