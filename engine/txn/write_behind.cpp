#include "engine/txn/write_behind.h"

#include <algorithm>
#include <chrono>

namespace vskel {

namespace {

using std::chrono::milliseconds;

/// A work of a tenth of a second gains from it already; one of minutes is not to write the same blocks of the journal
/// over and over: the pauses double.
constexpr milliseconds kFirstPause{50}, kLongestPause{800};

}  // namespace

WriteBehind::WriteBehind(const DirFd& dir) {
  auto own = sys::reopen(dir);
  if (!own) return;
  dir_ = std::move(*own);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void WriteBehind::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  for (milliseconds pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    if (wake_.wait_for(lock, stop, pause, [&stop] { return stop.stop_requested(); })) return;
    sys::write_back_file_system(dir_);
  }
}

}  // namespace vskel
