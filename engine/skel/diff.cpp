// Manifests tell what differs. That two files of different generations are the same they only make likely (relink.md):
// where the hashes agree and a file was replaced in between, the bytes of both decide.

#include "engine/skel/diff.h"

#include <algorithm>

#include "engine/content/compare.h"
#include "engine/skel/kept_files.h"
#include "engine/skel/skel.h"
#include "engine/tree/relative_path.h"

namespace vskel {

namespace {

class Differ {
 public:
  Differ(const Skel& skel, const KeptFiles& kept, unsigned from, unsigned to)
      : skel_(skel), kept_(kept), from_(from), to_(to) {}

  Result<> compare(const ManifestEntry& then, const ManifestEntry& now, GenerationDiff& out) const {
    const bool same_metadata = (then.mode == now.mode || then.type == sys::FileType::symlink) && then.uid == now.uid &&
                               then.gid == now.gid && then.xattrs() == now.xattrs() && then.nlink == now.nlink;
    if (!TRY(has_same_content(then, now))) {
      out.changed.push_back(label(now));
    } else if (!same_metadata) {
      out.metadata.push_back(label(now));
    }
    return {};
  }

  static std::string label(const ManifestEntry& entry) { return std::string(part_name(entry.part)) + "/" + entry.path; }

 private:
  [[nodiscard]] Result<bool> has_same_content(const ManifestEntry& then, const ManifestEntry& now) const {
    if (then.type != now.type || then.size != now.size || then.link_target() != now.link_target() ||
        then.rdev() != now.rdev() || then.content != now.content)
      return false;
    if (now.type != sys::FileType::regular || now.part == Part::static_part) return true;
    const auto held_then = kept_.holder(then.part, then.path, from_), held_now = kept_.holder(now.part, now.path, to_);
    if (held_then == held_now) return true;  // one file
    return TRY(compare_content(TRY(open(then, held_then)), TRY(open(now, held_now)))).same;
  }

  [[nodiscard]] Result<Fd> open(const ManifestEntry& entry, std::optional<unsigned> holder) const {
    const DirFd& root = holder ? kept_.root(*holder, entry.part) : skel_.tree(entry.part);
    return sys::open_trusted_file(TRY(sys::open_dirs(root, parent_path(entry.path))), last_name(entry.path));
  }

  const Skel& skel_;
  const KeptFiles& kept_;
  unsigned from_, to_;
};

}  // namespace

Result<GenerationDiff> diff_generations(const Store& store, const SkelName& name, unsigned from, unsigned to) {
  const Skel skel = TRY(Skel::open(store, name));
  const auto generations = TRY(skel.all_generations());
  GenerationDiff out;
  out.skel = name.text();
  out.to = to != 0 ? to : generations.back();
  out.from = from != 0 ? from : generations.size() > 1 ? generations[generations.size() - 2] : generations.back();
  for (const unsigned generation : {out.from, out.to})
    if (std::ranges::find(generations, generation) == generations.end())
      return refuse("compare generations", name.text() + " " + std::to_string(generation), "no such generation");
  const Manifest then = TRY(skel.manifest(out.from));
  const KeptFiles kept = TRY(KeptFiles::load(skel));
  const Differ differ(skel, kept, out.from, out.to);
  const auto key = [](const ManifestEntry& entry) { return std::pair(std::string_view(entry.path), entry.part); };
  // One manifest in memory and the other read along with it.
  auto old_entry = then.entries.begin();
  TRY(skel.for_each_entry(out.to, [&](const ManifestEntry& now) -> Result<> {
    for (; old_entry != then.entries.end() && key(*old_entry) < key(now); ++old_entry)
      out.removed.push_back(Differ::label(*old_entry));
    if (old_entry != then.entries.end() && key(*old_entry) == key(now)) return differ.compare(*old_entry++, now, out);
    out.added.push_back(Differ::label(now));
    return {};
  }));
  for (; old_entry != then.entries.end(); ++old_entry) out.removed.push_back(Differ::label(*old_entry));
  return out;
}

}  // namespace vskel
