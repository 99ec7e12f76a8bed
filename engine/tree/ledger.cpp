#include "engine/tree/ledger.h"

#include <cerrno>

namespace vskel {

Result<bool> stops_writers(const Fd& any) { return TRY(sys::file_system(any)).type == "ext4"; }

Result<> prove_closed(const DirFd& dir, Name name, const Fd& file) {
  auto lease = sys::take_read_lease(file);
  if (!lease && lease.error().code == EINVAL) return {};  // a file system without leases
  if (TRY(std::move(lease))) return {};
  return fail(std::string(kLedgerOperation), sys::path_of(dir) + "/" + std::string(name.view()),
              "somebody has opened this shared file for writing while its seal was lifted, and has it open; stop all "
              "vservers, and see what vskel verify says of it");
}

Result<> LedgerEntry::check(const DirFd& dir, Name name, const sys::Stat& now) const {
  std::string what;
  const auto note = [&what](bool same, const char* word) {
    if (!same) what += (what.empty() ? "" : ", ") + std::string(word);
  };
  note(now.mode == mode_, "mode");
  note(now.uid == uid_ && now.gid == gid_, "owner");
  note(now.size == size_, "size");
  note(now.mtime == mtime_, "time");
  if (what.empty()) return {};
  return fail(std::string(kLedgerOperation), sys::path_of(dir) + "/" + std::string(name.view()),
              "somebody has changed this shared file while its seal was lifted (" + what +
                  "); stop all vservers, and see what vskel verify says of it");
}

Result<> LedgerEntry::put_back(const DirFd& dir, Name name) const {
  // A change of owner takes bits from the mode.
  TRY(sys::set_owner(dir, name, uid_, gid_));
  return sys::set_mode(dir, name, mode_);
}

}  // namespace vskel
