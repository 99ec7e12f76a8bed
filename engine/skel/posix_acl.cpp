// The kernel refuses an ACL whose entries are not in the order of their tags, and of their ids within one tag
// (posix_acl_valid), so they are sorted here.

#include "engine/skel/posix_acl.h"

#include <algorithm>
#include <charconv>

namespace vskel {

namespace {

constexpr std::uint32_t kVersion = 2, kNoId = 0xffffffff;

void append_little_endian(std::string& out, std::uint32_t number, int bytes) {
  for (int at = 0; at < bytes; ++at) out.push_back(static_cast<char>((number >> (8 * at)) & 0xffU));
}

std::uint32_t little_endian(std::string_view value, std::size_t at, int bytes) {
  std::uint32_t number = 0;
  for (int byte = bytes - 1; byte >= 0; --byte)
    number = number << 8 | static_cast<unsigned char>(value[at + static_cast<std::size_t>(byte)]);
  return number;
}

std::uint32_t big_endian(std::string_view value, std::size_t at) {
  std::uint32_t number = 0;
  for (const char byte : value.substr(at, 4)) number = number << 8 | static_cast<unsigned char>(byte);
  return number;
}

void append_big_endian(std::string& out, std::uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>((number >> shift) & 0xffU));
}

/// Cuts the next field off `line`.
std::string_view next_field(std::string_view& line) {
  const std::string_view field = line.substr(0, line.find(':'));
  line.remove_prefix(std::min(line.size(), field.size() + 1));
  return field;
}

}  // namespace

Ids read_ids(std::string_view text) {
  Ids out;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::string_view name = next_field(line);
    next_field(line);
    const std::string_view number = next_field(line);
    std::uint32_t id = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), id);
    if (!name.empty() && error == std::errc{} && end == number.data() + number.size()) out.emplace(name, id);
  }
  return out;
}

namespace {

void map_entry(AclEntry& entry, const IdMap& ids) {
  if (entry.tag == AclTag::user) entry.id = ids.user(*entry.id);
  if (entry.tag == AclTag::group) entry.id = ids.group(*entry.id);
}

std::string mapped_generic(const std::string& value, const IdMap& ids) {
  constexpr std::size_t kHeader = 4, kEntry = 8;
  if (value.size() < kHeader || (value.size() - kHeader) % kEntry != 0 || little_endian(value, 0, 4) != kVersion)
    return value;
  std::vector<AclEntry> entries;
  for (std::size_t at = kHeader; at < value.size(); at += kEntry) {
    AclEntry& entry = entries.emplace_back();
    entry.tag = static_cast<AclTag>(little_endian(value, at, 2));
    entry.permissions = static_cast<std::uint16_t>(little_endian(value, at + 2, 2));
    entry.id = little_endian(value, at + 4, 4);
    map_entry(entry, ids);
  }
  return acl_value(std::move(entries));
}

/// fs/xfs/libxfs/xfs_format.h, struct xfs_acl: a count, then of each entry tag, id, permissions and two bytes of
/// nothing; big-endian.
std::string mapped_of_xfs(const std::string& value, const IdMap& ids) {
  constexpr std::size_t kHeader = 4, kEntry = 12;
  if (value.size() < kHeader || (value.size() - kHeader) % kEntry != 0) return value;
  std::vector<std::pair<AclEntry, std::string>> entries;  // with all after the id
  for (std::size_t at = kHeader; at < value.size(); at += kEntry) {
    auto& [entry, rest] = entries.emplace_back();
    entry.tag = static_cast<AclTag>(big_endian(value, at));
    entry.id = big_endian(value, at + 4);
    rest = value.substr(at + 8, 4);
    map_entry(entry, ids);
  }
  std::ranges::sort(entries, {}, [](const auto& entry) { return std::pair(entry.first.tag, *entry.first.id); });
  std::string out = value.substr(0, kHeader);
  for (const auto& [entry, rest] : entries) {
    append_big_endian(out, static_cast<std::uint32_t>(entry.tag));
    append_big_endian(out, *entry.id);
    out += rest;
  }
  return out;
}

}  // namespace

std::string acl_value(std::vector<AclEntry> entries) {
  const auto id = [](const AclEntry& entry) { return entry.id.value_or(kNoId); };
  std::ranges::sort(entries, {}, [&](const AclEntry& entry) { return std::pair(entry.tag, id(entry)); });
  std::string out;
  append_little_endian(out, kVersion, 4);
  for (const AclEntry& entry : entries) {
    append_little_endian(out, static_cast<std::uint32_t>(entry.tag), 2);
    append_little_endian(out, entry.permissions, 2);
    append_little_endian(out, id(entry), 4);
  }
  return out;
}

std::string mapped_acl(std::string_view xattr, const std::string& value, const IdMap& ids) {
  if (xattr.starts_with("system.posix_acl_")) return mapped_generic(value, ids);
  if (xattr.starts_with("trusted.SGI_ACL_")) return mapped_of_xfs(value, ids);
  return value;
}

}  // namespace vskel
