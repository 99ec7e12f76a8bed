// Users and groups follow the skel entry by entry (upgrade.md, "Accounts"), ahead of all else: they say whose the
// skel's files are in this vserver.

#include <algorithm>
#include <cerrno>
#include <span>

#include "engine/accounts/follow.h"
#include "engine/content/hash.h"
#include "engine/relink/planner.h"
#include "engine/skel/layout.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

constexpr std::size_t kMostLoginDefs = std::size_t{1} << 20;

std::string path_of(AccountFile file) { return "etc/" + std::string(account_file_name(file)); }

/// What else may stand at their names leads or waits elsewhere.
Result<> require_plain_files(const DirFd& etc) {
  for (const AccountFile file : kAllAccountFiles) {
    const auto stat = TRY(sys::stat_if_there(etc, *Name::check(std::string(account_file_name(file)))));
    if (stat && stat->type != sys::FileType::regular)
      return fail("read accounts", "/" + path_of(file), "it is no regular file");
  }
  return {};
}

Result<OwnAccountFiles> read_account_files_of(const DirFd& root) {
  const DirFd etc = TRY(open_dirs_if_there(root, "etc"));
  if (!etc.open() && TRY(sys::stat_if_there(root, "etc"))) return fail("read accounts", "/etc", "it is no directory");
  OwnAccountFiles files;
  if (!etc.open()) return files;
  TRY(require_plain_files(etc));
  for (const AccountFile file : kAllAccountFiles)
    files[static_cast<std::size_t>(file)] =
        TRY(read_own_file(etc, *Name::check(std::string(account_file_name(file))), kMostAccountBytes));
  return files;
}

std::string read_login_defs(const DirFd& root) {
  const auto etc = open_dirs_if_there(root, "etc");
  if (!etc || !etc->open()) return {};
  const auto read = read_own_file(*etc, "login.defs", kMostLoginDefs);
  return read && *read ? (*read)->bytes : std::string();
}

AccountTexts texts_of(const OwnAccountFiles& files) {
  AccountTexts texts;
  for (std::size_t at = 0; at < files.size(); ++at)
    if (files[at]) texts[at] = files[at]->bytes;
  return texts;
}

/// The file that a line of follow_accounts() is about.
std::string path_of_line(std::string_view line) {
  if (line.starts_with("group ")) return "/etc/group";
  if (line.starts_with("subuid ")) return "/etc/subuid";
  if (line.starts_with("subgid ")) return "/etc/subgid";
  return "/etc/passwd";
}

bool has_users_and_groups(const AccountTexts& texts) {
  return texts[static_cast<std::size_t>(AccountFile::passwd)] && texts[static_cast<std::size_t>(AccountFile::group)];
}

/// What a tenant makes of his files, against errors that are the machine's.
bool is_tenants_doing(const Error& error) {
  return error.code == 0 || error.code == EFBIG || error.code == EXDEV || error.code == ELOOP || error.code == ENOENT ||
         error.code == EAGAIN || error.code == ETXTBSY;
}

}  // namespace

bool Planner::are_accounts_frozen() const {
  return options_.global_only || std::ranges::any_of(kAllAccountFiles, [this](AccountFile file) {
           return std::ranges::any_of(options_.freeze,
                                      [&](const std::string& glob) { return glob_matches(glob, path_of(file)); });
         });
}

void Planner::skip_for_accounts(std::string_view path, const std::string& why) {
  // Nothing is done in any case.
  if (gate_ == Gate::open) plan_.torn.push_back({"/" + std::string(path), why});
  if (gate_ != Gate::open) plan_.held_back = true;
}

Result<> Planner::plan_accounts(const DirFd& root) {
  plan_.ids_before = plan_.ids = record_.ids;
  if (!record_.ids.empty()) TRY(view_.read_acls());
  const unsigned base_generation = base_of(record_, kAccounts);
  const auto skels = view_.accounts();
  // What is no account file is the administrator's to mend; all else is the machine's.
  if (!skels && skels.error().code != 0) return std::unexpected(skels.error());
  if (!skels) {
    accounts_stay_ = true;
    if (gate_ == Gate::open && !are_accounts_frozen()) skip_for_accounts(kAccounts, skels.error().line());
    return {};
  }
  const Accounts* const base = TRY(view_.accounts(base_generation));
  const AccountTexts theirs = (*skels)->texts();
  const bool has_any = std::ranges::any_of(theirs, [](const auto& text) { return text.has_value(); });
  if (!has_any) return {};
  const bool is_news = base == nullptr || base->texts() != theirs;
  accounts_stay_ = is_news;
  if (gate_ == Gate::share_only) return {};
  // Who is who matters where something is to be somebody's: see look_at_owners().
  if (!is_news && map_ids_ == MapIds::as_recorded) return {};
  TRY(read_own_accounts(root));
  const bool skips = is_news && !unreadable_.empty() && !are_accounts_frozen();
  if (skips) skip_for_accounts(kAccounts, unreadable_);
  if (!accounts_here_ || are_accounts_frozen()) return {};
  if (is_news) return follow_changed_accounts(base, root);
  NamedIds named = map_by_names(**skels, *accounts_here_, record_.ids);
  plan_.accounts = std::move(named.done);
  return set_ids(std::move(named.ids));
}

