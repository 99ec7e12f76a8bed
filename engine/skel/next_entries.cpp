#include "engine/skel/next_entries.h"

namespace vskel {

NextEntries::Patch& NextEntries::patch(std::size_t at) {
  return patches_.try_emplace(at, Patch{last_[at].nlink, last_[at].mtime}).first->second;
}

void NextEntries::set_nlink(std::size_t at, std::uint32_t nlink) {
  if (patches_.contains(at) || last_[at].nlink != nlink) patch(at).nlink = nlink;
}

void NextEntries::set_mtime(std::size_t at, sys::Time mtime) {
  if (patches_.contains(at) || last_[at].mtime != mtime) patch(at).mtime = mtime;
}

Result<> NextEntries::for_each(const Sink& sink) const {
  auto other = others_.begin();
  for (std::size_t at = 0; at < last_.size(); ++at) {
    if (!keeps_[at]) continue;
    for (; other != others_.end() && by_path_and_part(*other, last_[at]); ++other) TRY(sink(*other, nullptr));
    const auto patched = patches_.find(at);
    if (patched == patches_.end()) {
      TRY(sink(last_[at], &last_[at]));
      continue;
    }
    ManifestEntry entry = last_[at];
    entry.nlink = patched->second.nlink;
    entry.mtime = patched->second.mtime;
    TRY(sink(entry, &last_[at]));
  }
  for (; other != others_.end(); ++other) TRY(sink(*other, nullptr));
  return {};
}

}  // namespace vskel
