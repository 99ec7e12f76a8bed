#include "engine/tree/ledger.h"

#include <algorithm>
#include <cerrno>

namespace vskel {

namespace {

std::unexpected<Error> broken(const DirFd& dir, Name name, const std::string& what) {
  return fail(std::string(kLedgerOperation), sys::path_of(dir) + "/" + std::string(name.view()),
              "somebody has " + what + "; stop all vservers, and see what vskel verify says of it");
}

std::unexpected<Error> opened(const DirFd& dir, Name name) {
  return broken(dir, name, "opened this shared file for writing while its seal was lifted, or before");
}

std::unexpected<Error> changed(const DirFd& dir, Name name, const std::string& what) {
  return broken(dir, name, "changed this shared file while its seal was lifted (" + what + ")");
}

}  // namespace

Result<> prove_closed(const DirFd& dir, Name name, const Fd& file) {
  if (TRY(sys::has_no_writer(file))) return {};
  return opened(dir, name);
}

Result<> LedgerEntry::check(const DirFd& dir, Name name, const sys::Stat& now) const {
  std::string what;
  const auto note = [&what](bool same, const char* word) {
    if (!same) what += (what.empty() ? "" : ", ") + std::string(word);
  };
  note(now.mode == mode_, "mode");
  note(now.uid == uid_ && now.gid == gid_, "owner");
  note(now.size == size_, "size");
  note(now.mtime == sys::Time{seconds_, nanoseconds_}, "time");
  if (what.empty()) return {};
  return changed(dir, name, what);
}

Result<> LedgerEntry::put_back(const DirFd& dir, Name name) const {
  // A change of owner takes bits from the mode.
  TRY(sys::set_owner(dir, name, uid_, gid_));
  return sys::set_mode(dir, name, mode_);
}

LedgerWatch::LedgerWatch(Fd file, Lease lease, Xattrs xattrs) : file_(std::move(file)), lease_(lease) {
  if (!xattrs.empty()) xattrs_ = std::make_unique<const Xattrs>(std::move(xattrs));
}

Result<LedgerWatch> LedgerWatch::begin(Fd file, Older older) {
  auto taken = sys::take_read_lease(file);
  if (!taken && taken.error().code != EINVAL) return std::unexpected(std::move(taken).error());
  Lease lease = !taken ? Lease::none : *taken ? Lease::held : Lease::refused;
  if (lease == Lease::refused && older == Older::let) lease = Lease::none;
  auto found = TRY(sys::xattrs(file));
  return LedgerWatch(std::move(file), lease, std::move(found));
}

Result<> LedgerWatch::check(const DirFd& dir, Name name) const {
  if (!file_.open()) return {};
  if (lease_ == Lease::refused) return opened(dir, name);
  if (lease_ == Lease::held && !TRY(sys::holds_read_lease(file_))) return opened(dir, name);
  const Xattrs now = TRY(sys::xattrs(file_));
  if (xattrs_ ? now != *xattrs_ : !now.empty()) return changed(dir, name, "attributes");
  return {};
}

Result<> LedgerWatch::put_back() const {
  if (!file_.open()) return {};
  static const Xattrs kNone;
  const Xattrs& had = xattrs_ ? *xattrs_ : kNone;
  for (const sys::Xattr& now : TRY(sys::xattrs(file_)))
    if (std::ranges::find(had, now.name, &sys::Xattr::name) == had.end()) TRY(sys::remove_xattr(file_, now.name));
  for (const sys::Xattr& before : had) TRY(sys::set_xattr(file_, before));
  return {};
}

}  // namespace vskel
