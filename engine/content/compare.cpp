#include "engine/content/compare.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

namespace vskel {

namespace {

constexpr std::size_t kReadPiece = 256 * 1024;

struct Buffers {
  std::array<std::byte, kReadPiece> a, b;
};

}  // namespace

Result<Comparison> compare_content(const Fd& a, const Fd& b) {
  Comparison comparison;
  if (TRY(sys::stat(a)).size != TRY(sys::stat(b)).size) return comparison;
  thread_local const auto buffers = std::make_unique<Buffers>();
  // The first piece is a small one: files that differ mostly do so at their beginning.
  for (std::size_t piece = 16 * 1024;; piece = kReadPiece) {
    const std::size_t of_a = TRY(sys::read_at(a, std::span(buffers->a).first(piece), comparison.bytes_read));
    const std::size_t of_b = TRY(sys::read_at(b, std::span(buffers->b).first(piece), comparison.bytes_read));
    comparison.bytes_read += of_b;
    if (of_a != of_b || std::memcmp(buffers->a.data(), buffers->b.data(), of_a) != 0) return comparison;
    if (of_a < piece) break;
  }
  comparison.same = true;
  return comparison;
}

}  // namespace vskel
