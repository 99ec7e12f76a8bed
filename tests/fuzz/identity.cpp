// Names and addresses, and what becomes of them in a configuration file.

#include "engine/model/identity.h"

#include <algorithm>

#include "engine/vserver/configuration.h"
#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

namespace {

/// Of what may stand in a file that a shell reads, between quotes or not.
bool is_plain(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("._:/-").contains(c);
  });
}

template <class Checked>
void check(const std::string& text) {
  const auto parsed = Checked::parse(text);
  if (!parsed) {
    must(parsed.error().blame == Blame::request && parsed.error().path == text, "a refusal names the value");
    return;
  }
  must(is_plain(parsed->text()), "what is taken is plain");
  const auto again = Checked::parse(parsed->text());
  must(again && again->text() == parsed->text(), "what is taken is taken again, the same");
}

}  // namespace

void identity(std::string_view bytes) {
  const std::string text(bytes);
  check<SkelName>(text);
  check<VserverName>(text);
  check<Fqdn>(text);
  check<Address>(text);
  if (const auto name = VserverName::parse(text)) {
    must(is_safe_path(name->text()) && !text.contains('/'), "a name is one component");
    must(!text.starts_with("tmp_skel_"), "a merged skel is no vserver");
  }
  if (const auto address = Address::parse(text))
    for (const unsigned steps : {0U, 1U, 255U, 65536U, ~0U})
      if (const auto next = address->plus(steps)) {
        must(Address::parse(next->text()).has_value(), "an address further on is one");
        must((next->text() == address->text()) == (steps == 0), "and another one");
      }
  const auto filled = fill_configuration("A=\"%%VS_NAME%%\"\n", {{"VS_NAME", text}});
  must(!filled || (filled->text == "A=\"" + text + "\"\n" &&
                   std::ranges::none_of(text, [](char c) { return std::string_view("\"\\$`\n\r\0", 7).contains(c); })),
       "a value stays between its quotes");
}

}  // namespace vskel::test::fuzz
