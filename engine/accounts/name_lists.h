// Lists of names (members of a group) as sets that keep their order.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace vskel {

using NameList = std::vector<std::string>;

[[nodiscard]] inline bool has_name(const NameList& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

/// Three sides, name by name: `own` without what `changed` has no more of `base`, and behind it what `changed` has more
/// and `may_join` says yes to.
[[nodiscard]] inline NameList merged_names(const NameList& base, const NameList& changed, const NameList& own,
                                           const std::function<bool(const std::string& name)>& may_join) {
  NameList out;
  for (const std::string& name : own)
    if (!has_name(base, name) || has_name(changed, name)) out.push_back(name);
  for (const std::string& name : changed)
    if (!has_name(base, name) && !has_name(out, name) && may_join(name)) out.push_back(name);
  return out;
}

}  // namespace vskel
