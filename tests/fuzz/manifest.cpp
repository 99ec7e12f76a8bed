#include <algorithm>
#include <optional>

#include "engine/manifest/manifest.h"
#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

namespace {

/// What a line of the entry's type says of it; hand-written lines may say more, which nobody keeps.
ManifestEntry as_written(const ManifestEntry& entry) {
  ManifestEntry out = entry;
  const bool regular = entry.type == sys::FileType::regular;
  const bool device = entry.type == sys::FileType::character || entry.type == sys::FileType::block;
  if (!regular) out.size = 0;
  if (entry.type == sys::FileType::directory) out.nlink = 1;
  if (entry.type != sys::FileType::symlink) out.set_link_target({});
  if (!device) out.set_rdev(0);
  return out;
}

/// The same text, torn into pieces of which no two are of one size.
std::optional<Manifest> read_torn(std::string_view text) {
  Manifest out;
  ManifestReader reader("m", [&](ManifestEntry entry) -> Result<> {
    out.entries.push_back(std::move(entry));
    return {};
  });
  for (std::size_t size = 1; !text.empty(); size = size * 2 + 1) {
    if (!reader.add(text.substr(0, size))) return std::nullopt;
    text.remove_prefix(std::min(size, text.size()));
  }
  const auto generation = reader.finish();
  if (!generation) return std::nullopt;
  out.generation = *generation;
  return out;
}

void check_entries(const ManifestEntries& entries) {
  for (std::size_t at = 0; at < entries.size(); ++at) {
    const ManifestEntry& entry = entries[at];
    must(entry.path.empty() || is_safe_path(entry.path), "an entry's path leads nowhere else");
    must(entry.type != sys::FileType::unknown, "an entry has a type");
    must(entry.mode <= 07777, "a mode is permission bits");
    must(entry.mtime.nanoseconds < 1'000'000'000, "a second has no more nanoseconds");
    must(entry.link_target().find('\0') == std::string::npos, "a link target has no NUL");
    must(at == 0 || by_path_and_part(entries[at - 1], entry), "entries are sorted, each once");
    must(find_path(entries, entry.path) != entries.end(), "an entry is found by its path");
  }
}

}  // namespace

void manifest(std::string_view bytes) {
  const auto first = read_manifest(bytes, "m");
  const auto torn = read_torn(bytes);
  must(first.has_value() == torn.has_value(), "a torn text reads as a whole one");
  if (!first) {
    must(first.error().path.starts_with("m:"), "an error names its line");
    return;
  }
  must(first->generation == torn->generation && std::ranges::equal(first->entries, torn->entries),
       "a torn text reads as a whole one");
  check_entries(first->entries);
  const std::string text = write_manifest(*first);
  const auto second = read_manifest(text, "m");
  must(second.has_value(), "what was written can be read");
  must(write_manifest(*second) == text, "what was read is written as it was");
  must(second->generation == first->generation && second->entries.size() == first->entries.size(), "nothing is lost");
  for (std::size_t at = 0; at < first->entries.size(); ++at) {
    const ManifestEntry &before = first->entries[at], &after = second->entries[at];
    must(before.path == after.path && before.part == after.part && before.type == after.type, "names and parts stay");
    // Of a path in several parts the last describes all.
    const bool alone = (at == 0 || first->entries[at - 1].path != before.path) &&
                       (at + 1 == first->entries.size() || first->entries[at + 1].path != before.path);
    must(!alone || as_written(before) == after, "an entry comes back as it was");
  }
}

}  // namespace vskel::test::fuzz
