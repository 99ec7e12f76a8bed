#include "engine/txn/journal_text.h"

#include <array>
#include <cstdio>
#include <optional>

#include "engine/txn/crc32c.h"

namespace vskel {

namespace {

constexpr std::size_t kCrcDigits = 8;

std::string crc_text(std::string_view body) {
  std::array<char, kCrcDigits + 1> text{};
  std::snprintf(text.data(), text.size(), "%08x", crc32c(body));
  return text.data();
}

std::optional<nlohmann::json> parse_line(std::string_view line) {
  if (line.size() < kCrcDigits + 1 || line[kCrcDigits] != ' ') return std::nullopt;
  const std::string_view body = line.substr(kCrcDigits + 1);
  // Compared as text: a flipped bit that turns "a" into "A" is a flipped bit too.
  if (crc_text(body) != line.substr(0, kCrcDigits)) return std::nullopt;
  auto record = nlohmann::json::parse(body, nullptr, false);
  if (!record.is_object()) return std::nullopt;
  return record;
}

bool is_crc_text(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == text.npos; }

/// Whether a whole record ends a line of `tail`. It need not begin one: the newline before it may be what was damaged.
/// In a record itself nothing looks like that, because quotes in its strings are escaped.
bool holds_record(std::string_view tail) {
  for (std::size_t newline; (newline = tail.find('\n')) != tail.npos; tail.remove_prefix(newline + 1)) {
    const std::string_view line = tail.substr(0, newline);
    for (std::size_t at = line.find(" {"); at != line.npos; at = line.find(" {", at + 1)) {
      if (at < kCrcDigits || !is_crc_text(line.substr(at - kCrcDigits, kCrcDigits))) continue;
      if (parse_line(line.substr(at - kCrcDigits))) return true;
    }
  }
  return false;
}

}  // namespace

Result<std::string> journal_line(const nlohmann::json& record, const std::string& id) {
  try {
    const std::string body = record.dump(-1, ' ', true);
    return crc_text(body) + " " + body + "\n";
  } catch (const nlohmann::json::type_error&) {
    // Written with replacements, recover would act on other names than the operation did.
    return fail("write journal", id, "a record holds text that is not UTF-8");
  }
}

Result<JournalText> parse_journal(std::string_view text, const std::string& source) {
  JournalText out;
  for (std::size_t newline; (newline = text.find('\n', out.end)) != text.npos; out.end = newline + 1) {
    auto record = parse_line(text.substr(out.end, newline - out.end));
    if (!record) break;
    out.records.push_back(std::move(*record));
  }
  if (!holds_record(text.substr(out.end))) return out;
  return fail("read journal", source + ":" + std::to_string(out.records.size() + 1),
              "damaged; look at it before you move it away");
}

}  // namespace vskel
