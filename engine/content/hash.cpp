#include "engine/content/hash.h"

#include <nettle/sha2.h>
#include <xxhash.h>

#include <cstring>
#include <limits>
#include <memory>

namespace vskel {

namespace {

constexpr std::size_t kPiece =
    256 * 1024;  // stays in the second-level cache, so that both hashes read it once from memory

Hash128 canonical(XXH128_hash_t hash) {
  XXH128_canonical_t form{};
  XXH128_canonicalFromHash(&form, hash);
  Hash128 out{};
  std::memcpy(out.data(), form.digest, out.size());
  return out;
}

class Hasher {
 public:
  explicit Hasher(WithSha256 with_sha256) : with_sha256_(with_sha256), state_(XXH3_createState(), XXH3_freeState) {
    if (state_ == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(state_.get());
    sha256_init(&sha_);
  }

  void add(const void* data, std::size_t size) {
    XXH3_128bits_update(state_.get(), data, size);
    if (with_sha256_ == WithSha256::yes) sha256_update(&sha_, size, static_cast<const std::uint8_t*>(data));
  }

  ContentHash finish() {
    ContentHash out{canonical(XXH3_128bits_digest(state_.get())), std::nullopt};
    if (with_sha256_ == WithSha256::no) return out;
    out.sha256.emplace();
    sha256_digest(&sha_, out.sha256->size(), out.sha256->data());
    return out;
  }

 private:
  WithSha256 with_sha256_;
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
  sha256_ctx sha_{};
};

}  // namespace

ContentHash hash_bytes(std::span<const std::byte> content, WithSha256 with_sha256) {
  ContentHash out{canonical(XXH3_128bits(content.data(), content.size())), std::nullopt};
  if (with_sha256 == WithSha256::no) return out;
  sha256_ctx sha{};
  sha256_init(&sha);
  sha256_update(&sha, content.size(), reinterpret_cast<const std::uint8_t*>(content.data()));
  out.sha256.emplace();
  sha256_digest(&sha, out.sha256->size(), out.sha256->data());
  return out;
}

Result<ContentHash> hash_file(const Fd& file, WithSha256 with_sha256) {
  return hash_file(file, with_sha256, std::numeric_limits<std::uint64_t>::max());
}

Result<ContentHash> hash_file(const Fd& file, WithSha256 with_sha256, std::uint64_t end) {
  Hasher hasher(with_sha256);
  thread_local const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kPiece);
  for (std::uint64_t offset = 0;;) {
    const std::size_t got = TRY(sys::read_at(file, {buffer.get(), kPiece}, offset, end));
    hasher.add(buffer.get(), got);
    offset += got;
    if (got < kPiece) return hasher.finish();
  }
}

std::optional<Hash128> hash_xattrs(const std::vector<sys::Xattr>& xattrs) {
  if (xattrs.empty()) return std::nullopt;
  Hasher hasher(WithSha256::no);
  const auto add = [&](const std::string& text) {
    const std::uint64_t size = text.size();
    hasher.add(&size, sizeof size);
    hasher.add(text.data(), text.size());
  };
  for (const sys::Xattr& xattr : xattrs) {
    add(xattr.name);
    add(xattr.value);
  }
  return hasher.finish().xxh128;
}

namespace {

std::string hex(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : bytes) {
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

}  // namespace

std::string hex_of(const Sha256& digest) { return hex(digest); }
std::string hex_of(const Hash128& digest) { return hex(digest); }

}  // namespace vskel