Result<> Planner::read_own_accounts(const DirFd& root) {
  are_accounts_read_ = true;
  auto own = read_account_files_of(root);
  if (!own && !is_tenants_doing(own.error())) return std::unexpected(std::move(own).error());
  if (!own) {
    unreadable_ = own.error().line();
    return {};
  }
  own_accounts_ = std::move(*own);
  for (const auto& file : own_accounts_) {
    if (file) plan_.bytes_read += file->bytes.size();
    // One that was the skel's for all: it is no file of static's.
    if (file && view_.is_skel_inode(file->stat.inode) && file->stat.device == view_.device()) return {};
  }
  const AccountTexts texts = texts_of(own_accounts_);
  const bool has_some = std::ranges::any_of(texts, [](const auto& text) { return text.has_value(); });
  auto parsed = Accounts::parse(texts, "/");
  if (!parsed)
    unreadable_ = parsed.error().line();
  else if (has_some && !has_users_and_groups(texts) && has_users_and_groups((*TRY(view_.accounts())).texts()))
    unreadable_ = "/etc/passwd and /etc/group: not both are there";
  else
    accounts_here_ = std::move(*parsed);
  return {};
}

Result<> Planner::follow_changed_accounts(const Accounts* base, const DirFd& root) {
  const std::string login_defs = read_login_defs(root);
  auto followed = follow_accounts({base, TRY(view_.accounts()), login_defs, record_.ids}, *accounts_here_);
  if (!followed) {
    skip_for_accounts(kAccounts, followed.error().line());
    return {};
  }
  const AccountTexts next = followed->accounts.texts();
  const bool changes = next != texts_of(own_accounts_) || followed->ids != record_.ids;
  if (gate_ == Gate::closed && changes) plan_.held_back = true;
  if (gate_ == Gate::closed && changes) return {};
  accounts_stay_ = false;
  for (const std::string& line : followed->kept) plan_.kept.push_back({path_of_line(line), line});
  plan_.accounts = std::move(followed->done);
  accounts_here_ = std::move(followed->accounts);
  TRY(set_ids(std::move(followed->ids)));
  for (const AccountFile file : kAllAccountFiles)
    if (const auto& bytes = next[static_cast<std::size_t>(file)]; bytes) plan_account_file(file, *bytes);
  return {};
}

Result<> Planner::set_ids(IdMap ids) {
  plan_.ids = ids;
  if (!ids.empty()) TRY(view_.read_acls());
  owners_.theirs = NodeOwners(view_, std::move(ids));
  return {};
}

OwnerNumbers Planner::owners_that_come() const {
  OwnerNumbers numbers;
  const auto add = [&](const auto& self, const TreeNode& node) -> void {
    numbers.uid.insert(node.entry->uid);
    numbers.gid.insert(node.entry->gid);
    for (const TreeNode* child : node.children()) self(self, *child);
  };
  for (const Step& step : plan_.steps) {
    if (step.theirs == nullptr || step.change == Change::shared || step.change == Change::none) continue;
    if (step.brings_theirs() && step.kind == Step::Kind::put_new) {
      add(add, *step.theirs);
    } else if (step.brings_theirs() || step.kind == Step::Kind::set_metadata) {
      numbers.uid.insert(step.theirs->entry->uid);
      numbers.gid.insert(step.theirs->entry->gid);
    }
  }
  return numbers;
}

Result<> Planner::look_at_owners(const DirFd& root) {
  const auto skels = view_.accounts();
  if (gate_ != Gate::open || !skels) return {};
  const OwnerNumbers coming = owners_that_come();
  if (!are_accounts_read_) {
    // What is kept may be so because its owner has another number by now.
    OwnerNumbers all = coming;
    for (const TreeNode* theirs : plan_.conflicts) {
      all.uid.insert(theirs->entry->uid);
      all.gid.insert(theirs->entry->gid);
    }
    if (stray_owners(**skels, nullptr, plan_.ids, all).not_known.empty()) return {};
    TRY(read_own_accounts(root));
    plan_.are_ids_stale = accounts_here_ && !are_accounts_frozen() &&
                          map_by_names(**skels, *accounts_here_, record_.ids).ids != record_.ids;
    if (plan_.are_ids_stale) return {};
  }
  if (!accounts_here_ && unreadable_.empty()) return {};
  // A vserver that has no accounts at all has numbers only.
  if (accounts_here_ && !has_users_and_groups(accounts_here_->texts())) return {};
  const StrayOwners stray = stray_owners(**skels, accounts_here_ ? &*accounts_here_ : nullptr, plan_.ids, coming);
  if (!stray.not_known.empty()) skip_for_accounts(kAccounts, unreadable_);
  for (const std::string& line : stray.roots) skip_for_accounts(path_of_line(line).substr(1), line);
  for (const std::string& line : stray.missing) plan_.kept.push_back({path_of_line(line), line});
  return {};
}

void Planner::plan_account_file(AccountFile file, const std::string& bytes) {
  const auto& own = own_accounts_[static_cast<std::size_t>(file)];
  if (own && own->bytes == bytes) return;
  if (plan_.bundles.empty()) plan_.bundles.emplace_back(kAccounts);
  Step step = own ? rewrite(*own, path_of(file), bytes) : new_file(path_of(file), bytes);
  step.base_generation = base_of(record_, kAccounts);
  step.bundle = 1;  // the first of all
  changed_directories_.emplace("etc", 0);
  steps_.add(Turn::accounts, std::move(step));
}

void Planner::settle_accounts() {
  const std::string path(kAccounts);
  const unsigned until_now = base_of(record_, kAccounts);
  if (until_now == view_.newest().generation()) return;
  // For all of the files, of which that of the path may be the one without a change.
  if (accounts_stay_)
    bases_.stay_after_all(path, until_now);
  else
    bases_.move(path, until_now);
}

}  // namespace vskel
