#include "engine/accounts/skel_accounts.h"

#include <algorithm>
#include <optional>
#include <span>

#include "engine/accounts/name_lists.h"

namespace vskel {

namespace {

using namespace account_field;

bool is_same(const AccountEntry* a, const AccountEntry* b) { return a == nullptr || b == nullptr ? a == b : *a == *b; }

/// Fields that are lists of names.
std::span<const std::size_t> lists_of(AccountFile file) {
  static constexpr std::array<std::size_t, 2> kOfGshadow{kAdministrators, kMembers};
  if (file == AccountFile::gshadow) return kOfGshadow;
  return file == AccountFile::group ? std::span(kOfGshadow).last(1) : std::span<const std::size_t>();
}

/// An entry that all three have, and both sides have changed; nullopt where it can't be had.
std::optional<AccountEntry> joined(AccountFile file, const AccountEntry& base, const AccountEntry& changed,
                                   const AccountEntry& own) {
  const auto lists = lists_of(file);
  if (lists.empty()) return std::nullopt;
  AccountEntry out = own;
  for (std::size_t place = 1; place <= kMembers; ++place) {
    if (std::ranges::find(lists, place) != lists.end()) {
      out.set_names(place, merged_names(base.names(place), changed.names(place), own.names(place),
                                        [](const std::string&) { return true; }));
    } else if (changed.field(place) != base.field(place) && changed.field(place) != own.field(place)) {
      if (own.field(place) != base.field(place)) return std::nullopt;
      out.set_field(place, changed.field(place));
    }
  }
  return out;
}

/// "user redis"
std::string what_is(AccountFile file, const AccountEntry& entry) {
  const std::string name = printable(entry.name());
  switch (file) {
    case AccountFile::passwd:
      return "user " + name;
    case AccountFile::shadow:
      return "shadow entry of " + name;
    case AccountFile::group:
      return "group " + name;
    case AccountFile::gshadow:
      return "gshadow entry of " + name;
    case AccountFile::subuid:
    case AccountFile::subgid:
      return std::string(account_file_name(file)) + " range " + printable(entry.line());
  }
  return name;
}

/// "user redis (104:108)"
std::string with_number(AccountFile file, const AccountEntry& entry) {
  if (file == AccountFile::passwd)
    return what_is(file, entry) + " (" + std::string(entry.field(kUid)) + ":" + std::string(entry.field(kGid)) + ")";
  if (file == AccountFile::group) return what_is(file, entry) + " (" + std::string(entry.field(kGroupNumber)) + ")";
  return what_is(file, entry);
}

struct FieldName {
  std::size_t place;
  std::string_view name;
};
std::span<const FieldName> field_names(AccountFile file) {
  static constexpr std::array kOfPasswd{FieldName{kPassword, "password"}, FieldName{kUid, "number"},
                                        FieldName{kGid, "group"},         FieldName{kComment, "comment"},
                                        FieldName{kHome, "home"},         FieldName{kShell, "shell"}};
  static constexpr std::array kOfGroup{FieldName{kPassword, "password"}, FieldName{kGroupNumber, "number"}};
  if (file == AccountFile::passwd) return kOfPasswd;
  return file == AccountFile::group ? std::span<const FieldName>(kOfGroup) : std::span<const FieldName>();
}

class Description {
 public:
  Description(const Accounts& before, const Accounts& after) : before_(before), after_(after) {}

  std::vector<std::string> run() {
    for (const AccountFile file : kAllAccountFiles) {
      if (const AccountTable* const table = after_.table(file))
        for (const AccountEntry* entry : table->entries()) came(file, table->key_of(*entry), *entry);
      if (const AccountTable* const table = before_.table(file))
        for (const AccountEntry* entry : table->entries())
          if (after_.find(file, table->key_of(*entry)) == nullptr && !goes_along(file, *entry))
            lines_.push_back(with_number(file, *entry) + " removed");
    }
    return std::move(lines_);
  }

