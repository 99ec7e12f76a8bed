#include "engine/relink/anywhere.h"

#include <cerrno>
#include <mutex>
#include <set>

#include "engine/content/compare.h"
#include "engine/content/hash.h"
#include "engine/relink/owners.h"
#include "engine/skel/layout.h"
#include "engine/tree/walk.h"

namespace vskel {

namespace {

class AnywherePlanner {
 public:
  AnywherePlanner(const SkelView& view, const ByContent& files, const PlanOptions& options, VserverPlan& plan)
      : view_(view), files_(files), options_(options), owners_(view, plan.ids), plan_(plan) {
    for (const Step& step : plan.steps) taken_.insert(step.path());
  }

  Result<> run(const DirFd& root) {
    const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                                std::shared_ptr<void>) -> Result<> {
      for (const WalkEntry& entry : directory->entries) {
        const std::string path = directory->path_to(entry.name);
        if (is_left_alone(path)) continue;
        if (entry.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
        if (entry.type != sys::FileType::regular || view_.is_skel_inode(entry.inode)) continue;
        TRY(look_at(directory->top(), entry.name, path));
      }
      return {};
    };
    (void)TRY(Walk::run({&root}, Mounts::stop_in_tenants_tree, nullptr, visitor));
    return {};
  }

 private:
  [[nodiscard]] bool is_left_alone(const std::string& path) const {
    if (taken_.contains(path)) return true;
    for (const std::string& glob : options_.freeze)
      if (glob_matches(glob, path)) return true;
    return false;
  }

  Result<> look_at(const DirFd& dir, Name name, const std::string& path) {
    const auto stat = TRY(sys::stat_if_there(dir, name));
    if (!stat || stat->type != sys::FileType::regular || stat->nlink != 1 || stat->immutable) return {};
    const auto* const candidates = files_.find(*stat);
    if (candidates == nullptr) return {};
    auto file = sys::open_file(dir, name);
    if (!file) return {};  // gone, in use, or no regular file any more
    auto lease = sys::take_read_lease(*file);
    if (lease && !*lease) return {};
    const auto xattrs = TRY(sys::xattrs(*file));
    const ContentHash hash = TRY(hash_file(*file, WithSha256::no));
    std::uint64_t bytes_read = stat->size;
    const TreeNode* found = nullptr;
    const auto extents = options_.share == Share::reflink ? TRY(sys::physical_extents(*file)) : std::nullopt;
    for (const TreeNode* candidate : *candidates) {
      if (candidate->entry->content != hash.xxh128 || owners_.changes(*candidate)) continue;
      const Fd theirs = TRY(view_.open(*candidate));
      if (TRY(sys::xattrs(theirs)) != xattrs) continue;
      const Comparison compared = TRY(compare_content(theirs, *file));
      bytes_read += compared.bytes_read;
      if (compared.same) found = candidate;
      if (found != nullptr) break;
    }
    if (found != nullptr && extents && TRY(sys::physical_extents(TRY(view_.open(*found)))) == extents) found = nullptr;
    const std::scoped_lock lock(mutex_);
    plan_.bytes_read += bytes_read;
    if (found == nullptr) return {};
    Step step;
    step.kind = options_.share == Share::reflink ? Step::Kind::share_extents : Step::Kind::put_over;
    step.elsewhere = std::make_unique<Step::Elsewhere>(path);
    step.change = Change::shared;
    step.theirs = found;
    step.mine = identity_of(*stat);
    step.proof = Proof::theirs;
    step.base_generation = plan_.generation;
    plan_.steps.push_back(std::move(step));
    ++plan_.shared_now;
    plan_.bytes_saved += stat->blocks * 512;
    return {};
  }

  const SkelView& view_;
  const ByContent& files_;
  const PlanOptions& options_;
  const NodeOwners owners_;
  std::set<std::string> taken_;
  std::mutex mutex_;  // guards plan_
  VserverPlan& plan_;
};

}  // namespace

ByContent::ByContent(const SkelView& view) {
  const auto add = [&](const auto& self, const TreeNode& node) -> void {
    const ManifestEntry& entry = *node.entry;
    if (node.linkable && node.inode != 0) files_[{entry.size, entry.mode, entry.uid, entry.gid}].push_back(&node);
    for (const TreeNode* child : node.children()) self(self, *child);
  };
  add(add, view.newest().root());
}

const std::vector<const TreeNode*>* ByContent::find(const sys::Stat& stat) const {
  const auto found = files_.find({stat.size, stat.mode, stat.uid, stat.gid});
  return found == files_.end() ? nullptr : &found->second;
}

Result<> plan_anywhere(const SkelView& view, const ByContent& files, const DirFd& root, const PlanOptions& options,
                       VserverPlan& plan) {
  if (options.share == Share::copy) return {};
  const std::size_t planned = plan.steps.size();
  TRY(AnywherePlanner(view, files, options, plan).run(root));
  std::sort(plan.steps.begin() + static_cast<std::ptrdiff_t>(planned), plan.steps.end(),
            [](const Step& a, const Step& b) { return a.path() < b.path(); });
  return {};
}

}  // namespace vskel
