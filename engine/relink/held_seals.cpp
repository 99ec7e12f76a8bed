#include "engine/relink/held_seals.h"

#include <algorithm>
#include <vector>

#include "engine/skel/kept_files.h"
#include "engine/tree/for_pieces.h"

namespace vskel {

namespace {

constexpr std::size_t kNodesPerTask = 512;
/// Each takes a hundred bytes. What is not held is lifted by every step that needs it.
constexpr std::size_t kMostHeld = std::size_t{1} << 17;

void add_linkable(const TreeNode& node, std::vector<const TreeNode*>& nodes) {
  if (node.linkable) nodes.push_back(&node);
  for (const TreeNode* child : node.children()) add_linkable(*child, nodes);
}

}  // namespace

HeldSeals::HeldSeals(const SkelView& view, LinkShared& links, std::span<const VserverPlan* const> plans)
    : view_(view), links_(links) {
  if (!links_.seals.lifts()) return;
  std::vector<const TreeNode*> nodes;  // one for each step of each vserver
  for (const VserverPlan* plan : plans)
    for (const Step& step : plan->steps)
      if (step.brings_theirs()) add_linkable(*step.theirs, nodes);
  std::ranges::sort(nodes);
  nodes.erase(std::ranges::unique(nodes).begin(), nodes.end());
  nodes.resize(std::min(nodes.size(), kMostHeld));
  held_.reserve(nodes.size());
  for (const TreeNode* node : nodes) held_.push_back({node});
  std::ranges::sort(held_, {}, [](const Held& held) -> const std::string& { return held.node->path(); });
  (void)for_pieces(std::span(held_), kNodesPerTask, [this](std::span<Held> piece) -> Result<> {
    lift(piece);
    return {};
  });
}

HeldSeals::~HeldSeals() { (void)restore(); }

void HeldSeals::lift(std::span<Held> held) {
  SkelFiles files(view_);
  for (Held& one : held) {
    const auto dir = files.directory_of(*one.node);
    const auto stat = dir ? sys::stat(**dir, last_name(one.node->path())) : std::unexpected(dir.error());
    if (!stat) continue;
    one.inode = stat->inode;
    one.lifted = links_.seals.lift(**dir, last_name(one.node->path()), one.inode).has_value();
  }
}

Result<> HeldSeals::restore() {
  auto outcome = for_pieces(std::span(held_), kNodesPerTask, [this](std::span<Held> piece) { return restore(piece); });
  held_.clear();
  return outcome;
}

Result<> HeldSeals::restore(std::span<Held> held) {
  SkelFiles files(view_);
  Result<> outcome;
  const auto restore_one = [&](const Held& one) -> Result<> {
    const DirFd& dir = *TRY(files.directory_of(*one.node));
    const Name name = last_name(one.node->path());
    if (TRY(sys::stat(dir, name)).inode == one.inode) return links_.restore(dir, name, one.inode);
    // It had all the names that it may have, and another leads now.
    const std::string old_name = std::to_string(one.inode);
    const DirFd leaders =
        TRY(sys::open_dir(view_.skel().generations(), *Name::check(former_leaders_name(view_.newest().generation()))));
    return links_.restore(leaders, *Name::check(old_name), one.inode);
  };
  for (const Held& one : held) {
    if (!one.lifted) continue;
    auto restored = restore_one(one);
    if (!restored && outcome) outcome = std::move(restored);
  }
  return outcome;
}

}  // namespace vskel
