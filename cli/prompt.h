// Questions to the administrator, on standard error, with answers from standard input. Only where can_ask() says so.
#pragma once

#include <string>

#include "cli/output.h"
#include "engine/sys/error.h"

namespace vskel::cli {

/// One line of an answer without the blanks around it; refused at the end of input.
[[nodiscard]] Result<std::string> ask_line(const std::string& question);

/// Asks until `parse` takes the answer, telling each time which rule the last one broke.
template <class Value>
[[nodiscard]] Result<Value> ask(Output& output, const std::string& question,
                                Result<Value> (*parse)(const std::string&)) {
  for (;;) {
    Result<Value> value = parse(TRY(ask_line(question)));
    if (value) return value;
    output.error(value.error().line());
  }
}

/// y or yes is a yes; all else, the end of input too, is a no.
[[nodiscard]] bool confirm(const std::string& question);

}  // namespace vskel::cli
