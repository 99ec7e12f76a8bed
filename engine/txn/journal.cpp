#include "engine/txn/journal.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>

#include "engine/sys/processes.h"
#include "engine/tree/listing.h"
#include "engine/txn/journal_text.h"
#include "engine/txn/lock.h"

namespace vskel {

namespace {

constexpr std::string_view kJournalSuffix = ".journal";
constexpr std::size_t kMostJournal = 64 << 20;  // a fleet's intent is some hundred bytes a member

/// Sorts by time; process and counter tell apart what the clock does not.
std::string new_id() {
  static std::atomic<unsigned> counter{0};
  const auto now = std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
  const auto midnight = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day date(midnight);
  const std::chrono::hh_mm_ss time(now - midnight);
  std::array<char, 96> text{};
  const int size = std::snprintf(text.data(), text.size(), "%04d%02u%02uT%02ld%02ld%02ld.%09ldZ.%d.%u",
                                 static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                                 static_cast<unsigned>(date.day()), static_cast<long>(time.hours().count()),
                                 static_cast<long>(time.minutes().count()), static_cast<long>(time.seconds().count()),
                                 static_cast<long>(time.subseconds().count()), sys::own_pid(), counter.fetch_add(1));
  return {text.data(), static_cast<std::size_t>(size)};
}

}  // namespace

Result<Intent> Intent::begin(const Store& store, const nlohmann::json& first) {
  TRY(sys::may_go_on());
  // Until the file is locked it looks like a dead process's: the journal's lock keeps recover away.
  const Lock guard = TRY(Lock::take(store, "journal", sys::Wait::yes));
  std::string id = new_id();
  const std::string file_name = id + std::string(kJournalSuffix);
  const Name name = *Name::check(file_name);
  Intent intent(store, std::move(id), TRY(sys::create_file(store.journal(), name, 0600)));
  Result<> begun;
  if (auto locked = sys::lock_exclusive(intent.file_, sys::Wait::no); !locked)
    begun = std::unexpected(std::move(locked).error());
  if (begun) begun = intent.append(first);
  if (begun) begun = sys::sync_file(store.journal());
  if (!begun) {
    // Nothing was done yet: a file that stays nevertheless is one that recover removes, or an operation that it undoes.
    (void)sys::unlink_if_there(store.journal(), name);
    return std::unexpected(std::move(begun).error());
  }
  intent.records_.push_back(first);
  return intent;
}

Result<> Intent::record(const nlohmann::json& next) {
  TRY(append(next));
  records_.push_back(next);
  return {};
}

Result<> Intent::append(const nlohmann::json& record) {
  const std::string line = TRY(journal_line(record, id_));
  auto written = sys::write_at(file_, std::as_bytes(std::span(line)), end_);
  if (written) written = sys::sync_data(file_);
  if (!written) {
    // What was written may reach the disk in spite of the error, and would then send recover forward over an operation
    // that was half undone.
    (void)sys::truncate(file_, end_);
    (void)sys::sync_data(file_);
    return written;
  }
  end_ += line.size();
  return {};
}

Result<> Intent::close() {
  const std::string file_name = id_ + std::string(kJournalSuffix);
  TRY(sys::unlink_if_there(store_->journal(), *Name::check(file_name)));
  return sys::sync_file(store_->journal());
}

Result<JournalText> read_journal(const Store& store, const Fd& file, Name name) {
  const std::string text = TRY(sys::read_whole(file, kMostJournal));
  return parse_journal(text, store.paths().vservers + "/.vskel/journal/" + std::string(name.view()));
}

std::string id_of(Name file_name) {
  return std::string(file_name.view().substr(0, file_name.view().size() - kJournalSuffix.size()));
}

Result<std::vector<std::string>> journal_files(const Store& store) {
  const DirFd journal = TRY(sys::reopen(store.journal()));
  const Listing listing = TRY(Listing::read(journal));
  std::vector<std::string> out;
  for (const Listed& listed : listing.entries())
    if (listed.type == sys::FileType::regular && listed.name.view().ends_with(kJournalSuffix))
      out.emplace_back(listed.name.view());
  std::ranges::sort(out);
  return out;
}

/// nullopt where the process lives or has just closed its intent. An Intent without records was never begun.
Result<std::optional<Intent>> Intent::take_over(const Store& store, Name file_name) {
  auto opened = sys::open_to_write(store.journal(), file_name);
  if (!opened && opened.error().code == ENOENT) return std::nullopt;
  Fd file = TRY(std::move(opened));
  if (!TRY(sys::lock_exclusive(file, sys::Wait::no))) return std::nullopt;
  // Closed between our open and our lock: its records are whole, but what they speak of is over.
  if (TRY(sys::stat(file)).nlink == 0) return std::nullopt;
  JournalText parsed = TRY(read_journal(store, file, file_name));
  Intent intent(store, id_of(file_name), std::move(file));
  intent.end_ = parsed.end;
  intent.records_ = std::move(parsed.records);
  return intent;
}

Result<std::vector<Intent>> crashed_intents(const Store& store) {
  const Lock guard = TRY(Lock::take(store, "journal", sys::Wait::yes));
  std::vector<Intent> found;
  for (const std::string& file : TRY(journal_files(store)))
    if (auto intent = TRY(Intent::take_over(store, *Name::check(file)))) found.push_back(std::move(*intent));
  // All could be read; now they may be touched.
  std::vector<Intent> out;
  for (Intent& intent : found) {
    if (intent.records_.empty()) {
      TRY(intent.close());
      continue;
    }
    // The next record must not stand behind a torn one.
    TRY(sys::truncate(intent.file_, intent.end_));
    out.push_back(std::move(intent));
  }
  return out;
}

namespace {

enum class Intents { all, crashed };

Result<std::vector<CrashedOperation>> read_intents(const Store& store, Intents which) {
  if (!store.journal().open()) return std::vector<CrashedOperation>();
  std::vector<CrashedOperation> out;
  for (const std::string& file_name : TRY(journal_files(store))) {
    const Name name = *Name::check(file_name);
    auto opened = sys::open_trusted_file(store.journal(), name);
    if (!opened && opened.error().code == ENOENT) continue;
    const Fd file = TRY(std::move(opened));
    if (which == Intents::crashed && TRY(sys::locked_by_another(file))) continue;
    JournalText parsed = TRY(read_journal(store, file, name));
    if (!parsed.records.empty()) out.push_back({id_of(name), std::move(parsed.records)});
  }
  return out;
}

}  // namespace

Result<std::vector<CrashedOperation>> find_crashed_operations(const Store& store) {
  return read_intents(store, Intents::crashed);
}

Result<std::vector<CrashedOperation>> find_all_operations(const Store& store) {
  return read_intents(store, Intents::all);
}

namespace {

/// One name, so that doing it again after a crash takes the place of what the crash left.
std::string prepared_name(Name name) { return "." + std::string(name.view().substr(0, 200)) + ".vskel-new"; }

}  // namespace

Result<> prepare_file(const DirFd& dir, Name name, std::string_view content, std::uint32_t mode) {
  TRY(discard_prepared(dir, name));
  const std::string hidden = prepared_name(name);
  const auto write = [&]() -> Result<> {
    const Fd file = TRY(sys::create_file(dir, *Name::check(hidden), mode));
    return sys::write_all(file, content);
  };
  auto written = write();
  if (!written) (void)discard_prepared(dir, name);
  return written;
}

Result<> put_in_place(const DirFd& dir, Name name) {
  const std::string hidden = prepared_name(name);
  auto put = sys::rename_over(dir, *Name::check(hidden), dir, name);
  if (!put && put.error().code == ENOENT) return {};
  return put;
}

Result<> discard_prepared(const DirFd& dir, Name name) {
  const std::string hidden = prepared_name(name);
  return sys::unlink_if_there(dir, *Name::check(hidden));
}

Result<> write_file_atomically(const DirFd& dir, Name name, std::string_view content, std::uint32_t mode) {
  static std::atomic<unsigned> counter{0};
  // A name of 255 bytes leaves no room for what is added.
  const std::string temporary = "." + std::string(name.view().substr(0, 200)) + "." + std::to_string(sys::own_pid()) +
                                "." + std::to_string(counter.fetch_add(1));
  const Name hidden = *Name::check(temporary);
  const auto write = [&]() -> Result<> {
    // One that a crashed process of our number left behind.
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
