// What a freshly built skel should not hand to every vserver unseen. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/manifest/manifest.h"

namespace vskel {

/// Why this path of a skel deserves a look ("SSH host key", "log file", "shell history" ...), judged by name, type and
/// size; nullopt if it does not.
[[nodiscard]] std::optional<std::string_view> reason_to_look(const ManifestEntry& entry);
/// Accounts of a shadow(5) file that have a password hash.
[[nodiscard]] std::vector<std::string> accounts_with_password(std::string_view shadow);

/// What to look for to find a host's name, whole or as the first part of another: the first label of the name that
/// hostname(5), or the kernel, says. "" where that tells nothing: no name, localhost, or not one at all.
[[nodiscard]] std::string own_label(std::string_view host_name);
/// Does `text` have `label` in it as a word? Text with a NUL byte in it has not. Never of the label "".
[[nodiscard]] bool names_host(std::string_view text, std::string_view label);

}  // namespace vskel
