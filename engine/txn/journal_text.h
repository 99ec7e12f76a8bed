// The text of one intent's file: a record a line, `CRC32C(8 hex) JSON\n`. Pure; thread-safe.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sys/error.h"

namespace vskel {

struct JournalText {
  std::vector<nlohmann::json> records;  ///< objects
  std::size_t end = 0;                  ///< of the last record; what a crash tore stands behind it
};

/// One record's line. Text that is not UTF-8 is refused; `id` names the intent in messages.
[[nodiscard]] Result<std::string> journal_line(const nlohmann::json& record, const std::string& id);

/// The records of a text up to a torn one. A damaged one that is followed by a whole one is refused, naming
/// "SOURCE:RECORD".
[[nodiscard]] Result<JournalText> parse_journal(std::string_view text, const std::string& source);

}  // namespace vskel
