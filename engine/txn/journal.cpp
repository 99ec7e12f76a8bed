#include "engine/txn/journal.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>

#include "engine/tree/listing.h"
#include "engine/txn/crc32c.h"
#include "engine/txn/lock.h"

namespace vskel {

namespace {

constexpr std::string_view kSuffix = ".journal";
constexpr std::size_t kMostJournal = 64 << 20;  // a fleet's intent is some hundred bytes a member
constexpr std::size_t kCrcDigits = 8;

/// Sorts by time: nanoseconds since the epoch, then what tells processes and operations apart.
std::string new_id() {
  static std::atomic<unsigned> counter{0};
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), "%020lld.%d.%u",
                                 static_cast<long long>(std::chrono::nanoseconds(now).count()), sys::own_pid(), counter.fetch_add(1));
  return {text.data(), static_cast<std::size_t>(size)};
}

std::string line_of(const nlohmann::json& record) {
  const std::string body = record.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  std::array<char, kCrcDigits + 2> crc{};
  std::snprintf(crc.data(), crc.size(), "%08x ", crc32c(body));
  return std::string(crc.data()) + body + "\n";
}

std::optional<nlohmann::json> parse_line(std::string_view line) {
  if (line.size() < kCrcDigits + 1 || line[kCrcDigits] != ' ') return std::nullopt;
  std::uint32_t crc = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + kCrcDigits, crc, 16);
  if (error != std::errc{} || end != line.data() + kCrcDigits) return std::nullopt;
  const std::string_view body = line.substr(kCrcDigits + 1);
  if (crc32c(body) != crc) return std::nullopt;
  auto record = nlohmann::json::parse(body, nullptr, false);
  if (!record.is_object()) return std::nullopt;
  return record;
}

/// The records of a journal. What a crash tore off ends without a newline or with a bad line and nothing good behind it.
Result<std::vector<nlohmann::json>> parse_journal(std::string_view text, const std::string& source) {
  std::vector<nlohmann::json> out;
  std::size_t number = 0;
  std::optional<std::size_t> bad;
  while (!text.empty()) {
    ++number;
    const std::size_t newline = text.find('\n');
    if (newline == text.npos) break;
    auto record = parse_line(text.substr(0, newline));
    text.remove_prefix(newline + 1);
    if (!record) {
      bad = bad.value_or(number);
      continue;
    }
    if (bad) return fail("read journal", source + ":" + std::to_string(*bad), "damaged; look at it before you move it away");
    out.push_back(std::move(*record));
  }
  return out;
}

Result<> append(const Fd& file, const nlohmann::json& record) {
  const std::uint64_t end = TRY(sys::stat(file)).size;
  const std::string line = line_of(record);
  TRY(sys::write_at(file, std::as_bytes(std::span(line)), end));
  return sys::sync_data(file);
}

}  // namespace

Result<Intent> Intent::begin(const Store& store, const nlohmann::json& first) {
  // Until the file is locked it looks like a dead process's: the journal's lock keeps recover away.
  const Lock guard = TRY(Lock::take(store, "journal", sys::Wait::yes));
  std::string id = new_id();
  const std::string file_name = id + std::string(kSuffix);
  const Name name = *Name::check(file_name);
  Intent intent(store, std::move(id), TRY(sys::create_file(store.journal(), name, 0600)));
  (void)TRY(sys::lock_exclusive(intent.file_, sys::Wait::no));
  Result<> written = append(intent.file_, first);
  if (written) written = sys::sync_file(store.journal());
  if (!written) {
    // Nothing was begun; a file that stays nevertheless has no whole record, and recover removes it.
    (void)sys::unlink_if_there(store.journal(), name);
    return std::unexpected(std::move(written).error());
  }
  intent.records_.push_back(first);
  return intent;
}

Result<> Intent::record(const nlohmann::json& next) {
  TRY(append(file_, next));
  records_.push_back(next);
  return {};
}

Result<> Intent::close() {
  const std::string file_name = id_ + std::string(kSuffix);
  TRY(sys::unlink_if_there(store_->journal(), *Name::check(file_name)));
  return sys::sync_file(store_->journal());
}

Result<std::vector<Intent>> crashed_intents(const Store& store) {
  const Lock guard = TRY(Lock::take(store, "journal", sys::Wait::yes));
  const DirFd journal = TRY(sys::reopen(store.journal()));
  const Listing listing = TRY(Listing::read(journal));
  std::vector<Intent> out;
  for (const Listed& listed : listing.entries()) {
    if (listed.type != sys::FileType::regular || !listed.name.view().ends_with(kSuffix)) continue;
    Fd file = TRY(sys::open_or_create(journal, listed.name, 0600));
    if (!TRY(sys::lock_exclusive(file, sys::Wait::no))) continue;
    std::string id(listed.name.view().substr(0, listed.name.view().size() - kSuffix.size()));
    const std::string text = TRY(sys::read_whole(file, kMostJournal));
    auto records = TRY(parse_journal(text, store.paths().vservers + "/.vskel/journal/" + std::string(listed.name.view())));
    if (records.empty()) {
      TRY(sys::unlink_if_there(journal, listed.name));
      continue;
    }
    Intent intent(store, std::move(id), std::move(file));
    intent.records_ = std::move(records);
    out.push_back(std::move(intent));
  }
  std::ranges::sort(out, {}, [](const Intent& intent) { return intent.id_; });
  return out;
}

Result<> write_file_atomically(const DirFd& dir, Name name, std::string_view content, std::uint32_t mode) {
  static std::atomic<unsigned> counter{0};
  const std::string temporary = "." + std::string(name.view().substr(0, 200)) + "." + std::to_string(sys::own_pid()) + "." + std::to_string(counter.fetch_add(1));
  const Name hidden = *Name::check(temporary);
  const auto write = [&]() -> Result<> {
    TRY(sys::unlink_if_there(dir, hidden));
    const Fd file = TRY(sys::create_file(dir, hidden, mode));
    TRY(sys::write_all(file, content));
    TRY(sys::sync_file(file));
    TRY(sys::rename_over(dir, hidden, dir, name));
    return sys::sync_file(dir);
  };
  auto written = write();
  if (!written) (void)sys::unlink_if_there(dir, hidden);
  return written;
}

}  // namespace vskel
