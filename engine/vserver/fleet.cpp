#include "engine/vserver/fleet.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

namespace vskel {

namespace {

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

/// One record of an RFC 4180 file. Takes it from `text`, lines counted in `number`; nullopt on a quote that is out of
/// place.
std::optional<std::vector<std::string>> take_row(std::string_view& text, std::size_t& number) {
  std::vector<std::string> fields(1);
  bool quoted = false, was_quoted = false;
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\n') ++number;
      if (c != '"') {
        fields.back().push_back(c);
      } else if (at + 1 < text.size() && text[at + 1] == '"') {
        fields.back().push_back(text[++at]);
      } else {
        quoted = false;
      }
      continue;
    }
    if (c == '\n') break;
    if (c == '\r' && at + 1 < text.size() && text[at + 1] == '\n') continue;
    if (c == ',') {
      fields.emplace_back();
      was_quoted = false;
    } else if (c == '"') {
      if (!fields.back().empty() || was_quoted) return std::nullopt;
      quoted = was_quoted = true;
    } else if (was_quoted) {
      return std::nullopt;
    } else {
      fields.back().push_back(c);
    }
  }
  if (quoted) return std::nullopt;
  text.remove_prefix(std::min(text.size(), at + 1));
  ++number;
  return fields;
}

bool is_blank(const std::vector<std::string>& row) {
  return row.size() == 1 && row[0].find_first_not_of(" \t") == std::string::npos;
}

bool is_column_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
  const auto inner = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_'; };
  return !name.empty() && name.size() <= 64 && letter(name.front()) && std::ranges::all_of(name, inner);
}

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

/// The header: column names in upper case, in their order.
Result<std::vector<std::string>> read_header(const std::vector<std::string>& row, const std::string& where) {
  constexpr std::array<std::string_view, 4> kTaken{"DIR", "SKEL", "CIDR", "VS"};
  std::vector<std::string> columns;
  for (const std::string& field : row) {
    const std::string name = upper(trimmed(field));
    if (!is_column_name(name))
      return refuse("read fleet", where, "column '" + printable(field) + "': a column name is [A-Za-z][A-Za-z0-9_]*");
    if (std::ranges::find(kTaken, name) != kTaken.end())
      return refuse("read fleet", where, "column '" + field + "': vskel fills this token itself");
    if (std::ranges::find(columns, name) != columns.end())
      return refuse("read fleet", where, "column '" + field + "' twice");
    columns.push_back(name);
  }
  for (const std::string_view needed : {"NAME", "FQDN", "IP"})
    if (std::ranges::find(columns, needed) == columns.end())
      return refuse("read fleet", where, "the header must name the columns name,fqdn,ip");
  return columns;
}

/// An error of a checked type, with the line it stands on.
template <class T>
Result<T> at_line(Result<T> result, const std::string& where) {
  if (result) return result;
  Error error = std::move(result).error();
  return refuse("read fleet", where, error.operation + " '" + error.path + "': " + error.reason);
}

Result<std::uint32_t> parse_context(const std::string& text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    return refuse("context", text, "a context id is a number");
  return value;
}

