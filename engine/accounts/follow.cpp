#include "engine/accounts/follow.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "engine/accounts/login_defs.h"
#include "engine/accounts/name_lists.h"
#include "engine/accounts/newcomer.h"

namespace vskel {

namespace {

using namespace account_field;

/// Users, or groups: what they are called, where their numbers stand.
struct AccountKind {
  AccountFile file;
  std::size_t number;
  const char* word;
};
constexpr AccountKind kUsers{AccountFile::passwd, kUid, "user"}, kGroups{AccountFile::group, kGroupNumber, "group"};

/// The numbers of one kind, the skel's and the vserver's. A number that two names of the skel have is the first's; the
/// second is another name of the first's in the vserver, too.
class Numbers {
 public:
  Numbers(AccountKind kind, const Accounts& theirs, const Accounts& mine, NumberRange system, NumberRange others,
          std::map<std::uint32_t, std::uint32_t>& map)
      : kind_(kind), mine_(mine), system_(system), others_(others), map_(map) {
    for (const AccountEntry* entry : theirs.table(kind.file)->entries()) {
      owners_.try_emplace(entry->number(kind.number), entry->name());
      avoided_.insert(entry->number(kind.number));
    }
    for (const AccountEntry* entry : mine.table(kind.file)->entries()) taken_.insert(entry->number(kind.number));
    avoided_.insert(taken_.begin(), taken_.end());
    for (const auto& [from, to] : map) {
      avoided_.insert(from);
      avoided_.insert(to);
    }
  }

  /// What the skel has of this number is the account's of this name: the first that has it.
  [[nodiscard]] bool is_owner(std::uint32_t number, std::string_view name) const {
    const auto found = owners_.find(number);
    return found != owners_.end() && found->second == name;
  }

  /// The vserver's number for an account that it has, which becomes the map's. Gives whether that is news.
  enum class Mapping { known, news, refused };
  Mapping map(std::uint32_t skels, std::uint32_t own) {
    const auto found = map_.find(skels);
    if ((found == map_.end() ? skels : found->second) == own) return Mapping::known;
    if (skels == 0 || own == 0) return Mapping::refused;
    if (skels == own)
      map_.erase(found);
    else
      map_.insert_or_assign(skels, own);
    return Mapping::news;
  }

  /// The number for an account that comes, taken from now on. nullopt: it would be root's, or nobody's.
  Result<std::optional<std::uint32_t>> give(std::uint32_t skels, std::string_view name) {
    const auto mapped = map_.find(skels);
    const std::uint32_t wanted = mapped == map_.end() ? skels : mapped->second;
    if (!is_owner(skels, name)) return is_mine(owners_.at(skels), wanted) ? std::optional(wanted) : std::nullopt;
    if (take(wanted, skels)) return wanted;
    if (skels == 0) return std::nullopt;
    if (wanted != skels && take(skels, skels)) {
      map_.erase(mapped);
      return skels;
    }
    const std::uint32_t free = TRY(free_number(skels));
    taken_.insert(free);
    avoided_.insert(free);
    map_.insert_or_assign(skels, free);
    return free;
  }

 private:
  [[nodiscard]] bool is_mine(std::string_view name, std::uint32_t number) const {
    const AccountEntry* const own = mine_.find(kind_.file, name);
    return own != nullptr && own->number(kind_.number) == number;
  }

  /// False where it is another's, or stands for another's.
  bool take(std::uint32_t number, std::uint32_t skels) {
    const bool stands_for_another =
        std::ranges::any_of(map_, [&](const auto& pair) { return pair.first != skels && pair.second == number; });
    return !stands_for_another && taken_.insert(number).second;
  }

  Result<std::uint32_t> free_number(std::uint32_t skels) const {
    return free_account_number(skels, {system_, others_}, avoided_, kind_.word);
  }

