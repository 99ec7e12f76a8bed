// What shall be created: one vserver or a fleet of them, read from arguments, a CSV file or a pattern, and checked
// whole before anything is touched. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model/identity.h"

namespace vskel {

/// One vserver to be made.
struct FleetMember {
  VserverName name;
  Fqdn fqdn;
  Address address;
  std::optional<std::uint32_t> context;  ///< asked for; else the next free one
  std::map<std::string, std::string>
      columns;          ///< further columns, NAME (upper case) -> value; become %%VS_NAME%% and $VS_NAME
  std::string where{};  ///< "SOURCE:LINE" of a fleet file; empty where there is none
};

using Fleet = std::vector<FleetMember>;

/// CSV with a header `name,fqdn,ip[,context][,MORE...]` (RFC 4180 quoting, LF or CRLF, UTF-8 BOM and blank lines
/// ignored, a line that begins with # is a comment). Column names: [A-Za-z][A-Za-z0-9_]*, no two the same whatever
/// their case, none of the built-in token names (fqdn, ip, name, context, dir, skel, cidr) twice; name, fqdn and ip are
/// required, in any order. Values of further columns: no control characters. Doubles of name, ip or context are
/// refused. `source` names the file in messages: "SOURCE:LINE". Line numbers count from 1.
[[nodiscard]] Result<Fleet> parse_fleet(std::string_view csv, const std::string& source);

/// `count` members: `name_pattern` and `fqdn_pattern` are printf-like with exactly one %d (with width and zero: %03d)
/// for the number from 1 in the name, and one %s (the name) or one %d in the FQDN. Addresses count up from `first`.
/// Anything else in the pattern after % but %% is refused.
[[nodiscard]] Result<Fleet> count_fleet(unsigned count, const std::string& name_pattern,
                                        const std::string& fqdn_pattern, const Address& first);

}  // namespace vskel
