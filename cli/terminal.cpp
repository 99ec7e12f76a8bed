// The one question about descriptors that only a front end has.

#include "cli/terminal.h"

#include <unistd.h>

namespace vskel::cli {

bool is_terminal(Stream stream) { return ::isatty(static_cast<int>(stream)) == 1; }

bool can_ask() { return is_terminal(Stream::input) && is_terminal(Stream::error); }

}  // namespace vskel::cli
