// Whether a copy of many files is to be made by clones.
#pragma once

#include <atomic>
#include <cerrno>

#include "engine/sys/kernel.h"

namespace vskel {

/// The answer of the kernel for one pair of file systems, tried out with the first file, into a file without a name.
/// A clone writes no data: where there are clones, they are the faster copies of the smallest file, too. Thread-safe.
class Cloning {
 public:
  /// `source` is a regular file that is not empty, `target` a directory of where the copies go.
  [[nodiscard]] Result<bool> works(const Fd& source, const DirFd& target) {
    const Answer known = answer_.load(std::memory_order_relaxed);
    if (known != Answer::unknown) return known == Answer::yes;
    const Fd scratch = TRY(sys::create_unnamed_file(target, 0600));
    const auto cloned = sys::clone(source, scratch);
    // EINVAL is of this one file (btrfs: without copy-on-write): the next may be another matter.
    if (cloned || cloned.error().code != EINVAL)
      answer_.store(cloned ? Answer::yes : Answer::no, std::memory_order_relaxed);
    return cloned.has_value();
  }

 private:
  enum class Answer : unsigned char { unknown, yes, no };
  std::atomic<Answer> answer_{Answer::unknown};
};

}  // namespace vskel
