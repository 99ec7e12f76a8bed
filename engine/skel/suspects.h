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

}  // namespace vskel
