// Work that may be done only while others are still, in pieces between which they go on.
#pragma once

#include <functional>

#include "engine/sys/error.h"

namespace vskel {

/// Performs one short piece of work in a turn of whoever holds the others still (quiescence.h), and gives what it
/// gives, or why nothing further may be done. Thread-safe, if it is not empty: then nobody has to be still.
using InTurn = std::function<Result<>(const std::function<Result<>()>& work)>;

}  // namespace vskel
