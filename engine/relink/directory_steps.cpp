#include "engine/relink/directory_steps.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/tree/listing.h"
#include "engine/tree/metadata.h"
#include "engine/tree/relative_path.h"

namespace vskel {

Result<bool> carry_out_metadata(const StagedStep& step, const DirFd& dir, Name name, const DirFd& slots) {
  const DirFd target = TRY(sys::open_dir(dir, name));
  const DirFd carrier = TRY(sys::open_dir(slots, *Name::check(step.slot)));
  if (!is_still(step.mine, TRY(sys::stat(target)))) return false;
  const auto wanted = TRY(sys::xattrs(carrier));
  for (const sys::Xattr& xattr : TRY(sys::xattrs(target)))
    if (std::ranges::find(wanted, xattr.name, &sys::Xattr::name) == wanted.end())
      TRY(sys::remove_xattr(target, xattr.name));
  TRY(apply_metadata(target, metadata_of(TRY(sys::stat(carrier)), wanted), Fresh::no));
  return true;
}

Result<> carry_out_times(const StagedStep& step, const DirFd& dir, Name name) {
  DirFd target = TRY(sys::open_dir(dir, name));
  const sys::Stat stat = TRY(sys::stat(target));
  std::vector<std::string> names;
  const Listing listing = TRY(Listing::read(target));
  for (const Listed& listed : listing.entries()) names.emplace_back(listed.name.view());
  if (digest_of_names(std::move(names)) != step.sha256) return {};
  return sys::set_times(target, stat.atime, step.mine.mtime);
}

Result<> carry_out_renewal(const DirFd& root, const DirFd& dir, Name name) {
  const DirFd target = TRY(sys::open_dir(dir, name));
  const sys::Stat stat = TRY(sys::stat(target));
  sys::Time time = stat.mtime;
  for (const std::string_view directory : {"etc", "var"}) {
    const auto holder = sys::open_dirs(root, directory);
    if (!holder && leads_nowhere(holder.error())) continue;
    if (!holder) return std::unexpected(holder.error());
    const auto updated = TRY(sys::stat_if_there(*holder, ".updated"));
    if (!updated || time > updated->mtime) continue;
    time = std::max(sys::inode_clock(), sys::Time{updated->mtime.seconds + 1, 0});
  }
  return time == stat.mtime ? Result<>{} : sys::set_times(target, stat.atime, time);
}

Result<> carry_out_removal(const DirFd& dir, Name name) {
  auto removed = sys::remove_dir(dir, name);
  if (!removed && removed.error().code == ENOENT) return {};
  return removed;
}

}  // namespace vskel
