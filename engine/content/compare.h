// The proof that two files are the same: their bytes. No hash stands in for it (relink.md).
#pragma once

#include "engine/sys/kernel.h"

namespace vskel {

struct Comparison {
  bool same = false;
  std::uint64_t bytes_read = 0;  ///< of `b`
};

/// Compares two open regular files from offset 0 to their ends, in pieces of 256 KiB, to the first difference; holes
/// are zeros. Files of different sizes are not read.
[[nodiscard]] Result<Comparison> compare_content(const Fd& a, const Fd& b);
/// The same for two files that are known to have `size` bytes: if one of them has more or fewer by now, they differ.
[[nodiscard]] Result<Comparison> compare_content(const Fd& a, const Fd& b, std::uint64_t size);

}  // namespace vskel
