#include "engine/skel/unfinished_packages.h"

#include <algorithm>
#include <cerrno>

#include "engine/packages/dpkg_status.h"
#include "engine/tree/listing.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

constexpr const char* kDpkgDatabase = "var/lib/dpkg";

/// "libc6:amd64 (unpacked, reinstreq)".
std::string told(const DpkgPackage& package) {
  std::string out = dpkg_label(package) + " (" + std::string(state_word(package.state));
  if (package.flag != DpkgFlag::ok) out.append(", ").append(flag_word(package.flag));
  return out + ")";
}

/// nullopt if there is none.
Result<std::optional<std::string>> read_status(const DirFd& database) {
  const auto stat = TRY(sys::stat_if_there(database, "status"));
  if (!stat || stat->type != sys::FileType::regular) return std::nullopt;
  return TRY(sys::read_whole(TRY(sys::open_file(database, "status")), kMaxDpkgStatus));
}

/// dpkg numbers what it has still to write to status; "tmp.i" is one that it had not finished writing, and never reads.
Result<bool> has_updates(const DirFd& database) {
  const DirFd updates = TRY(open_dirs_if_there(database, "updates"));
  if (!updates.open()) return false;
  const Listing listing = TRY(Listing::read(updates));
  return std::ranges::any_of(listing.entries(), [](const Listed& listed) {
    return std::ranges::all_of(listed.name.view(), [](char c) { return c >= '0' && c <= '9'; });
  });
}

}  // namespace

Result<UnfinishedPackages> unfinished_packages(const DirFd& root) {
  UnfinishedPackages out;
  const DirFd database = TRY(open_dirs_if_there(root, kDpkgDatabase));
  if (!database.open()) return out;
  out.interrupted = TRY(has_updates(database));
  const auto text = read_status(database);
  if (!text && text.error().code != EFBIG) return std::unexpected(text.error());
  if (!text) {
    out.unknown = text.error().line();
    return out;
  }
  if (!*text) return out;
  const auto packages = parse_dpkg_status(**text, "/" + std::string(kDpkgDatabase) + "/status");
  if (!packages) {
    out.unknown = packages.error().line();
    return out;
  }
  for (const DpkgPackage& package : *packages)
    if (!is_settled(package)) out.packages.push_back(told(package));
  return out;
}

}  // namespace vskel
