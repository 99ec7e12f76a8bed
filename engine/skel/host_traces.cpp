#include "engine/skel/host_traces.h"

#include <algorithm>
#include <mutex>

#include "engine/skel/suspects.h"
#include "engine/tree/for_pieces.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

constexpr std::size_t kMostText = 256 << 10, kMostTold = 20, kFilesPerTask = 32;

Result<bool> holds(const DirFd& tree, const ManifestEntry& entry, const std::string& label) {
  const DirFd dir = TRY(sys::open_dirs(tree, parent_path(entry.path)));
  const Fd file = TRY(sys::open_trusted_file(dir, last_name(entry.path)));
  return names_host(TRY(sys::read_whole(file, kMostText)), label);
}

}  // namespace

Result<std::string> own_host_label() {
  constexpr std::size_t kMostName = 4096;
  return own_label(TRY(sys::read_whole(TRY(sys::open_input("/proc/sys/kernel/hostname")), kMostName)));
}

Result<> look_for_host(const DirFd& tree, Part part, const ManifestEntries& entries, const std::string& label,
                       std::vector<std::string>& look_at) {
  if (label.empty()) return {};
  std::vector<const ManifestEntry*> files;
  for (const ManifestEntry& entry : entries)
    if (entry.part == part && entry.type == sys::FileType::regular && entry.path.starts_with("etc/") &&
        entry.size > 0 && entry.size <= kMostText)
      files.push_back(&entry);
  std::mutex mutex;
  std::vector<std::string> found;
  TRY(for_pieces(std::span(files), kFilesPerTask, [&](std::span<const ManifestEntry*> piece) -> Result<> {
    for (const ManifestEntry* const entry : piece) {
      if (!TRY(holds(tree, *entry, label))) continue;
      const std::scoped_lock lock(mutex);
      found.push_back(entry->path);
    }
    return {};
  }));
  std::ranges::sort(found);
  for (std::size_t at = 0; at < std::min(found.size(), kMostTold); ++at)
    look_at.push_back("/" + found[at] + ": the host's name " + label);
  if (found.size() > kMostTold)
    look_at.push_back("/etc: the host's name " + label + " in " + std::to_string(found.size() - kMostTold) +
                      " more files");
  return {};
}

}  // namespace vskel
