#include "engine/vserver/instances.h"

#include <algorithm>

#include "engine/tree/listing.h"
#include "engine/txn/journal.h"

namespace vskel {

namespace {

constexpr std::string_view kRecordSuffix = ".json";
constexpr std::size_t kMostRecord = 1 << 20;

Result<Record> read_record_file(const Skel& skel, Name name) {
  const Fd file = TRY(sys::open_file(skel.instances(), name));
  return read_record(TRY(sys::read_whole(file, kMostRecord)), skel.path() + "/instances/" + std::string(name.view()));
}

}  // namespace

Result<std::vector<Record>> read_records(const Skel& skel) {
  std::vector<Record> out;
  if (!skel.instances().open()) return out;
  const DirFd instances = TRY(sys::reopen(skel.instances()));
  const Listing listing = TRY(Listing::read(instances));
  for (const Listed& listed : listing.entries()) {
    if (listed.name.view().starts_with('.') || !listed.name.view().ends_with(kRecordSuffix)) continue;
    out.push_back(TRY(read_record_file(skel, listed.name)));
  }
  std::ranges::sort(out, {}, &Record::name);
  return out;
}

Result<std::optional<Record>> find_record(const Store& store, const VserverName& name) {
  const std::string file_name = name.text() + std::string(kRecordSuffix);
  for (const SkelName& skel_name : TRY(Skel::all(store))) {
    const Skel skel = TRY(Skel::open(store, skel_name));
    if (!skel.instances().open() || !TRY(sys::stat_if_there(skel.instances(), *Name::check(file_name)))) continue;
    return TRY(read_record_file(skel, *Name::check(file_name)));
  }
  return std::nullopt;
}

Result<> save_record(const Skel& skel, const Record& record) {
  const std::string file_name = record.name + std::string(kRecordSuffix);
  return write_file_atomically(skel.instances(), *Name::check(file_name), write_record(record), 0600);
}

}  // namespace vskel
