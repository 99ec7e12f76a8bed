// The time that records say.
#pragma once

#include <string>

namespace vskel {

/// UTC, "2026-01-31T12:00:00Z".
[[nodiscard]] std::string utc_now();

}  // namespace vskel
