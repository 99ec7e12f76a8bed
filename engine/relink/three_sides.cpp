#include "engine/relink/three_sides.h"

#include <algorithm>

namespace vskel {

SkelSides::SkelSides(const SkelView& view, const Record& record) : view_(view), record_(record) {
  for (const auto& [path, generation] : record.bases) exceptions_[std::string(parent_path(path))].push_back(path);
}

Path3 SkelSides::at(std::string path, unsigned inherited) const {
  Path3 place;
  place.path = std::move(path);
  const auto exception = record_.bases.find(place.path);
  place.base_generation = exception == record_.bases.end() ? inherited : exception->second;
  const GenerationTree* const tree = view_.base(place.base_generation);
  place.base_known = tree != nullptr;
  if (tree != nullptr) place.base = tree->find(place.path);
  place.theirs = view_.newest().find(place.path);
  return place;
}

Path3 SkelSides::child(const Path3& parent, std::string_view name, const TreeNode* base, const TreeNode* theirs) const {
  Path3 place{joined_path(parent.path, name), base, theirs, parent.base_generation, parent.base_known};
  const auto exception = record_.bases.empty() ? record_.bases.end() : record_.bases.find(place.path);
  if (exception == record_.bases.end()) return place;
  return at(std::move(place.path), exception->second);
}

Path3 SkelSides::child(const Path3& parent, std::string_view name) const {
  const auto in = [name](const TreeNode* node) {
    return node != nullptr ? GenerationTree::child(*node, name) : nullptr;
  };
  return child(parent, name, in(parent.base), in(parent.theirs));
}

bool SkelSides::has_exceptions_in(const std::string& directory) const {
  return !exceptions_.empty() && exceptions_.contains(directory);
}

std::vector<std::string_view> SkelSides::names_in(const Path3& place) const {
  std::vector<std::string_view> names;
  for (const TreeNode* node : {place.base, place.theirs})
    if (node != nullptr)
      for (const TreeNode* child : node->children()) names.push_back(child->name());
  if (const auto found = exceptions_.find(place.path); found != exceptions_.end())
    for (const std::string& path : found->second)
      if (!path.empty()) names.push_back(std::string_view(path).substr(path.rfind('/') + 1));
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  return names;
}

bool SkelSides::unchanged_below(const Path3& place) const {
  const std::string prefix = place.path + "/";
  const auto exception = record_.bases.lower_bound(prefix);
  if (exception != record_.bases.end() && exception->first.starts_with(prefix)) return false;
  return place.base_known && place.base != nullptr && place.theirs != nullptr &&
         same_subtree(*place.base, *place.theirs);
}

}  // namespace vskel