  AccountKind kind_;
  const Accounts& mine_;
  NumberRange system_, others_;
  std::map<std::uint32_t, std::uint32_t>& map_;
  std::map<std::uint32_t, std::string_view> owners_;  ///< of the skel's numbers
  std::set<std::uint32_t> taken_;                     ///< by the vserver's accounts
  std::set<std::uint32_t> avoided_;                   ///< by a number that is made up
};

std::string subject(AccountKind kind, std::string_view name) { return std::string(kind.word) + " " + printable(name); }

/// A name that both sides have.
void map_name(AccountKind kind, Numbers& numbers, const AccountEntry& theirs, const AccountEntry& mine,
              std::vector<std::string>& done, std::vector<std::string>& kept) {
  const std::uint32_t skels = theirs.number(kind.number), own = mine.number(kind.number);
  if (!numbers.is_owner(skels, theirs.name())) return;
  const std::string text = subject(kind, theirs.name()) + ": " + std::to_string(skels) + " in the skel is ";
  switch (numbers.map(skels, own)) {
    case Numbers::Mapping::known:
      break;
    case Numbers::Mapping::news:
      done.push_back(text + std::to_string(own) + " here");
      break;
    case Numbers::Mapping::refused:
      kept.push_back(text + std::to_string(own) + " here: what is root's is not mapped");
      break;
  }
}

/// One vserver's accounts on their way.
class Following {
 public:
  Following(const FollowRequest& request, Accounts mine)
      : request_(request), theirs_(*request.theirs), ranges_(number_ranges(request.login_defs)), old_ids_(request.ids) {
    out_.accounts = std::move(mine);
    out_.ids = request.ids;
    users_.emplace(kUsers, theirs_, out_.accounts, ranges_.system_users, ranges_.users, out_.ids.uid);
    groups_.emplace(kGroups, theirs_, out_.accounts, ranges_.system_groups, ranges_.groups, out_.ids.gid);
  }

  Result<Followed> run() {
    // Numbers first, groups ahead of the users whose primary ones they are; members when all users are there.
    for (const AccountEntry* entry : theirs_.table(AccountFile::group)->entries()) TRY(one(kGroups, *groups_, *entry));
    for (const AccountEntry* entry : theirs_.table(AccountFile::passwd)->entries()) TRY(one(kUsers, *users_, *entry));
    for (const AccountEntry* entry : theirs_.table(AccountFile::group)->entries()) members(*entry);
    for (const AccountFile file : {AccountFile::subuid, AccountFile::subgid}) ranges(file);
    for (const AccountKind kind : {kGroups, kUsers}) gone(kind);
    return std::move(out_);
  }

 private:
  [[nodiscard]] const AccountEntry* base(AccountFile file, std::string_view name) const {
    return request_.base == nullptr ? nullptr : request_.base->find(file, name);
  }
  [[nodiscard]] const AccountEntry* mine(AccountFile file, std::string_view name) const {
    return out_.accounts.find(file, name);
  }
  [[nodiscard]] const AccountTable* mine_table(AccountFile file) const {
    return std::as_const(out_.accounts).table(file);
  }
  void put(AccountFile file, AccountEntry entry) { out_.accounts.table(file)->put(std::move(entry)); }

  Result<> one(AccountKind kind, Numbers& numbers, const AccountEntry& theirs) {
    const AccountEntry *const then = base(kind.file, theirs.name()), *const own = mine(kind.file, theirs.name());
    if (own != nullptr) {
      map_name(kind, numbers, theirs, *own, out_.done, out_.kept);
      if (kind.file == AccountFile::passwd && then != nullptr) follow_user(*then, theirs, *own);
      return {};
    }
    if (then == nullptr) return add(kind, numbers, theirs);
    if (*then != theirs) out_.kept.push_back(subject(kind, theirs.name()) + ": deleted here, changed in the skel");
    return {};
  }

  Result<> add(AccountKind kind, Numbers& numbers, const AccountEntry& theirs) {
    const auto number = TRY(numbers.give(theirs.number(kind.number), theirs.name()));
    if (!number) {
      out_.kept.push_back(subject(kind, theirs.name()) +
                          ": has root's number in the skel, or that of one who is not here");
      return {};
    }
    AccountEntry entry = theirs;
    entry.set_number(kind.number, *number);
    std::string was = std::to_string(theirs.number(kind.number)), is = std::to_string(*number);
    if (kind.file == AccountFile::passwd) {
      entry.set_number(kGid, out_.ids.group(theirs.number(kGid)));
      was.append(":").append(theirs.field(kGid));
      is.append(":").append(entry.field(kGid));
      add_shadow_entry(AccountFile::shadow, entry, ":::::::");
      new_users_.emplace(theirs.name());
    } else {
      entry.set_field(kMembers, "");
      add_shadow_entry(AccountFile::gshadow, entry, "::");
      new_groups_.emplace(theirs.name());
    }
    out_.done.push_back(subject(kind, theirs.name()) + " (" + was + ") added" + (was == is ? "" : " as " + is));
    put(kind.file, std::move(entry));
    return {};
  }

