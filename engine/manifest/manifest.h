// A generation of a skel, written as mtree(5) that `mtree` and `bsdtar` read without complaint (cli.md, "Layout on
// disk").
//
// One line an entry, full path form: `./usr/bin/tar type=file mode=0755 uid=0 gid=0 size=.. time=SECONDS.NANOSECONDS
// nlink=.. tags=xxh128:..,part:global`. Paths are vis(3)-encoded (\ooo octal) so that any byte string without NUL and
// '/' in a component is a name. Pure text in, values out.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/part.h"
#include "engine/sys/error.h"
#include "engine/sys/kernel.h"

namespace vskel {

using Hash128 = std::array<std::uint8_t, 16>;  ///< canonical (big endian) bytes
using Sha256 = std::array<std::uint8_t, 32>;

/// One path of one part.
struct ManifestEntry {
  std::string path;  ///< relative to the part's root, no leading "./"; "" is the root
  Part part = Part::local_part;
  sys::FileType type = sys::FileType::unknown;
  std::uint32_t mode = 0, uid = 0, gid = 0;
  std::uint64_t size = 0;  ///< regular files
  sys::Time mtime;
  std::uint32_t nlink = 1;         ///< regular files: names of this inode within its part of the skel; 1 for all else
  std::uint64_t rdev = 0;          ///< devices: makedev(3) value
  std::string link_target;         ///< symlinks
  std::optional<Hash128> content;  ///< regular files: XXH3-128
  std::optional<Sha256> sha256;    ///< regular files of the local part
  std::optional<Hash128> xattrs;   ///< XXH3-128 over all extended attributes; absent if there are none
  friend bool operator==(const ManifestEntry&, const ManifestEntry&) = default;
};

/// Equal but for times and links. Of a regular file's content and of extended attributes only the hashes are compared,
/// which find and do not prove (relink.md).
[[nodiscard]] bool look_the_same(const ManifestEntry& a, const ManifestEntry& b);
/// The order of a manifest's entries.
[[nodiscard]] bool by_path_and_part(const ManifestEntry& a, const ManifestEntry& b);

struct Manifest {
  unsigned generation = 0;
  std::vector<ManifestEntry> entries;  ///< sorted by path, then part
};

/// The text of a manifest; the entries in the order given. A path that stands in several parts (directories) gives one
/// mtree entry: the first of static, local, global describes it and tags name all parts (`part:local,part:global`),
/// because mtree(5) programs want a path once; read_manifest gives them back as separate entries.
[[nodiscard]] std::string write_manifest(const Manifest& manifest);
/// Reads what write_manifest wrote, and mtree files edited by hand within reason (/set and /unset lines, other keyword
/// orders, unknown keywords and tags skipped). Anything malformed, oversized, absolute, with "..", doubled or out of
/// order is refused with "SOURCE:LINE" (Blame::machine).
[[nodiscard]] Result<Manifest> read_manifest(std::string_view text, const std::string& source);

/// vis(3)-like encoding of one path and back. nullopt on a bad escape.
[[nodiscard]] std::string encode_path(std::string_view path);
[[nodiscard]] std::optional<std::string> decode_path(std::string_view text);

}  // namespace vskel
