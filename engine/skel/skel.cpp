#include "engine/skel/skel.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>

#include "engine/tree/listing.h"

namespace vskel {

namespace {

constexpr std::size_t kMostManifest = std::size_t{1} << 30, kManifestPiece = 1 << 20, kMostLayout = 1 << 20;
constexpr std::string_view kManifestSuffix = ".mtree";

/// A closed descriptor where there is no such directory.
Result<DirFd> open_if_there(const DirFd& parent, Name name) {
  if (!parent.open()) return DirFd();
  auto dir = sys::open_dir(parent, name);
  if (!dir && dir.error().code == ENOENT) return DirFd();
  return dir;
}

}  // namespace

std::string generation_file_name(unsigned generation) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "%04u.mtree", generation);
  return text.data();
}

Result<Skel> Skel::open(const Store& store, const SkelName& name) {
  Skel skel(name);
  skel.path_ = store.paths().vservers + "/.skel/" + name.text();
  skel.dir_ = TRY(open_if_there(store.skels(), name.name()));
  if (!skel.dir_.open()) return refuse("open skel", name.text(), "no such skel");
  skel.instances_ = TRY(open_if_there(skel.dir_, "instances"));
  skel.generations_ = TRY(open_if_there(skel.dir_, "generations"));
  skel.plugins_ = TRY(open_if_there(TRY(open_if_there(skel.dir_, "scripts")), "post-create-vs"));
  skel.merged_ = TRY(sys::stat_if_there(skel.dir_, "global.bak")).has_value();
  // What vservers share is in global.bak then; where a crash came between the two renames one tree has its old name.
  const auto open_tree = [&](Name usual, Name set_aside) -> Result<DirFd> {
    DirFd tree = TRY(open_if_there(skel.dir_, usual));
    if (!tree.open()) tree = TRY(open_if_there(skel.dir_, set_aside));
    return tree;
  };
  skel.trees_[static_cast<std::size_t>(Part::global_part)] = TRY(open_tree("global", "global.bak"));
  skel.trees_[static_cast<std::size_t>(Part::local_part)] = TRY(open_tree("local", "local.bak"));
  skel.trees_[static_cast<std::size_t>(Part::static_part)] = TRY(open_if_there(skel.dir_, "static"));
  for (const Part part : {Part::global_part, Part::local_part, Part::static_part})
    if (!skel.tree(part).open()) return fail("open skel", skel.path_ + "/" + std::string(part_name(part)), ENOENT);
  return skel;
}

Result<std::vector<SkelName>> Skel::all(const Store& store) {
  std::vector<SkelName> out;
  if (!store.skels().open()) return out;
  const DirFd skels = TRY(sys::reopen(store.skels()));
  const Listing listing = TRY(Listing::read(skels));
  for (const Listed& listed : listing.entries()) {
    auto name = SkelName::parse(std::string(listed.name.view()));
    if (name && listed.type == sys::FileType::directory) out.push_back(std::move(*name));
  }
  std::ranges::sort(out);
  return out;
}

Result<std::vector<unsigned>> Skel::all_generations() const {
  std::vector<unsigned> out;
  const auto none = [this] { return fail("read generations", path_ + "/generations", "no manifest in it"); };
  if (!generations_.open()) return none();
  const DirFd generations = TRY(sys::reopen(generations_));
  const Listing listing = TRY(Listing::read(generations));
  for (const Listed& listed : listing.entries()) {
    const std::string_view name = listed.name.view();
    unsigned number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc{} && std::string_view(end) == kManifestSuffix) out.push_back(number);
  }
  if (out.empty()) return none();
  std::ranges::sort(out);
  return out;
}

Result<unsigned> Skel::newest_generation() const {
  const auto all = TRY(all_generations());
  return all.back();
}

Result<> Skel::read_manifest_text(unsigned generation, const ManifestSink& sink) const {
  const std::string name = generation_file_name(generation);
  const Fd file = TRY(sys::open_file(generations_, *Name::check(name)));
  // Piece by piece: the text of a million entries would be as large as the entries.
  std::vector<std::byte> piece(kManifestPiece);
  for (std::uint64_t at = 0;;) {
    const std::size_t got = TRY(sys::read_at(file, piece, at));
    TRY(sink({reinterpret_cast<const char*>(piece.data()), got}));
    at += got;
    if (at > kMostManifest) return fail("read manifest", path_ + "/generations/" + name, EFBIG);
    if (got < piece.size()) return {};
  }
}

Result<Manifest> Skel::manifest(unsigned generation) const {
  Manifest manifest;
  manifest.generation = generation;
  TRY(for_each_entry(generation, [&manifest](ManifestEntry entry) -> Result<> {
    manifest.entries.push_back(std::move(entry));
    return {};
  }));
  return manifest;
}

Result<> Skel::for_each_entry(unsigned generation, const EntrySink& sink) const {
  ManifestReader reader(path_ + "/generations/" + generation_file_name(generation), sink);
  TRY(read_manifest_text(generation, [&reader](std::string_view piece) { return reader.add(piece); }));
  (void)TRY(reader.finish());
  return {};
}

Result<std::uint64_t> Skel::count_paths() const {
  constexpr std::uint64_t kNotBelow = 3;  // two lines that begin a manifest, and the root's
  std::uint64_t lines = 0;
  TRY(read_manifest_text(TRY(newest_generation()), [&lines](std::string_view piece) -> Result<> {
    lines += static_cast<std::uint64_t>(std::ranges::count(piece, '\n'));
    return {};
  }));
  return lines - std::min(lines, kNotBelow);
}

Result<std::string> Skel::layout_text() const {
  const Fd file = TRY(sys::open_file(dir_, "layout"));
  return sys::read_whole(file, kMostLayout);
}

Result<Layout> Skel::layout() const { return Layout::parse(TRY(layout_text()), path_ + "/layout"); }

}  // namespace vskel
