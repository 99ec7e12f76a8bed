// Making a long piece of work durable while it goes on: the syncfs(2) that it must end with then finds little left to
// write, and the disk has worked in the time that the CPUs were linking.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "engine/sys/kernel.h"

namespace vskel {

/// While it lives, a thread has the file system of `dir` written out now and again. Promises nothing: what must be
/// durable is synced by whoever needs it, through his own descriptor, which tells him of any error met here too
/// (syncfs(2): each open file description reports an error once).
class WriteBehind {
 public:
  /// Without a second descriptor of `dir` it does nothing.
  explicit WriteBehind(const DirFd& dir);
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;
  /// Waits for the write-out that is going on; the sync that follows would do so too.
  ~WriteBehind() = default;

 private:
  void run(const std::stop_token& stop);
  DirFd dir_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace vskel
