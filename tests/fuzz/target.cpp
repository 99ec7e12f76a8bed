#include "tests/fuzz/target.h"

#include <array>

namespace vskel::test::fuzz {

bool is_safe_path(std::string_view path) {
  if (path.find('\0') != path.npos) return false;
  for (;;) {
    const std::string_view component = path.substr(0, path.find('/'));
    if (component.empty() || component == "." || component == ".." || component.size() > 255) return false;
    if (component.size() == path.size()) return true;
    path.remove_prefix(component.size() + 1);
  }
}

std::span<const Target> targets() {
  static constexpr std::array kTargets{
      Target{"accounts", accounts}, Target{"archive", archive},   Target{"container", container},
      Target{"fleet", fleet},       Target{"identity", identity}, Target{"journal", journal},
      Target{"layout", layout},     Target{"manifest", manifest}, Target{"packages", packages},
      Target{"record", record},     Target{"settings", settings}, Target{"steps", steps},
      Target{"tokens", tokens}};
  return kTargets;
}

}  // namespace vskel::test::fuzz
