// Which of the standard streams are terminals.
#pragma once

namespace vskel::cli {

enum class Stream { input = 0, output = 1, error = 2 };

[[nodiscard]] bool is_terminal(Stream stream);

/// Is there somebody to ask? Questions go to standard error and answers come from standard input, so both must be
/// terminals.
[[nodiscard]] bool can_ask();

}  // namespace vskel::cli
