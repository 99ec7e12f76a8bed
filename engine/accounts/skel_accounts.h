// What a package manager does to users and groups in a merged skel, taken back into the skel's own files, entry by
// entry (split-skel). Pure.
#pragma once

#include <string>
#include <vector>

#include "engine/accounts/account_table.h"

namespace vskel {

struct AppliedChanges {
  AccountTable table;
  /// Entries that both sides changed, in different ways: "user redis", "group ssl-cert". They are as they were in
  /// `own`.
  std::vector<std::string> conflicts;
};

/// Three sides, by name: what `changed` added, changed and removed since `base` is done to `own`, which may have
/// changed since then, too. The members of a group are three-sided by themselves, one by one. All three are of one
/// file.
[[nodiscard]] AppliedChanges apply_changes(const AccountTable& base, const AccountTable& changed, AccountTable own);

/// What differs, a line each: "user redis (104:108) added", "group ssl-cert: member redis added", "user www-data
/// changed: shell", "user redis has number 104, which is mail's, too". Of shadow and gshadow only what does not go
/// along with a user or group. Names are printable.
[[nodiscard]] std::vector<std::string> describe_changes(const Accounts& before, const Accounts& after);

}  // namespace vskel
