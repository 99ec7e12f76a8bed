// Which packages own what: the lists of files in var/lib/dpkg/info.
//
// Lists are given one by one and kept as one block of text, sorted once; a desktop's half a million paths take some
// 40 MiB. Diversions are not considered: a path belongs to every package that lists it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sys/error.h"

namespace vskel {

/// No list that is larger is read: 64 MiB, in bytes; nor lists of more than 512 MiB together.
inline constexpr std::size_t kMaxDpkgList = 64U << 20U;
inline constexpr std::size_t kMaxDpkgLists = 512U << 20U;

/// Paths and the packages that own them. Thread-safe once it is made.
class DpkgFiles {
 public:
  /// The packages that own `directory` (relative to the root: "var/lib/mysql"; "" is the root itself) or anything below
  /// it: as add() was told of them, sorted, each once.
  [[nodiscard]] std::vector<std::string> owners_below(std::string_view directory) const;
  /// The packages that own `path` itself (relative to the root), the same way. Directories have many.
  [[nodiscard]] std::vector<std::string> owners_of(std::string_view path) const;

 private:
  friend class DpkgFileLists;
  struct Entry {
    std::uint32_t begin, size;  ///< of the path, in text_
    std::uint32_t package;      ///< in packages_
  };
  using Entries = std::span<const Entry>;
  [[nodiscard]] std::string_view path_of(const Entry& entry) const;
  [[nodiscard]] Entries entries_of(std::string_view path) const;
  [[nodiscard]] std::vector<std::string> names_of(Entries first, Entries second) const;
  std::string text_;
  std::vector<Entry> entries_;  // sorted by path
  std::vector<std::string> packages_;
};

/// Collects lists; not thread-safe.
class DpkgFileLists {
 public:
  /// Adds the paths of one list (var/lib/dpkg/info/PACKAGE.list) for `package`, whatever the caller calls it
  /// (dpkg_label()). `source` names it in messages ("SOURCE:LINE"). An error for what dpkg does not write: a path that
  /// is not absolute, has empty, "." or ".." components or a name of more than 255 bytes, no newline at the end; for a
  /// list that is too large. The first line of a list is "/.": the root itself.
  [[nodiscard]] Result<> add(const std::string& package, std::string_view list, const std::string& source);
  /// All that was added.
  [[nodiscard]] DpkgFiles finish() &&;

 private:
  DpkgFiles files_;
};

}  // namespace vskel
