#include "engine/skel/account_files.h"

#include <algorithm>
#include <cerrno>
#include <span>
#include <tuple>

#include "engine/accounts/restore.h"
#include "engine/accounts/skel_accounts.h"
#include "engine/content/hash.h"
#include "engine/tree/metadata.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

constexpr std::uint32_t kPrivateDirectory = 0700, kPrivateFile = 0600;

constexpr std::string_view kDirectory = "etc/";

std::string path_of(AccountFile file) { return std::string(kDirectory) + std::string(account_file_name(file)); }

Result<> write_file(const DirFd& dir, AccountFile file, std::string_view bytes, const Metadata& metadata) {
  const std::string name(account_file_name(file));
  const Fd out = TRY(sys::create_file(dir, *Name::check(name), kPrivateFile));
  TRY(sys::write_all(out, bytes));
  return apply_metadata(out, metadata, Fresh::no);
}

/// The file in etc of `root`, if it is a regular one there.
Result<std::optional<Fd>> open_account_file(const DirFd& root, AccountFile file) {
  const DirFd etc = TRY(open_dirs_if_there(root, "etc"));
  if (!etc.open()) return std::nullopt;
  const std::string name(account_file_name(file));
  const auto stat = TRY(sys::stat_if_there(etc, *Name::check(name)));
  if (!stat || stat->type != sys::FileType::regular) return std::nullopt;
  return TRY(sys::open_file(etc, *Name::check(name)));
}

/// One file of one side, as it lies there.
struct Side {
  std::string bytes;
  sys::Stat stat;
};
Result<std::optional<Side>> read_side(const DirFd& root, AccountFile file) {
  if (!root.open()) return std::nullopt;
  const auto opened = TRY(open_account_file(root, file));
  if (!opened) return std::nullopt;
  const sys::Stat stat = TRY(sys::stat(*opened));
  std::string bytes = TRY(sys::read_whole(*opened, kMostAccountBytes));
  return Side{std::move(bytes), stat};
}

/// Writes a changed file into `dir`, with all that static's has of metadata.
Result<> write_changed_accounts(const Skel& skel, const SplitAccounts::Changed& changed, const DirFd& dir) {
  const auto own = TRY(open_account_file(skel.tree(Part::static_part), changed.file));
  if (!own) return fail("split accounts", skel.path() + "/static/" + path_of(changed.file), ENOENT);
  const sys::Stat stat = TRY(sys::stat(*own));
  Metadata metadata = metadata_of(stat, TRY(sys::xattrs(*own)));
  const std::string name(account_file_name(changed.file));
  const Fd out = TRY(sys::create_file(dir, *Name::check(name), kPrivateFile));
  TRY(sys::write_all(out, changed.bytes));
  metadata.mode = changed.mode;
  metadata.uid = changed.uid;
  metadata.gid = changed.gid;
  const sys::Stat fresh = TRY(sys::stat(out));
  metadata.atime = metadata.mtime = fresh.mtime;
  return apply_metadata(out, metadata, Fresh::no);
}

/// The newest generation's; "" where it has none.
Result<std::string> read_login_defs(const Skel& skel) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 20;
  for (const Part part : {Part::local_part, Part::static_part, Part::global_part}) {
    const DirFd etc = TRY(open_dirs_if_there(skel.tree(part), "etc"));
    if (!etc.open()) continue;
    const auto stat = TRY(sys::stat_if_there(etc, "login.defs"));
    if (stat && stat->type == sys::FileType::regular)
      return sys::read_whole(TRY(sys::open_trusted_file(etc, "login.defs")), kMostBytes);
  }
  return std::string();
}

/// What was laid into the merged tree; closed where that is not known.
Result<DirFd> open_memory(const Skel& skel) {
  if (!TRY(sys::stat_if_there(skel.dir(), kMergedAccounts))) return DirFd();
  return sys::open_dir(skel.dir(), kMergedAccounts);
}

