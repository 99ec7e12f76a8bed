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

/// Fills a pattern of a configuration file's path ("[create] config"). Whatever the values, the file is below the
/// directory that the pattern names before its first token, in as many directories as the pattern says: a value with a
/// '/', and values that make "", "." or ".." or a name of more than 255 bytes of a component are refused, naming token
/// and value. Pure.
[[nodiscard]] Result<std::string> fill_configuration_path(std::string_view pattern, const TokenValues& values);

}  // namespace vskel
