#include "engine/txn/move_once.h"

namespace vskel {

Result<> move_once(const DirFd& from_dir, Name from, const DirFd& to_dir, Name to) {
  if (!TRY(sys::stat_if_there(from_dir, from)) || TRY(sys::stat_if_there(to_dir, to))) return {};
  return sys::rename_new(from_dir, from, to_dir, to);
}

}  // namespace vskel
