// The intent journal: one append-only file an operation in VSERVERS/.vskel/journal. Each record is one line,
// `CRC32C(8 hex) JSON\n`, fdatasynced before the step that it announces. A torn last line is ignored; a bad line that
// is followed by a good one is refused. The file is locked (OFD) while its process lives, so that recover touches only
// what crashed.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/sys/kernel.h"
#include "engine/sys/stopping.h"
#include "engine/txn/store.h"

namespace vskel {

/// What a crashed operation's intent says, to be told only.
struct CrashedOperation {
  std::string id;
  std::vector<nlohmann::json> records;  ///< at least one
};

/// One operation's intent, being written by its own process, or taken over by recover. Keeps a pointer to the Store
/// that it was made with: the Store must stay where it is until the Intent is gone. Destroyed without close(), as by a
/// crash, it leaves its file to the next recover. While it lives no signal ends this process that can be deferred
/// (sys/stopping.h). Not thread-safe, as any value.
class Intent {
 public:
  /// Creates the file with a first record (which must say "operation" and "version") and makes it durable, the
  /// directory entry too. An error if this process was asked to end.
  [[nodiscard]] static Result<Intent> begin(const Store& store, const nlohmann::json& first);
  /// Appends a record, an object whose strings are UTF-8, durably. A record that fails is taken back from the file, so
  /// that a crash on the way back does not find it there.
  [[nodiscard]] Result<> record(const nlohmann::json& next);
  /// The operation is over, done or undone: removes the file durably. Nothing may be recorded after.
  [[nodiscard]] Result<> close();
  /// File name without suffix: unique, sorted by time ("20260131T235959.123456789Z.PID.COUNTER", UTC); also names the
  /// operation's staging directory.
  [[nodiscard]] const std::string& id() const { return id_; }
  /// All records so far, first to last.
  [[nodiscard]] const std::vector<nlohmann::json>& records() const { return records_; }

 private:
  friend Result<std::vector<Intent>> crashed_intents(const Store& store);
  friend Result<std::vector<CrashedOperation>> find_crashed_operations(const Store& store);
  Intent(const Store& store, std::string id, Fd file) : store_(&store), id_(std::move(id)), file_(std::move(file)) {}
  [[nodiscard]] static Result<std::optional<Intent>> take_over(const Store& store, Name file_name);
  [[nodiscard]] Result<> append(const nlohmann::json& record);
  const Store* store_;
  std::string id_;
  Fd file_;
  std::uint64_t end_ = 0;  // where the last whole record ends
  sys::Unfinished unfinished_;
  std::vector<nlohmann::json> records_;
};

/// Every intent whose process is dead, locked now by us, oldest first. Files that no record can be read from (crashed
/// before the first fsync) are removed. A damaged file is an error that names it; nothing is touched.
[[nodiscard]] Result<std::vector<Intent>> crashed_intents(const Store& store);

/// What crashed_intents() would give, without a change on disk: no lock is taken, nothing created, cut or removed.
/// Empty where there is no journal.
[[nodiscard]] Result<std::vector<CrashedOperation>> find_crashed_operations(const Store& store);
/// The same with those that are under way, or that another process recovers just now.
[[nodiscard]] Result<std::vector<CrashedOperation>> find_all_operations(const Store& store);

/// Whole files of ours, replaced atomically: written beside under a hidden name (`.NAME.PID.COUNTER`), fsynced, renamed
/// over, directory fsynced. Where it fails the hidden file is removed; a failure to sync the directory leaves the new
/// content in place, not known to be durable.
[[nodiscard]] Result<> write_file_atomically(const DirFd& dir, Name name, std::string_view content, std::uint32_t mode);

/// The same for one of many, in two steps inside an intent that would do both again. First all are written beside;
/// where that fails the hidden file is removed.
[[nodiscard]] Result<> prepare_file(const DirFd& dir, Name name, std::string_view content, std::uint32_t mode);
/// Then, after one syncfs for all of them (a rename ahead of its data leaves an empty file after a power cut), each is
/// renamed over; content if none was prepared. Not durable until the next syncfs.
[[nodiscard]] Result<> put_in_place(const DirFd& dir, Name name);
/// Takes the first step back; content if it was not taken.
[[nodiscard]] Result<> discard_prepared(const DirFd& dir, Name name);

}  // namespace vskel
