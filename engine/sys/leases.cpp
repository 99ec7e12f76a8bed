// Leases of others, which keep our opens waiting (fcntl(2), "Leases"): any tenant may take one on a file that he
// shares.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <mutex>
#include <thread>

#include "engine/sys/call.h"
#include "engine/sys/kernel.h"
#include "engine/sys/processes.h"
#include "engine/sys/stopping.h"

namespace vskel::sys {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kAndALittle = std::chrono::seconds(2);
constexpr auto kShortestPoll = std::chrono::milliseconds(1), kLongestPoll = std::chrono::milliseconds(50);

std::chrono::seconds break_time() {
  constexpr int kUsual = 45;
  const Fd file(::open("/proc/sys/fs/lease-break-time", O_RDONLY | O_CLOEXEC));
  std::array<char, 16> text{};
  const ssize_t size = file.open() ? ::read(file.number(), text.data(), text.size()) : 0;
  int seconds = kUsual;
  if (size > 0) std::from_chars(text.data(), text.data() + size, seconds);
  return std::chrono::seconds(seconds);
}

/// How long this process will go on waiting. What several threads wait at a time counts once.
class Patience {
 public:
  void begin() {
    const std::scoped_lock lock(mutex_);
    if (waiting_++ == 0) since_ = Clock::now();
  }
  void end() {
    const std::scoped_lock lock(mutex_);
    if (--waiting_ == 0) spent_ += Clock::now() - since_;
  }
  /// While the caller waits.
  [[nodiscard]] bool is_over() {
    const std::scoped_lock lock(mutex_);
    return spent_ + (Clock::now() - since_) > most_;
  }

 private:
  std::mutex mutex_;
  const Clock::duration most_ = break_time() + kAndALittle;
  Clock::duration spent_{};
  Clock::time_point since_;
  unsigned waiting_ = 0;
};

std::string holder_on(const Fd& dir, const char* name) {
  const Fd file(::openat(dir.number(), name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  const auto holder = file.open() ? lease_holder(file) : std::nullopt;
  if (!holder || !*holder) return "a process that is not seen from here";
  return "process " + words_for(**holder);
}

}  // namespace

Result<int> detail::open_past_lease(const Fd& dir, const char* name, const std::function<Result<int>()>& again) {
  static Patience patience;
  patience.begin();
  Result<int> opened = again();
  for (auto poll = kShortestPoll; !opened && opened.error().code == EAGAIN && !patience.is_over() && may_go_on();
       poll = std::min(2 * poll, kLongestPoll)) {
    std::this_thread::sleep_for(poll);
    opened = again();
  }
  patience.end();
  if (opened || opened.error().code != EAGAIN) return opened;
  TRY(may_go_on());
  // No errno: callers take EAGAIN for a tenant's file that is in use, and pass over it.
  opened.error().code = 0;
  opened.error().reason = holder_on(dir, name) + " holds a lease on it and does not let go; end that process first";
  return opened;
}

}  // namespace vskel::sys
