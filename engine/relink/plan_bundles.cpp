// A bundle is a directory whose files are consistent only as a whole (upgrade.md, "Together"): it follows the skel when
// its tenant left all of it alone, or stays, all of it.

#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>
#include <utility>

#include "engine/relink/planner.h"
#include "engine/relink/skel_packages.h"
#include "engine/skel/layout.h"

namespace vskel {

using sys::FileType;

namespace {

std::string_view why_kept(const Path3& bundle) {
  return bundle.theirs == nullptr ? why::kBundleRemoved : why::kBundleInUse;
}

}  // namespace

bool Planner::is_bundle(const Path3& place) const {
  return (place.becomes_directory() || place.was_directory()) && !in_database(place.path) &&
         view_.layout().is_bundle(place.path);
}

Result<bool> Planner::plan_bundle(const Path3& place, const DirFd& parent, const Listed& mine) {
  const auto as_any_directory = [&]() -> Result<bool> {
    if (mine.type != FileType::directory || (place.theirs != nullptr && !place.becomes_directory()))
      return plan_type_change(place, parent, mine);
    return plan_common_directory(place, parent, mine);
  };
  // Nothing to follow: what is equal may be shared, file by file.
  if (gate_ == Gate::share_only) return as_any_directory();
  if (is_unchanged_below(place)) {
    if (place.base_generation != view_.newest().generation() && mine.type == FileType::directory) {
      const DirFd own = TRY(enter(parent, mine.name));
      if (own.open() && TRY(looks_touched(place, own))) TRY(look_at_packages(place));
    }
    return as_any_directory();
  }
  BundleLook look;
  const DirFd dir = TRY(enter(parent, mine.name));
  if (mine.type != FileType::directory || !dir.open())
    look = {false, false};
  else
    TRY(look_at_bundle(place, dir, look));
  if (!look.as_base && !look.as_theirs) {
    keep_bundle(place);
    TRY(look_at_packages(place));
    return false;
  }
  if (look.as_base) return plan_untouched_bundle(place, parent, mine);
  return as_any_directory();
}

Result<> Planner::look_at_bundle(const Path3& place, const DirFd& dir, BundleLook& look) {
  const Observed own = TRY(observer_.directory(dir, place.base, place.theirs));
  const Question question = question_for(place);
  look.as_base = look.as_base && place.base_known && place.was_directory() && same_node(own.node, *question.base);
  look.as_theirs = look.as_theirs && place.becomes_directory() && same_node(own.node, *question.theirs);
  std::set<std::string_view> here;
  const Listing listing = TRY(Listing::read(dir));
  for (const Listed& listed : listing.entries()) {
    if (!look.as_base && !look.as_theirs) return {};
    here.insert(listed.name.view());
    TRY(look_at_entry(sides_.child(place, listed.name.view()), dir, listed, look));
  }
  for (const std::string_view name : sides_.names_in(place)) {
    if (here.contains(name)) continue;
    const Path3 missing = sides_.child(place, name);
    // The record may name what neither side has any more.
    if ((missing.base == nullptr && missing.theirs == nullptr) || is_identity(missing)) continue;
    if (missing.base != nullptr) look.as_base = false;
    if (missing.theirs != nullptr) look.as_theirs = false;
  }
  return {};
}

Result<> Planner::look_at_entry(const Path3& place, const DirFd& dir, const Listed& mine, BundleLook& look) {
  const auto is_static = [](const TreeNode* node) {
    return node != nullptr && !node->is_directory() && node->entry->part == Part::static_part;
  };
  const bool is_known = place.base != nullptr || place.theirs != nullptr;
  if (is_static(place.base) || is_static(place.theirs)) return {};
  if (is_known ? is_identity(place) : view_.layout().left_out(place.path, mine.type)) return {};
  if (mine.type == FileType::directory) {
    const DirFd inner = TRY(enter(dir, mine.name));
    const bool known = place.was_directory() || place.becomes_directory();
    if (known && inner.open()) return look_at_bundle(place, inner, look);
    look = {false, false};
    return {};
  }
  if (!is_known) {
    look = {false, false};
    return {};
  }
  auto observed = TRY(observer_.at(dir, mine.name, place.base, place.theirs));
  if (!observed || observed->mounted || observed->in_use) {
    look = {false, false};
    return {};
  }
  plan_.bytes_read += observed->bytes_read;
  const Question question = question_for(place);
  const Node node = timed(observed->node);
  look.as_base = look.as_base && question.base && same_but_for_time(node, *question.base);
  look.as_theirs = look.as_theirs && question.theirs && same_but_for_time(node, *question.theirs);
  return {};
}

Result<bool> Planner::looks_touched(const Path3& place, const DirFd& dir) const {
  const Listing listing = TRY(Listing::read(dir));
  std::size_t known = 0;
  for (const Listed& listed : listing.entries()) {
    const Path3 child = sides_.child(place, listed.name.view());
    if (child.theirs == nullptr) return true;
    ++known;
    if (is_identity(child) || child.theirs->entry->part == Part::static_part) continue;
    const auto stat = TRY(sys::stat_if_there(dir, listed.name));
    if (!stat || stat->type != child.theirs->type()) return true;
    if (stat->type == FileType::directory) {
      const DirFd inner = TRY(enter(dir, listed.name));
      if (!inner.open() || TRY(looks_touched(child, inner))) return true;
      continue;
    }
    const bool has_bytes = stat->type == FileType::regular;
    if (has_bytes && (stat->size != child.theirs->entry->size || !same_time(stat->mtime, child.theirs->entry->mtime)))
      return true;
  }
  return known != (place.theirs != nullptr ? place.theirs->children().size() : 0);
}

Result<> Planner::look_at_packages(const Path3& place) {
  if (gate_ != Gate::open || !place.base_known || place.base_generation == view_.newest().generation()) return {};
  const SkelPackages& then = *TRY(view_.packages(place.base_generation));
  const SkelPackages& now = *TRY(view_.packages(view_.newest().generation()));
  for (const SkelPackages* packages : {&then, &now}) {
    if (packages->doubt().empty()) continue;
    const KeptPath doubt{"/" + place.path,
                         "whether the packages that serve it stay is not known: " + packages->doubt()};
    if (std::ranges::find(plan_.kept, doubt) == plan_.kept.end()) plan_.kept.push_back(doubt);
    return {};
  }
  const auto is_gone = [&](const std::string& package) { return !now.versions().contains(package); };
  std::set<std::string> gone;
  const std::vector<std::string> owners = then.owners(place.path), servers = then.servers(place.path);
  // A package under another name has taken it over.
  const bool has_heirs = !now.owners(place.path).empty();
  if (!owners.empty() && !has_heirs && std::ranges::all_of(owners, is_gone)) gone.insert(owners.begin(), owners.end());
  std::ranges::copy_if(servers, std::inserter(gone, gone.end()), is_gone);
  if (!gone.empty()) {
    plan_.torn.push_back({"/" + place.path, "in use by the tenant, and the update removes " + *gone.begin()});
    return {};
  }
  for (const auto* packages : {&owners, &servers})
    for (const std::string& package : *packages) {
      const std::string& from = then.versions().find(package)->second;
      const auto still = now.versions().find(package);
      if (still == now.versions().end()) continue;  // its heir is told of, if it is another version's
      const std::string& to = still->second;
      const TenantsState state{"/" + place.path, package, from, to};
      if (from != to && std::ranges::find(plan_.states, state) == plan_.states.end()) plan_.states.push_back(state);
    }
  return {};
}

void Planner::keep_bundle(const Path3& place) {
  settle(place, {Action::keep, 7, why_kept(place), false});
  stay_below(place);
}

Result<bool> Planner::plan_untouched_bundle(const Path3& place, const DirFd& parent, const Listed& mine) {
  const auto counted =
      std::tuple(plan_.kept.size(), plan_.conflicts.size(), plan_.shared_before, plan_.shared_now, plan_.bytes_saved);
  plan_.bundles.push_back(place.path);
  bundle_ = static_cast<std::uint32_t>(plan_.bundles.size());
  kept_in_bundle_ = false;
  const bool gone = mine.type != FileType::directory || (place.theirs != nullptr && !place.becomes_directory())
                        ? TRY(plan_type_change(place, parent, mine))
                        : TRY(plan_common_directory(place, parent, mine));
  plan_times(bundle_);
  const std::uint32_t own = std::exchange(bundle_, 0);
  if (!kept_in_bundle_) return gone;
  // Something in it stays, of all that was as the skel had it: somebody is at work there.
  plan_.kept.resize(std::get<0>(counted));
  plan_.conflicts.resize(std::get<1>(counted));
  plan_.shared_before = std::get<2>(counted);
  plan_.shared_now = std::get<3>(counted);
  plan_.bytes_saved = std::get<4>(counted);
  drop_bundle(own, place);
  return false;
}

void Planner::drop_bundle(std::uint32_t bundle, const Path3& place) {
  steps_.drop_bundle(bundle);
  std::erase_if(changed_directories_, [bundle](const auto& changed) { return changed.second == bundle; });
  bases_.stay_below_after_all(place.path, place.base_generation);
  const KeptPath kept{"/" + place.path, std::string(why_kept(place))};
  if (std::ranges::find(plan_.kept, kept) == plan_.kept.end()) keep_bundle(place);
}

}  // namespace vskel
