// One loop over many equal things, in tasks.
#pragma once

#include <algorithm>
#include <mutex>
#include <optional>
#include <span>
#include <utility>

#include "engine/sys/error.h"
#include "engine/tree/task_group.h"

namespace vskel {

/// Calls `work`, which gives Result<>, for pieces of `all` of at most `most` items, each in a task of the caller's
/// arena: for all of them, whatever one gives. The first error is told when all have ended.
template <class Item, class Work>
[[nodiscard]] Result<> for_pieces(std::span<Item> all, std::size_t most, Work work) {
  std::mutex mutex;
  std::optional<Error> error;
  TaskGroup tasks;
  const auto perform = [&](std::span<Item> piece) {
    auto done = work(piece);
    if (done) return;
    const std::scoped_lock lock(mutex);
    if (!error) error = std::move(done).error();
  };
  tasks.run_and_wait([&] {
    for (std::size_t at = 0; at < all.size(); at += most)
      tasks.run([&perform, piece = all.subspan(at, std::min(most, all.size() - at))] { perform(piece); });
  });
  if (error) return std::unexpected(std::move(*error));
  return {};
}

}  // namespace vskel
