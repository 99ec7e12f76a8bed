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

Result<OwnAccountFiles> read_own_accounts(const DirFd& etc) {
  OwnAccountFiles files;
  for (const AccountFile file : kAllAccountFiles)
    files[static_cast<std::size_t>(file)] =
        TRY(read_own_file(etc, *Name::check(std::string(account_file_name(file))), kMostAccountBytes));
  return files;
}

std::string read_login_defs(const DirFd& etc) {
  const auto read = read_own_file(etc, "login.defs", kMostLoginDefs);
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

/// What a tenant makes of his files, against errors that are the machine's.
bool is_tenants_doing(const Error& error) {
  return error.code == EFBIG || error.code == EXDEV || error.code == ELOOP || error.code == ENOENT ||
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
  if (!has_any || (base != nullptr && base->texts() == theirs)) return {};
  accounts_stay_ = true;
  if (gate_ == Gate::share_only || are_accounts_frozen()) return {};

  const DirFd etc = TRY(open_dirs_if_there(root, "etc"));
  auto own = etc.open() ? read_own_accounts(etc) : Result<OwnAccountFiles>();
  if (!own && is_tenants_doing(own.error())) {
    skip_for_accounts(kAccounts, own.error().line());
    return {};
  }
  own_accounts_ = TRY(std::move(own));
  for (const auto& file : own_accounts_) {
    if (file) plan_.bytes_read += file->bytes.size();
    // One that was the skel's for all: it is no file of static's.
    if (file && view_.is_skel_inode(file->stat.inode) && file->stat.device == view_.device()) return {};
  }
  auto mine = Accounts::parse(texts_of(own_accounts_), "/");
  if (!mine) {
    skip_for_accounts(kAccounts, mine.error().line());
    return {};
  }
  const std::string login_defs = etc.open() ? read_login_defs(etc) : std::string();
  auto followed = follow_accounts({base, *skels, login_defs, record_.ids}, std::move(*mine));
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
  plan_.ids = followed->ids;
  if (!plan_.ids.empty()) TRY(view_.read_acls());
  owners_.theirs = NodeOwners(view_, std::move(followed->ids));
  for (const AccountFile file : kAllAccountFiles)
    if (const auto& bytes = next[static_cast<std::size_t>(file)]; bytes) plan_account_file(file, *bytes);
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
