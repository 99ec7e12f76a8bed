// The configuration file of a vserver, from a template with tokens.
#pragma once

#include <string>

#include "engine/skel/tokens.h"
#include "engine/sys/error.h"

namespace vskel {

/// Fills a configuration template. The file may be sourced by a shell or read line by line by a container manager: a
/// value that the template asks for must be of [A-Za-z0-9._:/@+-], anything else is refused, naming token and value
/// (threats.md R17). Pure.
[[nodiscard]] Result<Filled> fill_configuration(std::string_view text, const TokenValues& values);

}  // namespace vskel
