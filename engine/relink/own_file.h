// A file of the vserver's that is read as a text, and takes its place with another: lists that are merged entry by
// entry, in no file of the skel's.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/relink/step.h"

namespace vskel {

struct OwnFile {
  std::string bytes;
  sys::Stat stat;  ///< from before the bytes: what is written meanwhile is found when the file is to be replaced
  std::vector<sys::Xattr> xattrs;
};

/// nullopt where no regular file stands. EFBIG: it is larger than `limit`, in bytes.
[[nodiscard]] Result<std::optional<OwnFile>> read_own_file(const DirFd& dir, Name name, std::size_t limit);
/// Puts `bytes` in its place, which is `path`: with its owner, mode and attributes, and the time of now.
[[nodiscard]] Step rewrite(const OwnFile& own, std::string path, std::string bytes);
/// Puts them where nothing stands: root's, for all to read, with the time of now.
[[nodiscard]] Step new_file(std::string path, std::string bytes);
/// Puts a symbolic link that leads to `target` in the place of `mine`, which is one, or, nullptr, where nothing stands.
[[nodiscard]] Step new_link(const sys::Stat* mine, std::string path, std::string target);

}  // namespace vskel
