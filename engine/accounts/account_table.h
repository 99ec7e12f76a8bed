// The six files that give users and groups their names and numbers (passwd(5), shadow(5), group(5), gshadow(5),
// subuid(5), subgid(5)), taken apart into lines. Pure: bytes in, values out. No name service is asked, and a file is
// nothing but its bytes: it may be a tenant's, who wrote into it what he liked.
//
// A line is an entry, or it is none and stays where it is: an empty one, a comment (#), one of NIS (+ or - in front).
// What is neither is an error that names file, line and rule. What was not changed comes back byte for byte, a last
// line without its newline too.
//
// Bounds: a file 4 MiB in 131,072 lines, a line 64 KiB, a name 256 bytes, 65,536 entries, a number kHighestId.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/accounts/id_map.h"
#include "engine/sys/error.h"

namespace vskel {

enum class AccountFile : std::uint8_t { passwd, shadow, group, gshadow, subuid, subgid };
inline constexpr std::size_t kAccountFiles = 6;
inline constexpr std::array<AccountFile, kAccountFiles> kAllAccountFiles{AccountFile::passwd, AccountFile::shadow,
                                                                         AccountFile::group,  AccountFile::gshadow,
                                                                         AccountFile::subuid, AccountFile::subgid};
inline constexpr std::size_t kMostAccountBytes = std::size_t{4} << 20;

/// "passwd"; it stands in etc.
[[nodiscard]] std::string_view account_file_name(AccountFile file);

/// Fields of a line by their place; the first, the name, is 0 in all of them.
namespace account_field {
inline constexpr std::size_t kPassword = 1;  ///< passwd, shadow, group, gshadow
inline constexpr std::size_t kUid = 2, kGid = 3, kComment = 4, kHome = 5, kShell = 6;  ///< passwd
inline constexpr std::size_t kGroupNumber = 2;                                         ///< group
inline constexpr std::size_t kAdministrators = 2;                                      ///< gshadow
inline constexpr std::size_t kMembers = 3;                                             ///< group, gshadow
inline constexpr std::size_t kStart = 1, kCount = 2;                                   ///< subuid, subgid
}  // namespace account_field

/// One entry: a line, in fields. A value.
class AccountEntry {
 public:
  /// `line` is one that parse() would take, without its newline.
  explicit AccountEntry(std::string line) : line_(std::move(line)) {}
  [[nodiscard]] const std::string& line() const { return line_; }
  [[nodiscard]] std::string_view name() const { return field(0); }
  /// "" if there is none.
  [[nodiscard]] std::string_view field(std::size_t place) const;
  /// A field that parse() saw to be a number.
  [[nodiscard]] std::uint32_t number(std::size_t place) const;
  /// The names of a comma separated field, in their order.
  [[nodiscard]] std::vector<std::string> names(std::size_t place) const;
  void set_field(std::size_t place, std::string_view value);
  void set_number(std::size_t place, std::uint32_t value) { set_field(place, std::to_string(value)); }
  void set_names(std::size_t place, const std::vector<std::string>& names);
  friend bool operator==(const AccountEntry&, const AccountEntry&) = default;

 private:
  std::string line_;
};

/// One file. A value; not thread-safe while it is changed.
class AccountTable {
 public:
  /// Reads `bytes`; `source` names the file in messages ("SOURCE:LINE"). A name that stands twice is an error; in
  /// subuid and subgid, where a user may have several ranges, a line that does.
  [[nodiscard]] static Result<AccountTable> parse(AccountFile file, std::string_view bytes, const std::string& source);

  [[nodiscard]] std::string bytes() const;
  [[nodiscard]] AccountFile file() const { return file_; }
  /// What an entry is known by: its name; in subuid and subgid the whole line.
  [[nodiscard]] std::string_view key_of(const AccountEntry& entry) const;
  /// nullptr if there is none; good until the next change.
  [[nodiscard]] const AccountEntry* find(std::string_view key) const;
  /// All of them in their order; good until the next change.
  [[nodiscard]] std::vector<const AccountEntry*> entries() const;
  /// In place of the entry of the same key; else behind all entries, but ahead of the first line of NIS, which stands
  /// for whatever follows.
  void put(AccountEntry entry);
  /// Content if there is none.
  void remove(std::string_view key);

 private:
  struct Line {
    AccountEntry text;
    bool is_entry;
  };
  explicit AccountTable(AccountFile file) : file_(file) {}
  AccountFile file_;
  std::map<std::size_t, Line> lines_;  ///< by place: as in the file, with room between them
  std::map<std::string, std::size_t, std::less<>> places_;
  bool ends_with_newline_ = true;
};

/// The bytes of all six; nullopt: there is no such file.
using AccountTexts = std::array<std::optional<std::string>, kAccountFiles>;

/// All six, taken apart.
class Accounts {
 public:
  /// `root` is put before "etc/passwd" in messages ("/vservers/web1/").
  [[nodiscard]] static Result<Accounts> parse(const AccountTexts& texts, const std::string& root);
  [[nodiscard]] AccountTexts texts() const;
  /// nullptr if there is no such file.
  [[nodiscard]] const AccountTable* table(AccountFile file) const;
  [[nodiscard]] AccountTable* table(AccountFile file);
  /// An empty file, if there is none.
  void make(AccountFile file);
  /// nullptr if there is no such file, or no such entry in it.
  [[nodiscard]] const AccountEntry* find(AccountFile file, std::string_view key) const;

 private:
  std::array<std::optional<AccountTable>, kAccountFiles> tables_;
};

}  // namespace vskel
