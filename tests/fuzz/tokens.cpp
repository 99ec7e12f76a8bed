// Text with tokens, and names as manifests spell them.

#include "engine/skel/tokens.h"

#include <algorithm>

#include "engine/manifest/manifest.h"
#include "engine/skel/posix_acl.h"
#include "engine/sys/error.h"
#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

namespace {

void check_tokens(std::string_view text) {
  const Filled nothing = fill_tokens(text, {});
  must(nothing.text == text, "tokens that nobody knows stay");
  for (const std::string& name : nothing.unknown) {
    must(text.contains("%%" + name + "%%"), "what is unknown stands there");
    // A value that looks like a token is no token.
    const Filled once = fill_tokens(text, {{name, "%%VS_B%%"}});
    must(std::ranges::count(once.unknown, name) == 0, "what is known is not unknown");
    must(fill_tokens(text, {{name, "%%" + name + "%%"}}).text == text, "output is not looked at again");
  }
  must(nothing.unknown.empty() || has_tokens(text) || text.contains('\0'), "a text with tokens has tokens");
}

void check_path(std::string_view bytes) {
  const std::string encoded = encode_path(bytes);
  must(std::ranges::all_of(encoded, [](char c) { return c > ' ' && c < 0x7f && c != '#' && c != '*' && c != '['; }),
       "an encoded name is printable");
  const auto back = decode_path(encoded);
  must(bytes.contains('\0') ? !back : back == bytes, "a name comes back as it was");
  if (const auto decoded = decode_path(bytes))
    must(decode_path(encode_path(*decoded)) == decoded, "what was decoded can be encoded");
}

void check_printable(std::string_view bytes) {
  const std::string text = printable(bytes);
  must(std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }),
       "what is printed has no control characters");
}

void check_accounts(std::string_view bytes) {
  std::vector<AclEntry> entries{{AclTag::other, 7, {}, {}}, {AclTag::owner, 7, {}, {}}};
  for (const auto& [name, id] : read_ids(bytes)) {
    must(!name.empty() && name.find_first_of(":\n") == std::string::npos, "an account's name is a field");
    entries.push_back({AclTag::user, 7, id, name});
  }
  const std::size_t count = entries.size();
  must(acl_value(std::move(entries)).size() == 4 + 8 * count, "an ACL has all its entries");
}

}  // namespace

void tokens(std::string_view bytes) {
  check_tokens(bytes);
  check_path(bytes);
  check_printable(bytes);
  check_accounts(bytes);
}

}  // namespace vskel::test::fuzz