  /// Locks the entry, in the vserver's shadow file if it has one. One that stands there already is its own.
  void add_shadow_entry(AccountFile file, AccountEntry& entry, const char* further_fields) {
    if (out_.accounts.table(file) == nullptr) {
      entry.set_field(kPassword, "*");
      return;
    }
    const AccountEntry* const theirs = theirs_.find(file, entry.name());
    if (mine(file, entry.name()) == nullptr) {
      AccountEntry shadow =
          theirs != nullptr ? *theirs : AccountEntry(std::string(entry.name()) + ":!" + further_fields);
      shadow.set_field(kPassword, locked_password(shadow.field(kPassword)));
      if (file == AccountFile::gshadow) {
        shadow.set_field(kAdministrators, "");
        shadow.set_field(kMembers, "");
      }
      put(file, std::move(shadow));
    }
    entry.set_field(kPassword, "x");
  }

  void follow_user(const AccountEntry& then, const AccountEntry& theirs, const AccountEntry& own) {
    constexpr std::array kFollowed{kComment, kHome, kShell};
    const bool new_group = out_.ids.group(theirs.number(kGid)) != old_ids_.group(then.number(kGid));
    const auto differs = [&](const AccountEntry& from) {
      return [&then, &from](std::size_t place) { return then.field(place) != from.field(place); };
    };
    if (!new_group && std::ranges::none_of(kFollowed, differs(theirs))) return;
    AccountEntry next = own;
    for (const std::size_t place : kFollowed) next.set_field(place, theirs.field(place));
    next.set_number(kGid, out_.ids.group(theirs.number(kGid)));
    if (next == own) return;
    if (own.number(kGid) != old_ids_.group(then.number(kGid)) || std::ranges::any_of(kFollowed, differs(own))) {
      out_.kept.push_back(subject(kUsers, own.name()) + ": changed on both sides");
      return;
    }
    out_.done.push_back(subject(kUsers, own.name()) + " changed");
    put(AccountFile::passwd, std::move(next));
  }

  /// In group and gshadow alike. Only who is there may be a member: else a later user of that name would be.
  void members(const AccountEntry& theirs) {
    const AccountEntry* const own = mine(AccountFile::group, theirs.name());
    if (own == nullptr) return;
    const NameList before = own->names(kMembers);
    set_names(AccountFile::group, kMembers, theirs.name());
    set_names(AccountFile::gshadow, kMembers, theirs.name());
    set_names(AccountFile::gshadow, kAdministrators, theirs.name());
    if (new_groups_.contains(theirs.name())) return;
    const NameList after = mine(AccountFile::group, theirs.name())->names(kMembers);
    for (const std::string& name : after)
      if (!has_name(before, name))
        out_.done.push_back(subject(kGroups, theirs.name()) + ": member " + printable(name) + " added");
    for (const std::string& name : before)
      if (!has_name(after, name))
        out_.done.push_back(subject(kGroups, theirs.name()) + ": member " + printable(name) + " removed");
  }

  void set_names(AccountFile file, std::size_t place, std::string_view group) {
    const AccountEntry *const theirs = theirs_.find(file, group), *const own = mine(file, group);
    if (theirs == nullptr || own == nullptr) return;
    const NameList wanted = theirs->names(place);
    const AccountEntry* const then = base(file, group);
    NameList known = then != nullptr ? then->names(place) : NameList();
    // A group that the vserver has of its own gets the new users only.
    if (then == nullptr && !new_groups_.contains(group))
      std::ranges::copy_if(wanted, std::back_inserter(known),
                           [this](const std::string& name) { return !new_users_.contains(name); });
    const NameList names = merged_names(known, wanted, own->names(place), [this](const std::string& name) {
      return mine(AccountFile::passwd, name) != nullptr;
    });
    if (names == own->names(place)) return;
    AccountEntry next = *own;
    next.set_names(place, names);
    put(file, std::move(next));
  }

  /// Subordinate numbers of users that are here, where the skel did not have them at the base: of new ones in any case.
  void ranges(AccountFile file) {
    if (theirs_.table(file) == nullptr) return;
    // A file that came with the update: one that the skel had is none here because the tenant wants it so.
    if (mine_table(file) == nullptr && request_.base != nullptr && request_.base->table(file) == nullptr) {
      out_.accounts.make(file);
      out_.done.push_back(std::string(account_file_name(file)) + " added");
    }
    for (const AccountEntry* entry : theirs_.table(file)->entries()) {
      const bool is_news = request_.base != nullptr && base(file, entry->line()) == nullptr &&
                           mine(AccountFile::passwd, entry->name()) != nullptr;
      if ((is_news || new_users_.contains(entry->name())) && mine(file, entry->line()) == nullptr) range(file, *entry);
    }
  }

  void range(AccountFile file, const AccountEntry& theirs) {
    const std::string text = std::string(account_file_name(file)) + " range " + printable(theirs.line());
    if (mine_table(file) == nullptr) {
      out_.kept.push_back(text + ": there is no such file here");
      return;
    }
    if (is_range_taken(*mine_table(file), theirs)) {
      out_.kept.push_back(text + ": another's here");
      return;
    }
    put(file, theirs);
    out_.done.push_back(text + " added");
  }

