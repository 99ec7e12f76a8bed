// A tar archive (plain, gzip, xz, zstd; libarchive) laid out as a tree below a directory of ours, safely: absolute
// names and ".." are refused, links never leave the tree, nothing is followed, sizes are bounded by what the archive
// itself states, sockets are left out with a note.
#pragma once

#include <string>
#include <vector>

#include "engine/model/options.h"
#include "engine/sys/error.h"
#include "engine/sys/fd.h"

namespace vskel {

struct UnpackReport {
  std::size_t entries = 0;
  std::vector<std::string> notes;     ///< one line each: what was left out and why
  std::vector<std::string> warnings;  ///< the same of metadata: a file that is there is not quite as in the archive
};

/// Unpacks the archive that `input` reads (a file or a pipe; `source` names it in messages) into `target`, an empty
/// directory, with all metadata: mode, owner (numeric), times (ns), xattrs, ACLs, capabilities, hard links, sparse
/// files, devices, FIFOs. Directory metadata is applied last. A wrong archive (malformed, absolute name, "..", a path
/// through a symlink, a doubled file, a hard link to nothing) is an error that names the entry; the caller throws
/// `target` away. `progress` may be null; each entry that is no directory is counted as one done of two, the second
/// being what the caller does with it, and the total is reckoned from the bytes read so far where `input` is a file.
[[nodiscard]] Result<UnpackReport> unpack_archive(const Fd& input, const std::string& source, const DirFd& target,
                                                  Progress* progress = nullptr);

}  // namespace vskel
