// The values of tokens that a vserver's record gives. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/skel/tokens.h"
#include "engine/vserver/record.h"

namespace vskel {

/// A static file that is larger is copied as it is.
inline constexpr std::uint64_t kMostStaticBytes = 16 << 20;

/// For fill_tokens(). `vservers` is the directory that the vserver lies in. What the record does not know, of an
/// adopted vserver, has no value.
[[nodiscard]] TokenValues tokens_of(const Record& record, const std::string& vservers);
/// One of those that every vserver is made with; others are columns of a fleet file.
[[nodiscard]] bool is_of_every_vserver(std::string_view token);

}  // namespace vskel
