#include "engine/vserver/record.h"

#include <algorithm>

#include "engine/model/identity.h"
#include "tests/fuzz/target.h"

namespace vskel::test::fuzz {

void record(std::string_view bytes) {
  const auto first = read_record(bytes, "r");
  if (!first) {
    must(first.error().path == "r", "an error names the file");
    return;
  }
  must(VserverName::parse(first->name) && SkelName::parse(first->skel), "names are names");
  must(first->fqdn.empty() || Fqdn::parse(first->fqdn), "an FQDN is one");
  must(first->ip.empty() || Address::parse(first->ip), "an address is one");
  must(first->config.empty() || first->config.starts_with('/'), "a configuration file has an absolute path");
  for (const auto& [path, generation] : first->bases)
    must(path.empty() || is_safe_path(path), "a base's path leads nowhere else");
  for (const std::string& path : first->set_id) must(is_safe_path(path), "a set-id file's path leads nowhere else");
  for (const auto* numbers : {&first->ids.uid, &first->ids.gid})
    for (const auto& [from, to] : *numbers)
      must(from != 0 && to != 0 && from <= kHighestId && to <= kHighestId, "numbers are none of root's");
  for (const auto& [column, value] : first->columns) {
    must(!column.empty() &&
             std::ranges::all_of(column,
                                 [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }),
         "a column names a variable");
    must(std::ranges::none_of(value, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }),
         "a value is one line of text");
  }
  const std::string text = write_record(*first);
  const auto second = read_record(text, "r");
  must(second.has_value(), "what was written can be read");
  must(write_record(*second) == text, "a record comes back as it was");
  must(second->bases == first->bases && second->set_id == first->set_id && second->columns == first->columns &&
           second->ids == first->ids,
       "with all that it says of paths");
  must(base_of(*second, "usr/bin/tar") == base_of(*first, "usr/bin/tar"), "and means the same");
}

}  // namespace vskel::test::fuzz
