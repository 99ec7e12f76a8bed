#include "engine/vserver/instances.h"

#include <algorithm>
#include <cerrno>

#include "engine/tree/listing.h"
#include "engine/txn/journal.h"

namespace vskel {

namespace {

constexpr std::string_view kRecordSuffix = ".json";
constexpr std::size_t kMostRecord = 64 << 20;

Result<std::optional<Fd>> open_record_file(const Skel& skel, Name name) {
  auto file = sys::open_file(skel.instances(), name);
  if (!file && file.error().code == ENOENT) return std::nullopt;
  return TRY(std::move(file));
}

/// nullopt where there is none, or none any more: who only looks holds no lock, and remove-vs may be at work.
Result<std::optional<Record>> read_record_file(const Skel& skel, Name name) {
  const std::optional<Fd> opened = TRY(open_record_file(skel, name));
  if (!opened) return std::nullopt;
  const std::string text = TRY(sys::read_whole(*opened, kMostRecord));
  Record record = TRY(read_record(text, skel.path() + "/instances/" + std::string(name.view())));
  record.written = TRY(sys::stat(*opened)).mtime;
  return record;
}

/// What says the same already is left as it is.
template <class WriteFile>
Result<> replace_record(const Skel& skel, const Record& record, WriteFile write_file) {
  const std::string file_name = record.name + std::string(kRecordSuffix), text = write_record(record);
  const Name name = *Name::check(file_name);
  if (const auto there = TRY(open_record_file(skel, name)); there && TRY(sys::read_whole(*there, kMostRecord)) == text)
    return {};
  return write_file(skel.instances(), name, text, 0600);
}

}  // namespace

Result<std::vector<Record>> read_records(const Skel& skel) {
  std::vector<Record> out;
  if (!skel.instances().open()) return out;
  const DirFd instances = TRY(sys::reopen(skel.instances()));
  const Listing listing = TRY(Listing::read(instances));
  for (const Listed& listed : listing.entries()) {
    if (listed.name.view().starts_with('.') || !listed.name.view().ends_with(kRecordSuffix)) continue;
    if (auto record = TRY(read_record_file(skel, listed.name))) out.push_back(std::move(*record));
  }
  std::ranges::sort(out, {}, &Record::name);
  return out;
}

Result<std::optional<Record>> find_record(const Store& store, const VserverName& name) {
  const std::string file_name = name.text() + std::string(kRecordSuffix);
  for (const SkelName& skel_name : TRY(Skel::all(store))) {
    const Skel skel = TRY(Skel::open(store, skel_name));
    if (!skel.instances().open()) continue;
    if (auto record = TRY(read_record_file(skel, *Name::check(file_name)))) return record;
  }
  return std::nullopt;
}

Result<> save_record(const Skel& skel, const Record& record) {
  return replace_record(skel, record, write_file_atomically);
}

Result<> prepare_record(const Skel& skel, const Record& record) {
  // One that says the same is not written, and what a crash left must not take its place.
  TRY(discard_prepared_record(skel, record.name));
  return replace_record(skel, record, prepare_file);
}

Result<> put_record_in_place(const Skel& skel, const std::string& vserver) {
  const std::string file_name = vserver + std::string(kRecordSuffix);
  return put_in_place(skel.instances(), *Name::check(file_name));
}

Result<> discard_prepared_record(const Skel& skel, const std::string& vserver) {
  const std::string file_name = vserver + std::string(kRecordSuffix);
  return discard_prepared(skel.instances(), *Name::check(file_name));
}

}  // namespace vskel