  void gone(AccountKind kind) {
    if (request_.base == nullptr || request_.base->table(kind.file) == nullptr) return;
    for (const AccountEntry* then : request_.base->table(kind.file)->entries())
      if (theirs_.find(kind.file, then->name()) == nullptr && mine(kind.file, then->name()) != nullptr)
        out_.kept.push_back(subject(kind, then->name()) + ": removed in the skel, files may be its");
  }

  const FollowRequest& request_;
  const Accounts& theirs_;
  const NumberRanges ranges_;
  const IdMap old_ids_;
  Followed out_;
  std::optional<Numbers> users_, groups_;
  std::set<std::string, std::less<>> new_users_, new_groups_;
};

bool has_users_and_groups(const Accounts& accounts) {
  return accounts.table(AccountFile::passwd) != nullptr && accounts.table(AccountFile::group) != nullptr;
}

}  // namespace

Result<Followed> follow_accounts(const FollowRequest& request, Accounts mine) {
  if (!has_users_and_groups(*request.theirs) || !has_users_and_groups(mine)) {
    Followed as_it_is{std::move(mine), request.ids, {}, {}};
    const bool news = request.base == nullptr || request.base->texts() != request.theirs->texts();
    if (news) as_it_is.kept.emplace_back("no etc/passwd and etc/group on both sides: no user follows the skel");
    return as_it_is;
  }
  Followed followed = TRY(Following(request, std::move(mine)).run());
  // Who can't read it back could not follow again.
  (void)TRY(Accounts::parse(followed.accounts.texts(), ""));
  return followed;
}

StrayOwners stray_owners(const Accounts& theirs, const Accounts* mine, const IdMap& ids, const OwnerNumbers& numbers) {
  StrayOwners out;
  const auto look = [&](AccountKind kind, const std::set<std::uint32_t>& skels_numbers, const auto& here) {
    const AccountTable *const skels = theirs.table(kind.file), *const own =
                                                                   mine == nullptr ? nullptr : mine->table(kind.file);
    if (skels == nullptr) return;
    for (const std::uint32_t number : skels_numbers) {
      const auto has_it = [&](const AccountEntry* entry) { return entry->number(kind.number) == number; };
      const auto entries = skels->entries();
      const auto owner = std::ranges::find_if(entries, has_it);
      if (number == 0 || owner == entries.end()) continue;
      const std::string text = subject(kind, (*owner)->name());
      if (own == nullptr) {
        out.not_known.push_back(text);
        continue;
      }
      const std::uint32_t is = here(number);
      const bool is_its = std::ranges::any_of(entries, [&](const AccountEntry* entry) {
        const AccountEntry* const same = has_it(entry) ? own->find(entry->name()) : nullptr;
        return same != nullptr && same->number(kind.number) == is;
      });
      if (is_its) continue;
      if (const AccountEntry* const same = own->find((*owner)->name())) {
        out.roots.push_back(text + ": " + std::to_string(number) + " in the skel is " +
                            std::to_string(same->number(kind.number)) + " here: what is root's is not mapped");
        continue;
      }
      const auto all_own = own->entries();
      const auto other =
          std::ranges::find_if(all_own, [&](const AccountEntry* entry) { return entry->number(kind.number) == is; });
      out.missing.push_back(text + ": not here, what is its in the skel comes as " + std::to_string(is) +
                            ", which is " + (other == all_own.end() ? "nobody" : printable((*other)->name())) + "'s");
    }
  };
  look(kUsers, numbers.uid, [&](std::uint32_t number) { return ids.user(number); });
  look(kGroups, numbers.gid, [&](std::uint32_t number) { return ids.group(number); });
  return out;
}

NamedIds map_by_names(const Accounts& theirs, const Accounts& mine, IdMap ids) {
  NamedIds out{std::move(ids), {}, {}};
  const auto map = [&](AccountKind kind, std::map<std::uint32_t, std::uint32_t>& numbers_map) {
    if (theirs.table(kind.file) == nullptr || mine.table(kind.file) == nullptr) return;
    Numbers numbers(kind, theirs, mine, {}, {}, numbers_map);
    for (const AccountEntry* entry : theirs.table(kind.file)->entries())
      if (const AccountEntry* const own = mine.find(kind.file, entry->name()))
        map_name(kind, numbers, *entry, *own, out.done, out.kept);
  };
  map(kGroups, out.ids.gid);
  map(kUsers, out.ids.uid);
  return out;
}

}  // namespace vskel
