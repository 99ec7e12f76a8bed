// Content hashes. XXH3-128 finds equal content and never proves it (relink.md); SHA-256 stands for a file of which no
// copy is kept.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "engine/manifest/manifest.h"

namespace vskel {

enum class WithSha256 { no, yes };

struct ContentHash {
  Hash128 xxh128{};
  std::optional<Sha256> sha256;
};

[[nodiscard]] ContentHash hash_bytes(std::span<const std::byte> content, WithSha256 with_sha256);
/// Reads the whole file (holes as zeros), from offset 0, in pieces of 256 KiB.
[[nodiscard]] Result<ContentHash> hash_file(const Fd& file, WithSha256 with_sha256);
/// The same of a file that is expected to end at `end`, and is not asked again whether it does.
[[nodiscard]] Result<ContentHash> hash_file(const Fd& file, WithSha256 with_sha256, std::uint64_t end);
/// Over names and values, each with its length; nullopt for none.
[[nodiscard]] std::optional<Hash128> hash_xattrs(const std::vector<sys::Xattr>& xattrs);

/// Lower case hexadecimal digits.
[[nodiscard]] std::string hex_of(const Sha256& digest);
[[nodiscard]] std::string hex_of(const Hash128& digest);

}  // namespace vskel
