#include "engine/relink/step_proof.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <ranges>
#include <set>
#include <utility>

#include "engine/content/compare.h"
#include "engine/content/hash.h"
#include "engine/relink/skel_view.h"
#include "engine/tree/walk.h"

namespace vskel {

namespace {

/// Are these the attributes of one that the step may replace?
bool may_be(const StagedStep& step, const std::vector<sys::Xattr>& xattrs) {
  if (step.xattrs.empty()) return true;
  const std::string word = xattrs_word(hash_xattrs(xattrs));
  return std::ranges::any_of(std::views::split(step.xattrs, '|'),
                             [&](const auto part) { return std::string_view(part) == word; });
}

Result<bool> has_equal_bytes(const Fd& file, const DirFd& dir, Name name) {
  const Fd other = TRY(sys::open_trusted_file(dir, name));
  const auto compared = TRY(compare_content(other, file));
  return compared.same;
}

/// Whether what stands there was not changed since, and is not open for writing. Further names of an inode come and go
/// with other steps, and with them its ctime; so does a lifted seal.
Result<bool> is_untouched_since(sys::Time since, const sys::Stat& stat, const DirFd& dir, Name name) {
  const bool has_further_names = stat.type == sys::FileType::regular && stat.nlink > 1;
  if ((has_further_names ? stat.mtime : stat.ctime) >= since) return false;
  if (stat.type != sys::FileType::regular) return true;
  return sys::has_no_writer(TRY(sys::open_file(dir, name)));
}

/// What of an entry says that a tenant was at work there.
enum class Counts { all, what_is_below, nothing };
using Counted = std::function<Counts(const WalkDirectory& directory, const WalkEntry& entry, const sys::Stat& stat)>;

/// What is sealed he could not change. A tree that is nested too deep for us is an error of the operation "walk".
Result<bool> is_tree_untouched(const DirFd& tree, sys::Time since, const Counted& counted) {
  std::atomic<bool> untouched{true};
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void>) -> Result<> {
    for (const WalkEntry& entry : directory->entries) {
      const sys::Stat stat = TRY(sys::stat(directory->top(), entry.name));
      const Counts counts = stat.immutable ? Counts::nothing : counted(*directory, entry, stat);
      if (counts == Counts::nothing) continue;
      if (counts == Counts::all && !TRY(is_untouched_since(since, stat, directory->top(), entry.name)))
        untouched = false;
      if (stat.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
    }
    return {};
  };
  const auto mounts = TRY(Walk::run({&tree}, Mounts::stop, nullptr, visitor));
  return untouched && mounts.empty();
}

}  // namespace

Result<Proven> StepProof::prove(const StagedStep& step, const DirFd& dir, Name name, FileGuard& guard) const {
  const auto pinned = TRY(sys::pin_if_there(dir, name));
  if (!pinned) return Proven::no;
  if (step.links_when_carried_out() && pinned->stat.inode == step.slot_inode) return Proven::has_come;
  if (!is_still(step.mine, pinned->stat)) return Proven::no;
  if (step.proof == Proof::inode || pinned->stat.type != sys::FileType::regular) return Proven::yes;
  Fd file = TRY(sys::open_pinned(*pinned));
  auto lease = sys::take_read_lease(file);
  if (lease && !*lease) return Proven::no;
  const bool no_leases_here = !lease && lease.error().code == EINVAL;
  if (!lease && !no_leases_here) return std::unexpected(std::move(lease).error());
  // Before anything else is looked at: what is done to them from here on is found after the exchange.
  auto xattrs = TRY(sys::xattrs(file));
  if (!may_be(step, xattrs)) return Proven::no;
  // Under the lease, what stat says is so, and stays so.
  const sys::Stat stat = TRY(sys::stat(file));
  if (!is_still(step.mine, stat)) return Proven::no;
  // Attributes and ACLs move nothing but the ctime; a further name of the same inode, exchanged before, moves it too.
  if (!after_crash_ && stat.nlink == 1 && stat.ctime != step.mine.ctime) return Proven::no;
  const bool known = !no_leases_here && step.compared_under_lease && stat.ctime == step.mine.ctime;
  if (!known && !TRY(has_the_bytes(step, file, slots_, *Name::check(step.slot)))) return Proven::no;
  if (no_leases_here) return Proven::yes;
  guard.xattrs = std::move(xattrs);
  guard.lease = std::move(file);
  return Proven::yes;
}

/// `theirs` in `dir` is what is to take the file's place, or has.
Result<bool> StepProof::has_the_bytes(const StagedStep& step, const Fd& file, const DirFd& dir, Name theirs) const {
  if (step.mine.size == 0) return true;
  if (step.proof == Proof::digest) {
    const ContentHash hash = TRY(hash_file(file, WithSha256::yes));
    return hex_of(*hash.sha256) == step.sha256;
  }
  if (step.proof == Proof::theirs) return has_equal_bytes(file, dir, theirs);
  const DirFd base_dir = TRY(SkelView::directory_of(skel_, step.kept_in, step.part, step.path));
  return has_equal_bytes(file, base_dir, last_name(step.path));
}

Result<bool> StepProof::is_what_was_meant(const StagedStep& step) const {
  return is_still(step.mine, TRY(sys::stat(slots_, *Name::check(step.slot))));
}

Result<bool> StepProof::has_stayed(const StagedStep& step, const DirFd& dir) const {
  const Fd file = TRY(sys::open_file(slots_, *Name::check(step.slot)));
  const bool same = TRY(has_the_bytes(step, file, dir, last_name(step.path)));
  const auto xattrs = TRY(sys::xattrs(file));
  return same && may_be(step, xattrs);
}

Result<bool> StepProof::is_untouched_below(const StagedStep& step) const {
  // Its own times say nothing: XFS moves the mtime of a directory whose parent changes. What was put into it has a
  // later ctime than the plan.
  const DirFd tree = TRY(sys::open_dir(slots_, *Name::check(step.slot)));
  // Nor does a directory's say anything from which something was moved first.
  return is_tree_untouched(tree, step.since, [&](const WalkDirectory&, const WalkEntry&, const sys::Stat& stat) {
    return step.after_moves && stat.type == sys::FileType::directory ? Counts::what_is_below : Counts::all;
  });
}

Result<bool> StepProof::is_as_it_came(const StagedStep& step, sys::Time staged) const {
  const Name slot = *Name::check(step.slot);
  const auto stat = TRY(sys::stat_if_there(slots_, slot));
  if (!stat || stat->inode != step.slot_inode || stat->immutable) return true;
  if (stat->type == sys::FileType::directory) {
    const DirFd tree = TRY(sys::open_dir(slots_, slot));
    const sys::Time since{staged.seconds, staged.nanoseconds + 1};  // the last of it was made in the same tick
    return is_tree_untouched(tree, since,
                             [](const WalkDirectory&, const WalkEntry&, const sys::Stat&) { return Counts::all; });
  }
  // Its move changed the ctime. Of a static file the skel's may have another mtime by now than the manifest says.
  if (stat->type != sys::FileType::regular || !step.slot_mtime) return true;
  if (stat->mtime != *step.slot_mtime && stat->mtime >= staged) return false;
  return sys::has_no_writer(TRY(sys::open_file(slots_, slot)));
}

Result<bool> is_bundle_untouched(const DirFd& root, const std::vector<StagedStep>& steps,
                                 const std::vector<std::uint64_t>& put_there) {
  const std::set<std::uint64_t> ours(put_there.begin(), put_there.end());
  std::set<std::string, std::less<>> changed;  // directories: their ctime is ours
  for (const StagedStep& step : steps) changed.emplace(parent_path(step.path));
  const StagedStep& first = steps.front();
  auto opened = sys::open_dirs(root, first.bundle);
  if (!opened && (opened.error().code == ENOENT || opened.error().code == ENOTDIR)) return true;  // all of it has gone
  const DirFd top = TRY(std::move(opened));
  auto untouched = is_tree_untouched(
      top, first.since, [&](const WalkDirectory& directory, const WalkEntry& entry, const sys::Stat& stat) {
        if (ours.contains(stat.inode)) return Counts::nothing;  // what came has nothing older below it
        const bool is_ours = stat.type == sys::FileType::directory &&
                             changed.contains(joined_path(first.bundle, directory.path_to(entry.name)));
        return is_ours ? Counts::what_is_below : Counts::all;
      });
  if (!untouched && untouched.error().operation == "walk") return false;  // nested deeper than any skel
  return untouched;
}

}  // namespace vskel
