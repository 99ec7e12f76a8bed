#include "engine/content/compare.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

namespace vskel {

namespace {

constexpr std::size_t kFirstPiece = 32 * 1024, kReadPiece = 256 * 1024;

struct Buffers {
  std::array<std::byte, kReadPiece> a, b;
};

}  // namespace

Result<Comparison> compare_content(const Fd& a, const Fd& b) {
  const std::uint64_t size = TRY(sys::stat(a)).size;
  if (TRY(sys::stat(b)).size != size) return Comparison{};
  return compare_content(a, b, size);
}

Result<Comparison> compare_content(const Fd& a, const Fd& b, std::uint64_t size) {
  Comparison comparison;
  thread_local const auto buffers = std::make_unique<Buffers>();
  std::uint64_t at = 0;
  // The first piece is a small one: files that differ mostly do so at their beginning.
  for (std::size_t piece = kFirstPiece; at <= size; piece = kReadPiece) {
    // One byte more than there should be: a file that has grown differs.
    const std::size_t wanted = std::min<std::uint64_t>(piece, size - at + 1);
    const std::size_t expected = std::min<std::uint64_t>(piece, size - at);
    const std::size_t of_a = TRY(sys::read_at(a, std::span(buffers->a).first(wanted), at, size));
    const std::size_t of_b = TRY(sys::read_at(b, std::span(buffers->b).first(wanted), at, size));
    comparison.bytes_read += of_b;
    if (of_a != expected || of_b != expected) return comparison;
    if (std::memcmp(buffers->a.data(), buffers->b.data(), expected) != 0) return comparison;
    at += expected;
    if (expected < piece) break;
  }
  comparison.same = true;
  return comparison;
}

}  // namespace vskel
