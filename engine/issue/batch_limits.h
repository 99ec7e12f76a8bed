// How large a batch of copies gets before it is issued: bounds of memory and descriptors for whoever plans one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vskel {

/// Files up to this size are read into memory once and written from there; larger ones are copied by the kernel. Bytes.
inline constexpr std::uint64_t kSmallFile = 128 * 1024;
/// Bytes of small files that one batch holds.
inline constexpr std::size_t kBatchBytes = 4 << 20;
/// Large files that one batch holds open.
inline constexpr std::size_t kBatchOpenFiles = 16;

}  // namespace vskel