/// Of both sides what can be taken apart on both.
std::pair<Accounts, Accounts> comparable(AccountTexts before, AccountTexts after) {
  for (const AccountFile file : kAllAccountFiles) {
    const auto at = static_cast<std::size_t>(file);
    for (const AccountTexts* texts : {&before, &after})
      if (const auto& text = (*texts)[at]; text && !AccountTable::parse(file, *text, "")) {
        before[at].reset();
        after[at].reset();
      }
  }
  return {*Accounts::parse(before, ""), *Accounts::parse(after, "")};
}

/// One split's account files, one by one.
class Splitting {
 public:
  Splitting(const Skel& skel, const DirFd& merged, const DirFd& memory)
      : skel_(skel), merged_(merged), memory_(memory) {}

  Result<SplitAccounts> run(unsigned last) {
    out_.texts = TRY(read_static_accounts(skel_));
    AccountTexts before = out_.texts;
    for (const AccountFile file : kAllAccountFiles) TRY(one(file, before));
    if (auto known = TRY(read_generation_accounts(skel_, last))) before = std::move(*known);
    const auto [then, now] = comparable(std::move(before), out_.texts);
    std::ranges::move(describe_changes(then, now), std::back_inserter(out_.told));
    return std::move(out_);
  }

 private:
  Result<> one(AccountFile file, AccountTexts& before) {
    const auto base = TRY(read_side(memory_, file));
    if (!base) return {};  // as any other file of the tree
    const auto merged = TRY(read_side(merged_, file));
    const auto own = TRY(read_side(skel_.tree(Part::static_part), file));
    const std::string path = path_of(file);
    const DirFd static_etc = TRY(open_dirs_if_there(skel_.tree(Part::static_part), "etc"));
    if (!merged) {
      if (own) out_.told.push_back("/" + path + " is no file in the merged tree any more: static's stays");
      return {};
    }
    if (!own) {
      if (static_etc.open() && TRY(sys::stat_if_there(static_etc, *Name::check(std::string(account_file_name(file))))))
        return {};
      out_.handled.insert(path);
      out_.told.push_back("/" + path + " was removed from static: the merged tree's is left out");
      return {};
    }
    out_.handled.insert(path);
    before[static_cast<std::size_t>(file)] = base->bytes;
    decide(file, *base, *merged, *own);
    return {};
  }

  void decide(AccountFile file, const Side& base, const Side& merged, const Side& own) {
    const std::string path = path_of(file);
    std::string bytes = own.bytes;
    if (merged.bytes != base.bytes && merged.bytes != own.bytes) {
      const std::string source = skel_.path() + "/";
      const auto b = AccountTable::parse(file, base.bytes, source + "merged.accounts/" + path);
      const auto d = AccountTable::parse(file, merged.bytes, "the merged tree's " + path);
      auto s = AccountTable::parse(file, own.bytes, source + "static/" + path);
      if (b && d && s) {
        AppliedChanges applied = apply_changes(*b, *d, std::move(*s));
        bytes = applied.table.bytes();
        for (const std::string& entry : applied.conflicts)
          out_.told.push_back(entry + " was changed in static, too, and stays as it is there");
        if (!applied.conflicts.empty()) out_.set_aside.insert(path);
      } else {
        const std::string why = (!d ? d.error() : !s ? s.error() : b.error()).line();
        const bool whole = own.bytes == base.bytes;
        if (whole) bytes = merged.bytes;
        if (!whole) out_.set_aside.insert(path);
        out_.told.push_back("/" + path + (whole ? " is taken as a whole: " : " stays as it is in static: ") + why);
      }
    }
    const auto access = [](const Side& side) { return std::tuple(side.stat.mode, side.stat.uid, side.stat.gid); };
    const bool follows = access(own) == access(base) && access(merged) != access(base);
    const auto [mode, uid, gid] = access(follows ? merged : own);
    if (bytes == own.bytes && !follows) return;
    out_.texts[static_cast<std::size_t>(file)] = bytes;
    out_.changed.push_back({file, std::move(bytes), mode, uid, gid});
  }

