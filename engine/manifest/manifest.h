// A generation of a skel, written as mtree(5) that `mtree` and `bsdtar` read without complaint (cli.md, "Layout on
// disk").
//
// One line an entry, full path form: `./usr/bin/tar type=file mode=0755 uid=0 gid=0 size=.. time=SECONDS.NANOSECONDS
// nlink=.. tags=xxh128:..,part:global`. Paths are vis(3)-encoded (\ooo octal) so that any byte string without NUL and
// '/' in a component is a name. Pure text in, values out.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/model/part.h"
#include "engine/sys/error.h"
#include "engine/sys/kernel.h"

namespace vskel {

using Hash128 = std::array<std::uint8_t, 16>;  ///< canonical (big endian) bytes
using Sha256 = std::array<std::uint8_t, 32>;

/// One path of one part. A skel may have a million: what few of them have is kept apart.
class ManifestEntry {
 public:
  std::string path;        ///< relative to the part's root, no leading "./"; "" is the root
  std::uint64_t size = 0;  ///< regular files
  sys::Time mtime;
  std::uint32_t mode = 0, uid = 0, gid = 0;
  std::uint32_t nlink = 1;  ///< names of this inode within its part of the skel; 1 for directories
  sys::FileType type = sys::FileType::unknown;
  Part part = Part::local_part;
  std::optional<Hash128> content;  ///< regular files: XXH3-128

  [[nodiscard]] const std::string& link_target() const { return rare().link_target; }  ///< symlinks
  [[nodiscard]] std::uint64_t rdev() const { return rare().rdev; }                     ///< devices: makedev(3)
  [[nodiscard]] const std::optional<Sha256>& sha256() const { return rare().sha256; }  ///< files of the local part
  /// XXH3-128 over all extended attributes; absent if there are none.
  [[nodiscard]] const std::optional<Hash128>& xattrs() const { return rare().xattrs; }
  void set_link_target(std::string target) { set(&Rare::link_target, std::move(target)); }
  void set_rdev(std::uint64_t rdev) { set(&Rare::rdev, rdev); }
  void set_sha256(const std::optional<Sha256>& sha256) { set(&Rare::sha256, sha256); }
  void set_xattrs(const std::optional<Hash128>& xattrs) { set(&Rare::xattrs, xattrs); }

  ManifestEntry() = default;
  ManifestEntry(ManifestEntry&&) noexcept = default;
  ManifestEntry& operator=(ManifestEntry&&) noexcept = default;
  ManifestEntry(const ManifestEntry& other);
  ManifestEntry& operator=(const ManifestEntry& other);
  ~ManifestEntry() = default;
  friend bool operator==(const ManifestEntry& a, const ManifestEntry& b);

 private:
  struct Rare {
    std::string link_target;
    std::uint64_t rdev = 0;
    std::optional<Sha256> sha256;
    std::optional<Hash128> xattrs;
    friend bool operator==(const Rare&, const Rare&) = default;
  };
  [[nodiscard]] const Rare& rare() const {
    static const Rare nothing;
    return rare_ ? *rare_ : nothing;
  }
  template <class Value>
  void set(Value Rare::*member, Value value) {
    if (rare().*member == value) return;
    if (!rare_) rare_ = std::make_unique<Rare>();
    (*rare_).*member = std::move(value);
  }
  std::unique_ptr<Rare> rare_;
};

/// A deque: to grow, a vector of a million entries would for a moment be there twice.
using ManifestEntries = std::deque<ManifestEntry>;

/// Two modification times are one: to the nanosecond, or to the second where one of them has no more (archives, file
/// systems).
[[nodiscard]] bool same_time(sys::Time a, sys::Time b);
/// Equal but for links, and for the times of what is neither a regular file nor a symlink. Of a regular file's content
/// and of extended attributes only the hashes are compared, which find and do not prove (relink.md).
[[nodiscard]] bool look_the_same(const ManifestEntry& a, const ManifestEntry& b);
/// The order of a manifest's entries.
[[nodiscard]] bool by_path_and_part(const ManifestEntry& a, const ManifestEntry& b);

struct Manifest {
  unsigned generation = 0;
  ManifestEntries entries;  ///< sorted by path, then part
};

/// Takes a manifest's text piece by piece.
using ManifestSink = std::function<Result<void>(std::string_view piece)>;
/// Gives the text of a manifest to a sink, a MiB or so at a time. A path that stands in several parts (directories)
/// gives one mtree entry: the first of static, local, global describes it and tags name all parts
/// (`part:local,part:global`), because mtree(5) programs want a path once; a reader gives them back as separate
/// entries.
class ManifestWriter {
 public:
  ManifestWriter(unsigned generation, ManifestSink sink);
  /// The next entry; they are sorted by path, then part. Ends with the sink's error, or with one of its own where
  /// several parts have what is no directory.
  [[nodiscard]] Result<> add(const ManifestEntry& entry);
  /// After the last.
  [[nodiscard]] Result<> finish();

 private:
  ManifestSink sink_;
  std::string out_;
  std::optional<ManifestEntry> last_;  ///< not yet in out_: the next may be of the same path
  std::string further_parts_;          ///< of last_, as tags
};
/// The same for entries that are all at hand.
[[nodiscard]] Result<> write_manifest(const Manifest& manifest, const ManifestSink& sink);
/// The first entry of `path` in sorted entries; the end if there is none. Further parts of a directory follow it.
[[nodiscard]] ManifestEntries::const_iterator find_path(const ManifestEntries& entries, std::string_view path);

/// The text of a manifest in one.
[[nodiscard]] std::string write_manifest(const Manifest& manifest);
/// Reads what write_manifest wrote, and mtree files edited by hand within reason (/set and /unset lines, other keyword
/// orders, unknown keywords and tags skipped). Anything malformed, oversized, absolute, with "..", doubled or out of
/// order is refused with "SOURCE:LINE" (Blame::machine). Static's alone is a file that earlier versions gave to static
/// and one more part.
[[nodiscard]] Result<Manifest> read_manifest(std::string_view text, const std::string& source);

/// Takes a manifest's entries, in their order.
using EntrySink = std::function<Result<void>(ManifestEntry entry)>;

/// The same for a text that comes in pieces, and entry by entry.
class ManifestReader {
 public:
  ManifestReader(std::string source, EntrySink sink);
  ManifestReader(const ManifestReader&) = delete;
  ManifestReader& operator=(const ManifestReader&) = delete;
  ~ManifestReader();
  /// The next piece; lines may be torn anywhere. After an error, the sink's too, the reader is of no use.
  [[nodiscard]] Result<> add(std::string_view piece);
  /// After the last piece. Gives the generation that the text names; 0: none.
  [[nodiscard]] Result<unsigned> finish();

 private:
  struct Line;
  struct State;
  std::unique_ptr<State> state_;
};

/// vis(3)-like encoding of one path and back. nullopt on a bad escape.
[[nodiscard]] std::string encode_path(std::string_view path);
[[nodiscard]] std::optional<std::string> decode_path(std::string_view text);

}  // namespace vskel
