// Is there a private key in a file? Text only: PEM (of OpenSSL's, OpenSSH's and PGP's kinds) has it in its first line.
#pragma once

#include <string_view>

#include "engine/sys/kernel.h"

namespace vskel {

/// Does a line of `text` begin, behind white space, as such a key does? Text with a NUL byte in it has none.
[[nodiscard]] bool has_private_key(std::string_view text);
/// The same of a regular file's first MiB. Error: it could not be read.
[[nodiscard]] Result<bool> holds_private_key(const Fd& file);

}  // namespace vskel