  const Skel& skel_;
  const DirFd& merged_;
  const DirFd& memory_;
  SplitAccounts out_;
};

}  // namespace

std::optional<AccountFile> account_file_at(std::string_view path) {
  if (!path.starts_with(kDirectory)) return std::nullopt;
  path.remove_prefix(kDirectory.size());
  const auto found = std::ranges::find(kAllAccountFiles, path, account_file_name);
  return found == kAllAccountFiles.end() ? std::nullopt : std::optional(*found);
}

namespace {

bool is_account_file_with(std::string_view suffix, std::string_view path) {
  return path.ends_with(suffix) && account_file_at(path.substr(0, path.size() - suffix.size())).has_value();
}

}  // namespace

bool is_account_lock(std::string_view path) { return path == "etc/.pwd.lock" || is_account_file_with(".lock", path); }

bool is_account_leftover(std::string_view path) { return is_account_lock(path) || is_account_file_with("-", path); }

Result<AccountTexts> read_account_files(const DirFd& root) {
  AccountTexts texts;
  for (const AccountFile file : kAllAccountFiles)
    if (const auto opened = TRY(open_account_file(root, file)))
      texts[static_cast<std::size_t>(file)] = TRY(sys::read_whole(*opened, kMostAccountBytes));
  return texts;
}

Result<AccountTexts> read_static_accounts(const Skel& skel) { return read_account_files(skel.tree(Part::static_part)); }

Result<std::optional<AccountTexts>> read_generation_accounts(const Skel& skel, unsigned generation) {
  const DirFd accounts = TRY(open_dirs_if_there(skel.generations(), generation_accounts_name(generation)));
  if (!accounts.open()) return std::nullopt;
  return TRY(read_account_files(accounts));
}

std::string generation_accounts_name(unsigned generation) {
  const std::string name = generation_file_name(generation);
  return name.substr(0, name.rfind('.')) + ".accounts";
}

Result<> write_private_accounts(const DirFd& dir, Name name, const AccountTexts& texts) {
  const DirFd accounts = TRY(sys::ensure_dir(dir, name, kPrivateDirectory));
  const DirFd etc = TRY(sys::ensure_dir(accounts, "etc", kPrivateDirectory));
  for (const AccountFile file : kAllAccountFiles) {
    const auto& bytes = texts[static_cast<std::size_t>(file)];
    if (!bytes) continue;
    const std::string file_name(account_file_name(file));
    TRY(sys::write_all(TRY(sys::create_file(etc, *Name::check(file_name), kPrivateFile)), *bytes));
  }
  return {};
}

Result<> lay_in_accounts(const Skel& skel, const DirFd& merged, const DirFd& memory) {
  const DirFd static_etc = TRY(open_dirs_if_there(skel.tree(Part::static_part), "etc"));
  if (!static_etc.open()) return {};
  const AccountTexts texts = TRY(read_static_accounts(skel));
  if (std::ranges::none_of(texts, [](const auto& text) { return text.has_value(); })) return {};
  const DirFd remembered = TRY(sys::ensure_dir(memory, "etc", kPrivateDirectory));
  const auto had_etc = TRY(sys::stat_if_there(merged, "etc"));
  const DirFd etc = TRY(sys::ensure_dir(merged, "etc", kPrivateDirectory));
  const Metadata directory = had_etc ? metadata_of(TRY(sys::stat(etc)), TRY(sys::xattrs(etc)))
                                     : metadata_of(TRY(sys::stat(static_etc)), TRY(sys::xattrs(static_etc)));
  for (const AccountFile file : kAllAccountFiles) {
    const auto opened = TRY(open_account_file(skel.tree(Part::static_part), file));
    if (!opened) continue;
    const std::string name(account_file_name(file)), bytes = TRY(sys::read_whole(*opened, kMostAccountBytes));
    const Metadata metadata = metadata_of(TRY(sys::stat(*opened)), TRY(sys::xattrs(*opened)));
    TRY(write_file(remembered, file, bytes, metadata));
    // All of static may have been laid in already.
    if (!TRY(sys::stat_if_there(etc, *Name::check(name)))) TRY(write_file(etc, file, bytes, metadata));
  }
  return apply_metadata(etc, directory, Fresh::no);
}

