#include <array>
#include <cstdio>

#include "engine/txn/crc32c.h"
#include "engine/txn/journal_text.h"
#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

namespace {

/// Every line as a record with its right checksum, which no mutation would find.
std::string with_checksums(std::string_view lines) {
  std::string out;
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
    std::array<char, 16> checksum{};
    std::snprintf(checksum.data(), checksum.size(), "%08x ", crc32c(line));
    out.append(checksum.data()).append(line).append("\n");
  }
  return out;
}

void check(std::string_view text) {
  const auto parsed = parse_journal(text, "j");
  if (!parsed) {
    must(parsed.error().path.starts_with("j:"), "an error names the record");
    return;
  }
  must(parsed->end <= text.size(), "records end in their text");
  must(parsed->end == 0 || text[parsed->end - 1] == '\n', "a record is a whole line");
  must(parsed->records.empty() == (parsed->end == 0), "records take their place");
  std::string again;
  for (const nlohmann::json& record : parsed->records) {
    must(record.is_object(), "a record is an object");
    const auto line = journal_line(record, "j");
    must(line.has_value(), "what was read can be written");
    again += *line;
  }
  const auto second = parse_journal(again, "j");
  must(second && second->records == parsed->records && second->end == again.size(), "a journal comes back as it was");
  const auto cut = parse_journal(text.substr(0, parsed->end), "j");
  must(cut && cut->records == parsed->records && cut->end == parsed->end, "what was torn had no part in it");
}

}  // namespace

void journal(std::string_view bytes) {
  check(bytes);
  check(with_checksums(bytes));
}

}  // namespace vskel::test::fuzz