Result<FleetMember> read_member(const std::vector<std::string>& columns, const std::vector<std::string>& row,
                                const std::string& where) {
  if (row.size() != columns.size())
    return refuse("read fleet", where,
                  std::to_string(row.size()) + " fields where the header has " + std::to_string(columns.size()));
  std::map<std::string, std::string> fields;
  for (std::size_t at = 0; at < columns.size(); ++at) fields[columns[at]] = trimmed(row[at]);
  std::optional<std::uint32_t> context;
  if (const auto given = fields.find("CONTEXT"); given != fields.end() && !given->second.empty())
    context = TRY(at_line(parse_context(given->second), where));
  VserverName name = TRY(at_line(VserverName::parse(fields["NAME"]), where));
  Fqdn fqdn = TRY(at_line(Fqdn::parse(fields["FQDN"]), where));
  Address address = TRY(at_line(Address::parse(fields["IP"]), where));
  FleetMember member{std::move(name), std::move(fqdn), std::move(address), context, {}, where};
  for (const std::string_view own : {"NAME", "FQDN", "IP", "CONTEXT"}) fields.erase(std::string(own));
  for (const auto& [column, value] : fields) {
    const bool control =
        std::ranges::any_of(value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    if (control) return refuse("read fleet", where, "column '" + column + "': control characters are not allowed");
  }
  member.columns = std::move(fields);
  return member;
}

/// A pattern with one number in it, printf-like.
class Pattern {
 public:
  static Result<Pattern> parse(const std::string& text, bool name_allowed) {
    Pattern out;
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (text[at] != '%') {
        out.pieces_.back().push_back(text[at]);
        continue;
      }
      if (++at < text.size() && text[at] == '%') {
        out.pieces_.back().push_back('%');
        continue;
      }
      const std::size_t begin = at;
      if (at < text.size() && text[at] == '0') ++at;
      unsigned width = 0;
      while (at < text.size() && text[at] >= '0' && text[at] <= '9' && width < 10)
        width = width * 10 + static_cast<unsigned>(text[at++] - '0');
      const bool number = at < text.size() && text[at] == 'd' && width <= 20;
      const bool name = name_allowed && at == begin && at < text.size() && text[at] == 's';
      if (!number && !name)
        return refuse("pattern", text,
                      name_allowed ? "one %s or %d is wanted, and %% for a percent sign"
                                   : "one %d is wanted (%03d for leading zeros), and %% for a percent sign");
      if (out.pieces_.size() == 2) return refuse("pattern", text, "only one placeholder is wanted");
      out.pad_ = number && text[begin] == '0' ? '0' : ' ';
      out.width_ = width;
      out.is_name_ = name;
      out.pieces_.emplace_back();
    }
    if (out.pieces_.size() != 2) return refuse("pattern", text, name_allowed ? "%s or %d is missing" : "%d is missing");
    return out;
  }

  [[nodiscard]] std::string fill(unsigned number, const std::string& name) const {
    std::string middle = is_name_ ? name : std::to_string(number);
    if (!is_name_ && middle.size() < width_) middle.insert(0, width_ - middle.size(), pad_);
    return pieces_[0] + middle + pieces_[1];
  }

 private:
  std::vector<std::string> pieces_{1};
  char pad_ = ' ';
  std::size_t width_ = 0;
  bool is_name_ = false;
};

}  // namespace

Result<Fleet> parse_fleet(std::string_view csv, const std::string& source) {
  if (csv.starts_with("\xef\xbb\xbf")) csv.remove_prefix(3);
  Fleet fleet;
  std::vector<std::string> columns;
  std::map<std::string, std::string> seen;  // what has to be single -> where it stands
  for (std::size_t number = 1; !csv.empty();) {
    const std::string where = source + ":" + std::to_string(number);
    if (csv.front() == '#') {
      csv.remove_prefix(std::min(csv.size(), csv.find('\n') == csv.npos ? csv.size() : csv.find('\n') + 1));
      ++number;
      continue;
    }
    const auto row = take_row(csv, number);
    if (!row) return refuse("read fleet", where, "a quote is out of place");
    if (is_blank(*row)) continue;
    if (columns.empty()) {
      columns = TRY(read_header(*row, where));
      continue;
    }
    FleetMember member = TRY(read_member(columns, *row, where));
    std::vector<std::string> single{"name '" + member.name.text() + "'", "ip '" + member.address.host() + "'"};
    if (member.context) single.push_back("context '" + std::to_string(*member.context) + "'");
    for (const std::string& what : single) {
      const auto [first, is_new] = seen.emplace(what, where);
      if (!is_new) return refuse("read fleet", where, what + " stands at " + first->second + " already");
    }
    fleet.push_back(std::move(member));
  }
  if (columns.empty()) return refuse("read fleet", source, "the header name,fqdn,ip is missing");
  if (fleet.empty()) return refuse("read fleet", source, "no vserver in it");
  return fleet;
}

Result<Fleet> count_fleet(unsigned count, const std::string& name_pattern, const std::string& fqdn_pattern,
                          const Address& first) {
  constexpr unsigned kMost = 49152;
  if (count == 0 || count > kMost)
    return refuse("count", std::to_string(count), "1 to " + std::to_string(kMost) + " vservers");
  const Pattern names = TRY(Pattern::parse(name_pattern, false));
  const Pattern fqdns = TRY(Pattern::parse(fqdn_pattern, true));
  Fleet fleet;
  for (unsigned number = 1; number <= count; ++number) {
    VserverName name = TRY(VserverName::parse(names.fill(number, {})));
    Fqdn fqdn = TRY(Fqdn::parse(fqdns.fill(number, name.text())));
    Address address = TRY(first.plus(number - 1));
    fleet.push_back({std::move(name), std::move(fqdn), std::move(address), std::nullopt, {}, {}});
  }
  return fleet;
}

}  // namespace vskel