Result<SplitAccounts> split_accounts(const Skel& skel, const DirFd& merged, unsigned last) {
  const DirFd memory = TRY(open_memory(skel));
  return Splitting(skel, merged, memory).run(last);
}

Result<RestoredAccounts> restore_static_accounts(const Skel& skel, unsigned generation, unsigned newest) {
  RestoredAccounts out;
  out.texts = TRY(read_static_accounts(skel));
  auto then = TRY(read_generation_accounts(skel, generation));
  if (!then) {
    out.told.push_back("users and groups stay as they are: what generation " + std::to_string(generation) +
                       " had is not known");
    return out;
  }
  AccountTexts own = out.texts;
  for (const AccountFile file : kAllAccountFiles) {
    auto &mine = own[static_cast<std::size_t>(file)], &old = (*then)[static_cast<std::size_t>(file)];
    // What is no account file is the same as ever.
    const bool says_nothing = mine && mine == old && !AccountTable::parse(file, *mine, "");
    if (says_nothing) mine.reset();
    if (!mine) old.reset();
  }
  const std::string base = skel.path() + "/generations/" + generation_accounts_name(generation) + "/";
  const Accounts old = TRY(Accounts::parse(*then, base));
  const Accounts before = TRY(Accounts::parse(own, skel.path() + "/static/"));
  const auto last_texts = TRY(read_generation_accounts(skel, newest));
  const auto last = last_texts ? Accounts::parse(*last_texts, "") : Accounts();
  const std::string login_defs = TRY(read_login_defs(skel));
  Restored restored = TRY(restore_accounts({&old, last_texts && last ? &*last : nullptr, login_defs}, before));
  out.told = describe_changes(before, restored.accounts);
  std::ranges::move(restored.told, std::back_inserter(out.told));
  out.renumbered = std::move(restored.renumbered);
  const AccountTexts next = restored.accounts.texts();
  for (const AccountFile file : kAllAccountFiles) {
    const auto at = static_cast<std::size_t>(file);
    if (!own[at] || next[at] == own[at]) continue;
    const auto side = TRY(read_side(skel.tree(Part::static_part), file));
    if (!side) return fail("roll back accounts", skel.path() + "/static/" + path_of(file), ENOENT);
    out.changed.push_back({file, *next[at], side->stat.mode, side->stat.uid, out.renumbered.group(side->stat.gid)});
    out.texts[at] = next[at];
  }
  return out;
}

ManifestEntry& describe_changed_accounts(const SplitAccounts::Changed& changed, ManifestEntries& static_entries) {
  ManifestEntry& entry = *std::ranges::find(static_entries, path_of(changed.file), &ManifestEntry::path);
  entry.size = changed.bytes.size();
  entry.content = hash_bytes(std::as_bytes(std::span(changed.bytes)), WithSha256::no).xxh128;
  entry.mode = changed.mode;
  entry.uid = changed.uid;
  entry.gid = changed.gid;
  entry.nlink = 1;
  return entry;
}

Result<> stage_changed_accounts(const Skel& skel, const std::vector<SplitAccounts::Changed>& changed,
                                const DirFd& staging, ManifestEntries& static_entries) {
  if (changed.empty()) return {};
  const DirFd dir = TRY(sys::ensure_dir(staging, "accounts", kPrivateDirectory));
  for (const SplitAccounts::Changed& one : changed) {
    TRY(write_changed_accounts(skel, one, dir));
    const std::string name(account_file_name(one.file));
    describe_changed_accounts(one, static_entries).mtime = TRY(sys::stat(dir, *Name::check(name))).mtime;
  }
  return {};
}

}  // namespace vskel
