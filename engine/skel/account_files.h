// The account files of a tree, of a merge and of a generation, on disk. What they say: engine/accounts.
//
//     SKEL/static/etc/passwd ...                     what the next vservers get, and the skel's state for relink; the
//                                                    administrator may edit them at any time
//     SKEL/generations/NNNN.accounts/etc/passwd ...  what static had when generation NNNN was made: the base of relink;
//                                                    0700, its files 0600. A generation of version 0.1 has none.
//     SKEL/merged.accounts/etc/passwd ...            only between merge-skel and split-skel: what was laid into the
//                                                    merged tree, with owner and mode. A merge of version 0.1 has none.
//
// Account files are what static has of them as regular files: one that a layout has in another part is a file as any
// other. Functions are thread-safe.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/accounts/account_table.h"
#include "engine/accounts/id_map.h"
#include "engine/manifest/manifest.h"
#include "engine/skel/skel.h"
#include "engine/sys/kernel.h"

namespace vskel {

/// Which account file a path relative to a root is ("etc/passwd"); nullopt: none.
[[nodiscard]] std::optional<AccountFile> account_file_at(std::string_view path);
/// A lock that the tools hold which change account files: "etc/.pwd.lock", "etc/passwd.lock". It stays where it is.
[[nodiscard]] bool is_account_lock(std::string_view path);
/// What the tools that change account files leave beside them: backups ("etc/shadow-", with the hashes of before) and
/// locks ("etc/.pwd.lock", "etc/passwd.lock"). Never part of a skel.
[[nodiscard]] bool is_account_leftover(std::string_view path);

/// The bytes of etc/passwd and the others below `root`, a tenant's too: nothing is followed. What is no regular file is
/// as if it were not there. EFBIG beyond kMostAccountBytes.
[[nodiscard]] Result<AccountTexts> read_account_files(const DirFd& root);

/// What static has now.
[[nodiscard]] Result<AccountTexts> read_static_accounts(const Skel& skel);
/// What static had when generation `generation` was made; nullopt: not known.
[[nodiscard]] Result<std::optional<AccountTexts>> read_generation_accounts(const Skel& skel, unsigned generation);

/// "0003.accounts"
[[nodiscard]] std::string generation_accounts_name(unsigned generation);
/// Makes directory `name` in `dir` with the files in it, private to root. Not durable by itself.
[[nodiscard]] Result<> write_private_accounts(const DirFd& dir, Name name, const AccountTexts& texts);

/// Where a merge remembers what it laid in.
inline constexpr Name kMergedAccounts = "merged.accounts";
/// Copies of static's account files in `merged`, the root of a merged tree in the making, and in `memory`, an empty
/// directory. The times of the directory that they come into stay.
[[nodiscard]] Result<> lay_in_accounts(const Skel& skel, const DirFd& merged, const DirFd& memory);

/// What a merged tree made of the account files that were laid into it.
struct SplitAccounts {
  /// A file of static that changes: what it is to be.
  struct Changed {
    AccountFile file;
    std::string bytes;
    std::uint32_t mode, uid, gid;
  };
  /// Paths of the merged tree that are dealt with here, "etc/passwd", and are no files of the skel's by themselves.
  std::set<std::string, std::less<>> handled;
  std::vector<Changed> changed;
  AccountTexts texts;               ///< all of static's, with those changes
  std::vector<std::string> told;    ///< what changed since the last generation, and what static keeps: a line each
  std::set<std::string> set_aside;  ///< those of `handled` that static did not follow in all
};
/// Three sides by entry: what was laid in, what `merged` (the merged tree) has, what static has now. A file of which a
/// line is no entry is followed as a whole, where static's is still what was laid in. `last` is the newest generation.
[[nodiscard]] Result<SplitAccounts> split_accounts(const Skel& skel, const DirFd& merged, unsigned last);

/// What rollback makes of static's account files.
struct RestoredAccounts {
  std::vector<SplitAccounts::Changed> changed;
  AccountTexts texts;  ///< all of static's, with those changes
  IdMap renumbered;    ///< whose number is another's from now on
  std::vector<std::string> told;
};
/// Those of generation `generation` brought back (engine/accounts/restore.h); `newest` is the newest one.
[[nodiscard]] Result<RestoredAccounts> restore_static_accounts(const Skel& skel, unsigned generation, unsigned newest);

/// The entry of the changed file among those of static.
ManifestEntry& describe_changed_accounts(const SplitAccounts::Changed& changed, ManifestEntries& static_entries);
/// Writes changed files into staging/ID/accounts, with all that static's have of metadata, and describes them.
[[nodiscard]] Result<> stage_changed_accounts(const Skel& skel, const std::vector<SplitAccounts::Changed>& changed,
                                              const DirFd& staging, ManifestEntries& static_entries);

}  // namespace vskel
