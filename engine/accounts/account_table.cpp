#include "engine/accounts/account_table.h"

#include <algorithm>
#include <charconv>

namespace vskel {

namespace {

constexpr std::array<std::string_view, kAccountFiles> kNames{"passwd",  "shadow", "group",
                                                             "gshadow", "subuid", "subgid"};
constexpr std::array<std::size_t, kAccountFiles> kFieldCounts{7, 9, 4, 4, 3, 3};
constexpr std::size_t kMostLine = std::size_t{64} << 10, kMostName = 256, kMostEntries = 65536, kMostLines = 131072;
/// Places of lines in a table: room for what is put between two of them.
constexpr std::size_t kRoom = std::size_t{1} << 20;

bool is_range(AccountFile file) { return file == AccountFile::subuid || file == AccountFile::subgid; }

/// As printf has it and nothing else: what a tenant's program would read out of "+1", "01" or "1 " is not ours to
/// guess.
std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return number;
}

/// Why it is no name; nullptr if it is one.
const char* bad_name(std::string_view name) {
  if (name.empty()) return "a name is missing";
  if (name.size() > kMostName) return "a name is longer than 256 bytes";
  const auto odd = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == ','; };
  return std::ranges::any_of(name, odd) ? "a name has no blanks, commas and control characters" : nullptr;
}

const char* bad_names(std::string_view list) {
  while (!list.empty()) {
    const std::string_view name = list.substr(0, list.find(','));
    if (const char* why = bad_name(name)) return why;
    if (name.size() + 1 == list.size()) return "a name is missing";
    list.remove_prefix(std::min(list.size(), name.size() + 1));
  }
  return nullptr;
}

const char* bad_id(std::string_view text) {
  const auto number = number_of(text);
  return number && *number <= kHighestId ? nullptr : "a number is 0 to 4294967294, without a sign and leading zeros";
}

const char* bad_range(const AccountEntry& entry) {
  const auto start = number_of(entry.field(account_field::kStart)),
             count = number_of(entry.field(account_field::kCount));
  if (!start || !count) return "a range is a first number and a count, without a sign and leading zeros";
  return *start <= kHighestId && *count <= kHighestId + 1 - *start ? nullptr : "a range ends at 4294967294";
}

/// Why a line is no entry of the file; nullptr if it is one.
const char* bad_entry(AccountFile file, const AccountEntry& entry) {
  const std::string& line = entry.line();
  const auto fields = static_cast<std::size_t>(std::ranges::count(line, ':')) + 1;
  if (fields != kFieldCounts[static_cast<std::size_t>(file)]) return "another number of fields is wanted";
  if (const char* why = bad_name(entry.name())) return why;
  switch (file) {
    case AccountFile::passwd:
      if (const char* why = bad_id(entry.field(account_field::kUid))) return why;
      return bad_id(entry.field(account_field::kGid));
    case AccountFile::shadow:
      return nullptr;
    case AccountFile::group:
      if (const char* why = bad_id(entry.field(account_field::kGroupNumber))) return why;
      return bad_names(entry.field(account_field::kMembers));
    case AccountFile::gshadow:
      if (const char* why = bad_names(entry.field(account_field::kAdministrators))) return why;
      return bad_names(entry.field(account_field::kMembers));
    case AccountFile::subuid:
    case AccountFile::subgid:
      return bad_range(entry);
  }
  return nullptr;
}

bool is_of_nis(std::string_view line) { return line.starts_with('+') || line.starts_with('-'); }
bool is_no_entry(std::string_view line) {
  return line.find_first_not_of(" \t") == line.npos || line.starts_with('#') || is_of_nis(line);
}

}  // namespace

std::string_view account_file_name(AccountFile file) { return kNames[static_cast<std::size_t>(file)]; }

std::string_view AccountEntry::field(std::size_t place) const {
  std::string_view rest = line_;
  for (; place > 0; --place) {
    const std::size_t colon = rest.find(':');
    if (colon == rest.npos) return {};
    rest.remove_prefix(colon + 1);
  }
  return rest.substr(0, rest.find(':'));
}

std::uint32_t AccountEntry::number(std::size_t place) const {
  return static_cast<std::uint32_t>(number_of(field(place)).value_or(kHighestId));
}

std::vector<std::string> AccountEntry::names(std::size_t place) const {
  std::vector<std::string> out;
  std::string_view list = field(place);
  while (!list.empty()) {
    const std::string_view name = list.substr(0, list.find(','));
    out.emplace_back(name);
    list.remove_prefix(std::min(list.size(), name.size() + 1));
  }
  return out;
}

void AccountEntry::set_field(std::size_t place, std::string_view value) {
  const std::string_view old = field(place);
  if (old.data() == nullptr) return;
  line_.replace(static_cast<std::size_t>(old.data() - line_.data()), old.size(), value);
}

