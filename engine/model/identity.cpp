#include "engine/model/identity.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

namespace vskel {

namespace {

bool is_alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_plain_name(const std::string& text) {
  constexpr std::size_t kLongest = 63;
  if (text.empty() || text.size() > kLongest || !is_alphanumeric(text.front())) return false;
  return std::ranges::all_of(text, [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

constexpr const char* kNameRule = "a name is [A-Za-z0-9][A-Za-z0-9._-]{0,62}";

bool is_label(std::string_view label) {
  constexpr std::size_t kLongest = 63;
  if (label.empty() || label.size() > kLongest || label.front() == '-' || label.back() == '-') return false;
  return std::ranges::all_of(label, [](char c) { return is_alphanumeric(c) || c == '-'; });
}

/// An address as its bytes, 4 or 16 of them, and the prefix length.
struct Parsed {
  int family = AF_INET;
  std::array<unsigned char, 16> bytes{};
  std::size_t size = 4;
  std::optional<unsigned> prefix;
};

/// Why an address is of no use to a vserver; nullptr if it is.
const char* unusable(const Parsed& address) {
  const auto& b = address.bytes;
  const bool zero =
      std::all_of(b.begin(), b.begin() + static_cast<long>(address.size), [](unsigned char c) { return c == 0; });
  if (zero) return "the unspecified address";
  if (address.family == AF_INET)
    return (b[0] & 0xf0) == 0xe0                                    ? "a multicast address"
           : b == std::array<unsigned char, 16>{255, 255, 255, 255} ? "the broadcast address"
                                                                    : nullptr;
  if (b[0] == 0xff) return "a multicast address";
  constexpr std::array<unsigned char, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(kMapped.begin(), kMapped.end(), b.begin()) ? "an IPv4-mapped address" : nullptr;
}

std::optional<Parsed> parse_address(const std::string& text) {
  Parsed out;
  const std::size_t slash = text.find('/');
  const std::string host = text.substr(0, slash);
  out.family = host.find(':') == host.npos ? AF_INET : AF_INET6;
  out.size = out.family == AF_INET ? 4 : 16;
  if (host.find('\0') != host.npos || ::inet_pton(out.family, host.c_str(), out.bytes.data()) != 1) return std::nullopt;
  if (slash == text.npos) return out;
  unsigned prefix = 0;
  const std::string_view digits = std::string_view(text).substr(slash + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
  const bool whole =
      error == std::errc{} && end == digits.data() + digits.size() && (digits.size() == 1 || digits[0] != '0');
  if (!whole || prefix > out.size * 8) return std::nullopt;
  out.prefix = prefix;
  return out;
}

std::string print(const Parsed& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(address.family, address.bytes.data(), text.data(), text.size());
  std::string out = text.data();
  if (address.prefix) out += "/" + std::to_string(*address.prefix);
  return out;
}

bool same_network(const Parsed& a, const Parsed& b) {
  const unsigned bits = a.prefix.value_or(0);
  for (unsigned bit = 0; bit < bits; ++bit) {
    const unsigned mask = 0x80U >> (bit % 8);
    if ((a.bytes[bit / 8] & mask) != (b.bytes[bit / 8] & mask)) return false;
  }
  return true;
}

}  // namespace

Result<SkelName> SkelName::parse(const std::string& text) {
  if (!is_plain_name(text)) return refuse("skel name", text, kNameRule);
  return SkelName(text);
}

Result<VserverName> VserverName::parse(const std::string& text) {
  if (!is_plain_name(text)) return refuse("vserver name", text, kNameRule);
  if (text.starts_with("tmp_skel_"))
    return refuse("vserver name", text, "names that begin with tmp_skel_ belong to merged skels");
  return VserverName(text);
}

Result<Fqdn> Fqdn::parse(const std::string& text) {
  constexpr std::size_t kLongest = 253;
  const auto bad = [&](const char* rule) { return refuse("FQDN", text, rule); };
  if (text.empty() || text.size() > kLongest) return bad("a host name has 1 to 253 characters (RFC 1123)");
  std::string_view rest = text, label;
  for (bool more = true; more;) {
    const std::size_t dot = rest.find('.');
    label = rest.substr(0, dot);
    if (!is_label(label)) return bad("labels are 1 to 63 letters, digits and inner hyphens (RFC 1123)");
    more = dot != rest.npos;
    if (more) rest.remove_prefix(dot + 1);
  }
  if (std::ranges::all_of(label, is_digit)) return bad("the last label may not be all digits (RFC 1123)");
  return Fqdn(text);
}

Result<Address> Address::parse(const std::string& text) {
  const auto parsed = parse_address(text);
  if (!parsed) return refuse("IP address", text, "an IPv4 or IPv6 address is wanted, optionally with /prefix");
  if (const char* reason = unusable(*parsed))
    return refuse("IP address", text, std::string(reason) + " is no vserver's");
  return Address(print(*parsed));
}

Result<Address> Address::plus(unsigned steps) const {
  const Parsed first = *parse_address(text_);
  Parsed next = first;
  std::uint64_t carry = steps;
  for (std::size_t at = next.size; at-- > 0 && carry != 0;) {
    carry += next.bytes[at];
    next.bytes[at] = static_cast<unsigned char>(carry & 0xff);
    carry >>= 8;
  }
  if (carry != 0 || unusable(next) != nullptr || !same_network(first, next))
    return refuse("IP address", text_, "the range ends before " + std::to_string(steps) + " more addresses");
  return Address(print(next));
}

}  // namespace vskel
