#include <algorithm>

#include "engine/accounts/follow.h"
#include "engine/accounts/skel_accounts.h"
#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

namespace {

std::string_view upto(std::string_view& rest, char end) {
  const std::string_view piece = rest.substr(0, rest.find(end));
  rest.remove_prefix(std::min(rest.size(), piece.size() + 1));
  return piece;
}

/// Six files, between bytes that no account file has.
Accounts side(std::string_view bytes) {
  AccountTexts texts;
  for (auto& text : texts)
    if (!bytes.empty()) text = std::string(upto(bytes, '\x02'));
  for (const AccountFile file : kAllAccountFiles) {
    auto& text = texts[static_cast<std::size_t>(file)];
    if (!text) continue;
    const auto table = AccountTable::parse(file, *text, "f");
    must(table || table.error().path.starts_with("f"), "an error names the file");
    must(!table || table->bytes() == *text, "a file comes back byte for byte");
    if (!table) text.reset();
  }
  auto accounts = Accounts::parse(texts, "");
  must(accounts && accounts->texts() == texts, "all of them do");
  return std::move(*accounts);
}

void check_followed(const Accounts& before, const Followed& after) {
  for (const AccountFile file : {AccountFile::passwd, AccountFile::shadow, AccountFile::group, AccountFile::gshadow}) {
    const AccountTable* const table = before.table(file);
    must((table == nullptr) == (after.accounts.table(file) == nullptr), "no file comes or goes");
    if (table == nullptr) continue;
    const bool numbered = file == AccountFile::passwd || file == AccountFile::group;
    for (const AccountEntry* entry : table->entries()) {
      const AccountEntry* const now = after.accounts.find(file, entry->name());
      must(now != nullptr, "nobody is removed");
      must(now->field(1) == entry->field(1), "a password stays");
      must(!numbered || now->field(2) == entry->field(2), "a number stays");
    }
    for (const AccountEntry* entry : after.accounts.table(file)->entries())
      if (before.find(file, entry->name()) == nullptr)
        must(entry->field(1).size() <= 4 && !entry->field(1).empty(), "no hash travels");
  }
  for (const auto* numbers : {&after.ids.uid, &after.ids.gid})
    for (const auto& [from, to] : *numbers) must(from != 0 && to != 0 && to <= kHighestId, "root is not mapped");
}

}  // namespace

/// Base, theirs, mine and login.defs, each behind the other.
void accounts(std::string_view bytes) {
  const Accounts base = side(upto(bytes, '\x01')), theirs = side(upto(bytes, '\x01')), mine = side(upto(bytes, '\x01'));
  for (const AccountFile file : kAllAccountFiles) {
    if (base.table(file) == nullptr || theirs.table(file) == nullptr || mine.table(file) == nullptr) continue;
    const AppliedChanges applied = apply_changes(*base.table(file), *theirs.table(file), *mine.table(file));
    must(AccountTable::parse(file, applied.table.bytes(), "f").has_value(), "what was merged can be read");
    must(apply_changes(*base.table(file), *base.table(file), *mine.table(file)).table.bytes() ==
             mine.table(file)->bytes(),
         "no change changes nothing");
    must(describe_changes(mine, mine).empty(), "and is nothing to tell");
  }
  const FollowRequest request{&base, &theirs, bytes, {}};
  const auto followed = follow_accounts(request, mine);
  if (!followed) return;
  check_followed(mine, *followed);
  const FollowRequest rest{&theirs, &theirs, bytes, followed->ids};
  const auto again = follow_accounts(rest, followed->accounts);
  must(again && again->accounts.texts() == followed->accounts.texts() && again->ids == followed->ids,
       "the next run has nothing to do");
}

}  // namespace vskel::test::fuzz
