#include <algorithm>

#include "engine/vserver/confinement.h"
#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

void container(std::string_view bytes) {
  const auto lines = static_cast<unsigned>(std::ranges::count(bytes, '\n')) + 1;
  const std::vector<Weakness> found = find_weaknesses(bytes);
  must(std::ranges::is_sorted(found, {}, &Weakness::line), "by line");
  for (const Weakness& weakness : found) {
    must(weakness.line <= lines, "a line that is there");
    must(!weakness.setting.empty() && !weakness.what.empty(), "a setting, and what it does");
  }
  // The last wins, whatever stands before it; the empty line ends what goes on after a backslash.
  const std::vector<Weakness> weak = find_weaknesses(std::string(bytes) + "\n\n[Exec]\nPrivateUsers=no\n");
  must(std::ranges::any_of(weak, [](const Weakness& weakness) { return weakness.setting == "PrivateUsers=no"; }),
       "no user namespace is found");
  must(find_weaknesses(std::string(bytes) + "\n\n[Exec]\nPrivateUsers=pick\n[Files]\nPrivateUsersOwnership=map\n")
           .empty(),
       "a user namespace with mapped owners is enough");
}

}  // namespace vskel::test::fuzz