 private:
  void came(AccountFile file, std::string_view key, const AccountEntry& now) {
    const AccountEntry* const then = before_.find(file, key);
    if (is_same(then, &now)) return;
    if (!goes_along(file, now)) {
      if (then == nullptr)
        lines_.push_back(with_number(file, now) + " added");
      else
        changed(file, *then, now);
    }
    const bool is_user = file == AccountFile::passwd, is_group = file == AccountFile::group;
    const std::size_t number = is_user ? kUid : kGroupNumber;
    if ((is_user || is_group) && (then == nullptr || then->field(number) != now.field(number)))
      look_for_another(file, number, now);
  }

  /// A user comes and goes with its shadow entry, a group with its gshadow entry; the members of both change together.
  [[nodiscard]] bool goes_along(AccountFile file, const AccountEntry& entry) const {
    if (file == AccountFile::shadow)
      return (before_.find(AccountFile::passwd, entry.name()) == nullptr) !=
             (after_.find(AccountFile::passwd, entry.name()) == nullptr);
    return file == AccountFile::gshadow &&
           !is_same(before_.find(AccountFile::group, entry.name()), after_.find(AccountFile::group, entry.name()));
  }

  void changed(AccountFile file, const AccountEntry& then, const AccountEntry& now) {
    std::string fields;
    for (const FieldName& field : field_names(file))
      if (then.field(field.place) != now.field(field.place))
        fields.append(fields.empty() ? "" : ", ").append(field.name);
    const std::string subject = with_number(file, now);
    if (!fields.empty() || lists_of(file).empty())
      lines_.push_back(subject + " changed" + (fields.empty() ? "" : ": ") + fields);
    if (lists_of(file).empty()) return;
    const NameList before = then.names(kMembers), after = now.names(kMembers);
    const std::size_t told = lines_.size();
    for (const std::string& name : after)
      if (!has_name(before, name)) lines_.push_back(subject + ": member " + printable(name) + " added");
    for (const std::string& name : before)
      if (!has_name(after, name)) lines_.push_back(subject + ": member " + printable(name) + " removed");
    if (told == lines_.size() && fields.empty()) lines_.push_back(subject + " changed");
  }

  void look_for_another(AccountFile file, std::size_t number, const AccountEntry& entry) {
    for (const AccountEntry* other : after_.table(file)->entries())
      if (other->field(number) == entry.field(number) && other->name() != entry.name()) {
        lines_.push_back(what_is(file, entry) + " has number " + std::string(entry.field(number)) + ", which is " +
                         printable(other->name()) + "'s, too");
        return;
      }
  }

  const Accounts& before_;
  const Accounts& after_;
  std::vector<std::string> lines_;
};

}  // namespace

AppliedChanges apply_changes(const AccountTable& base, const AccountTable& changed, AccountTable own) {
  std::vector<std::string> conflicts;
  const AccountFile file = own.file();
  const auto one = [&](const AccountEntry& entry) {
    const std::string key(own.key_of(entry));
    const AccountEntry *const b = base.find(key), *const d = changed.find(key), *const s = own.find(key);
    if (is_same(b, d) || is_same(d, s)) return;
    if (is_same(b, s)) {
      if (d != nullptr)
        own.put(*d);
      else
        own.remove(key);
      return;
    }
    auto both = b != nullptr && d != nullptr && s != nullptr ? joined(file, *b, *d, *s) : std::nullopt;
    if (both)
      own.put(std::move(*both));
    else
      conflicts.push_back(what_is(file, entry));
  };
  for (const AccountEntry* entry : base.entries())
    if (changed.find(base.key_of(*entry)) == nullptr) one(*entry);
  for (const AccountEntry* entry : changed.entries()) one(*entry);
  return {std::move(own), std::move(conflicts)};
}

std::vector<std::string> describe_changes(const Accounts& before, const Accounts& after) {
  return Description(before, after).run();
}

}  // namespace vskel
