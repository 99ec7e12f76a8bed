// What verify warns of: configurations that give a tenant what breaks his seal.

#include "engine/skel/skel.h"
#include "engine/vserver/confinement.h"
#include "engine/vserver/inspect.h"
#include "engine/vserver/instances.h"

namespace vskel {

namespace {

void look_at(const Record& record, std::vector<std::string>& out) {
  constexpr std::size_t kMostConfiguration = 1 << 20;
  if (!has_sealed_files(record) || record.config.empty()) return;
  // A file that is missing is a difference, and one that can't be read the start of the container tells.
  const auto file = sys::open_input(record.config);
  if (!file) return;
  const auto stat = sys::stat(*file);
  if (!stat || stat->type != sys::FileType::regular) return;
  const auto text = sys::read_whole(*file, kMostConfiguration);
  if (!text) return;
  for (const Weakness& weakness : find_weaknesses(*text)) out.push_back(weakness.told_of(record.config));
}

void look_at_all(const Skel& skel, std::vector<std::string>& out) {
  // A record that can't be read is a difference, too.
  if (const auto records = read_records(skel))
    for (const Record& record : *records) look_at(record, out);
}

}  // namespace

bool has_sealed_files(const Record& record) { return record.share == Share::hardlink && record.seal != SealKind::none; }

Result<std::vector<std::string>> weak_configurations(const Store& store, const std::vector<VserverName>& names) {
  std::vector<std::string> out;
  if (names.empty())
    for (const SkelName& name : TRY(Skel::all(store)))
      if (const auto skel = Skel::open(store, name)) look_at_all(*skel, out);
  for (const VserverName& name : names) {
    if (const auto record = TRY(find_record(store, name))) look_at(*record, out);
    const auto skel_name = SkelName::parse(name.text());
    if (!skel_name || !store.skels().open() || !TRY(sys::stat_if_there(store.skels(), skel_name->name()))) continue;
    if (const auto skel = Skel::open(store, *skel_name)) look_at_all(*skel, out);
  }
  return out;
}

}  // namespace vskel
