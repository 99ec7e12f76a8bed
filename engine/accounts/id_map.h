// Numbers that are another's in one vserver: whatever a skel has of user 104 belongs to 998 there, because its own 104
// is somebody else. Values; thread-safe as any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace vskel {

/// The highest number that an account may have: the one above means "none" to chown(2).
inline constexpr std::uint32_t kHighestId = 4294967294;
/// How many numbers of each kind a map may hold.
inline constexpr std::size_t kMostMapped = 65536;

/// A number of the skel's -> the vserver's. What is not in it stays as it is. Root is never mapped, nor is anything
/// mapped to root.
struct IdMap {
  std::map<std::uint32_t, std::uint32_t> uid, gid;

  [[nodiscard]] bool empty() const { return uid.empty() && gid.empty(); }
  /// What belongs to `skels` in the skel belongs to this user in the vserver.
  [[nodiscard]] std::uint32_t user(std::uint32_t skels) const { return find(uid, skels); }
  [[nodiscard]] std::uint32_t group(std::uint32_t skels) const { return find(gid, skels); }
  friend bool operator==(const IdMap&, const IdMap&) = default;

 private:
  [[nodiscard]] static std::uint32_t find(const std::map<std::uint32_t, std::uint32_t>& map, std::uint32_t number) {
    const auto found = map.find(number);
    return found == map.end() ? number : found->second;
  }
};

}  // namespace vskel