void AccountEntry::set_names(std::size_t place, const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list.append(list.empty() ? "" : ",").append(name);
  set_field(place, list);
}

Result<AccountTable> AccountTable::parse(AccountFile file, std::string_view bytes, const std::string& source) {
  if (bytes.size() > kMostAccountBytes) return fail("read accounts", source, "larger than 4 MiB");
  AccountTable table(file);
  table.ends_with_newline_ = bytes.empty() || bytes.ends_with('\n');
  for (std::size_t number = 1; !bytes.empty(); ++number) {
    const std::string_view text = bytes.substr(0, bytes.find('\n'));
    bytes.remove_prefix(std::min(bytes.size(), text.size() + 1));
    const auto bad = [&](const char* why) { return fail("read accounts", source + ":" + std::to_string(number), why); };
    if (number > kMostLines) return bad("more than 131072 lines");
    if (text.size() > kMostLine) return bad("a line is longer than 64 KiB");
    const auto is_control = [](char c) { return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == 0x7f; };
    if (std::ranges::any_of(text, is_control)) return bad("a line has no control characters");
    Line line{AccountEntry(std::string(text)), !is_no_entry(text)};
    if (line.is_entry) {
      if (const char* why = bad_entry(file, line.text)) return bad(why);
      if (table.places_.size() == kMostEntries) return bad("more than 65536 entries");
      if (!table.places_.emplace(table.key_of(line.text), number * kRoom).second) return bad("stands there twice");
    }
    table.lines_.emplace_hint(table.lines_.end(), number * kRoom, std::move(line));
  }
  return table;
}

std::string AccountTable::bytes() const {
  std::string out;
  for (const auto& [place, line] : lines_) out.append(line.text.line()).append("\n");
  if (!ends_with_newline_ && !out.empty()) out.pop_back();
  return out;
}

std::string_view AccountTable::key_of(const AccountEntry& entry) const {
  return is_range(file_) ? std::string_view(entry.line()) : entry.name();
}

const AccountEntry* AccountTable::find(std::string_view key) const {
  const auto found = places_.find(key);
  return found == places_.end() ? nullptr : &lines_.at(found->second).text;
}

std::vector<const AccountEntry*> AccountTable::entries() const {
  std::vector<const AccountEntry*> out;
  out.reserve(places_.size());
  for (const auto& [place, line] : lines_)
    if (line.is_entry) out.push_back(&line.text);
  return out;
}

void AccountTable::put(AccountEntry entry) {
  const auto known = places_.find(key_of(entry));
  if (known != places_.end()) {
    lines_.at(known->second).text = std::move(entry);
    return;
  }
  const auto nis = std::ranges::find_if(lines_, [](const auto& line) { return is_of_nis(line.second.text.line()); });
  // Ahead of a line there is room for more than a table has entries.
  const std::size_t above = nis == lines_.begin() ? 0 : std::prev(nis)->first;
  const std::size_t place = nis == lines_.end() ? above + kRoom : std::max(above, nis->first - kRoom) + 1;
  if (nis == lines_.end()) ends_with_newline_ = true;
  places_.emplace(key_of(entry), place);
  lines_.emplace(place, Line{std::move(entry), true});
}

void AccountTable::remove(std::string_view key) {
  const auto found = places_.find(key);
  if (found == places_.end()) return;
  lines_.erase(found->second);
  places_.erase(found);
}

Result<Accounts> Accounts::parse(const AccountTexts& texts, const std::string& root) {
  Accounts accounts;
  for (const AccountFile file : kAllAccountFiles) {
    const auto at = static_cast<std::size_t>(file);
    if (!texts[at]) continue;
    accounts.tables_[at] =
        TRY(AccountTable::parse(file, *texts[at], root + "etc/" + std::string(account_file_name(file))));
  }
  return accounts;
}

AccountTexts Accounts::texts() const {
  AccountTexts out;
  for (std::size_t at = 0; at < kAccountFiles; ++at)
    if (tables_[at]) out[at] = tables_[at]->bytes();
  return out;
}

const AccountTable* Accounts::table(AccountFile file) const {
  const auto& table = tables_[static_cast<std::size_t>(file)];
  return table ? &*table : nullptr;
}

AccountTable* Accounts::table(AccountFile file) {
  auto& table = tables_[static_cast<std::size_t>(file)];
  return table ? &*table : nullptr;
}

void Accounts::make(AccountFile file) {
  auto& table = tables_[static_cast<std::size_t>(file)];
  if (!table) table = std::move(*AccountTable::parse(file, "", ""));
}

const AccountEntry* Accounts::find(AccountFile file, std::string_view key) const {
  const AccountTable* const there = table(file);
  return there == nullptr ? nullptr : there->find(key);
}

}  // namespace vskel
