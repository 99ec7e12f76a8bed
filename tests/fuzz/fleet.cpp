#include "engine/vserver/fleet.h"

#include <algorithm>
#include <set>

#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

namespace {

std::string csv_field(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) out.append(c == '"' ? 2 : 1, c);
  return out + "\"";
}

/// As a spreadsheet would write it. All members have the same columns.
std::string csv_of(const Fleet& fleet) {
  std::string out = "name,fqdn,ip,context";
  for (const auto& [column, value] : fleet.front().columns) out += "," + column;
  out += "\n";
  for (const FleetMember& member : fleet) {
    out += member.name.text() + "," + member.fqdn.text() + "," + member.address.text() + ",";
    if (member.context) out += std::to_string(*member.context);
    for (const auto& [column, value] : member.columns) out += "," + csv_field(value);
    out += "\r\n";
  }
  return out;
}

bool is_variable_name(std::string_view name) {
  const auto letter = [](char c) { return c >= 'A' && c <= 'Z'; };
  return !name.empty() && letter(name[0]) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_'; });
}

void check(const FleetMember& member) {
  must(is_safe_path(member.name.text()) && member.name.text().find('/') == std::string::npos, "a name is a name");
  must(Fqdn::parse(member.fqdn.text()).has_value(), "an FQDN is one");
  must(Address::parse(member.address.text()).has_value(), "an address is one");
  for (const auto& [column, value] : member.columns) {
    must(is_variable_name(column), "a column names a variable");
    must(std::ranges::none_of(value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }),
         "a value is one line of text");
  }
}

void check(const Fleet& fleet) {
  std::set<std::string> names, addresses;
  for (const FleetMember& member : fleet) {
    check(member);
    must(names.insert(member.name.text()).second && addresses.insert(member.address.host()).second,
         "no two are the same");
  }
}

void check_file(std::string_view bytes) {
  const auto first = parse_fleet(bytes, "f");
  if (!first) {
    must(first.error().blame == Blame::request && first.error().path.starts_with("f"), "an error names the file");
    return;
  }
  must(!first->empty(), "a fleet has members");
  check(*first);
  const auto second = parse_fleet(csv_of(*first), "f");
  must(second && second->size() == first->size(), "what was written can be read");
  for (std::size_t at = 0; at < first->size(); ++at) {
    const FleetMember &before = (*first)[at], &after = (*second)[at];
    must(before.name == after.name && before.fqdn.text() == after.fqdn.text() &&
             before.address.text() == after.address.text() && before.context == after.context &&
             before.columns == after.columns,
         "a member comes back as it was");
  }
}

/// The first line as a pattern of names, the second of host names.
void check_patterns(std::string_view bytes) {
  const std::size_t newline = bytes.find('\n');
  if (newline == bytes.npos) return;
  const auto fleet = count_fleet(11, std::string(bytes.substr(0, newline)), std::string(bytes.substr(newline + 1)),
                                 *Address::parse("192.0.2.1"));
  if (!fleet) return;
  must(fleet->size() == 11, "as many as were asked for");
  check(*fleet);
}

}  // namespace

void fleet(std::string_view bytes) {
  check_file(bytes);
  check_patterns(bytes);
}

}  // namespace vskel::test::fuzz
