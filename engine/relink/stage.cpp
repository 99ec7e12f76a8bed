#include "engine/relink/stage.h"

#include <cerrno>
#include <utility>

#include "engine/content/hash.h"
#include "engine/tree/metadata.h"

namespace vskel {

namespace {

/// ext4 searches a block of a directory from its beginning: with short names some 340 fit into one, with these 90.
std::string slot_name(std::size_t number) {
  constexpr std::size_t kLength = 32;
  const std::string digits = std::to_string(number);
  return std::string(kLength - digits.size(), '0') + digits;
}

}  // namespace

Result<> Stager::issue(const Operation& operation, const DirFd& dir) {
  Results results = shared_.links.executor.issue({&dir, std::span(&operation, 1)}, OnFailure::stop);
  if (!results.failures.empty()) return std::unexpected(std::move(results.failures.front().error));
  return {};
}

Result<> Stager::put(const TreeNode& node, const DirFd& dir, Name name) {
  switch (node.type()) {
    case sys::FileType::directory:
      return put_directory(node, dir, name);
    case sys::FileType::regular:
      return put_file(node, dir, name);
    default:
      return put_other(node, dir, name);
  }
}

Result<> Stager::put_directory(const TreeNode& node, const DirFd& dir, Name name) {
  constexpr std::uint32_t kPrivate = 0700;
  TRY(sys::make_dir(dir, name, kPrivate));
  const DirFd made = TRY(sys::open_dir(dir, name));
  const std::string outside = std::exchange(here_, joined_path(here_, name.view()));
  for (const TreeNode* child : node.children()) {
    if (child->entry->part == Part::static_part && !child->is_directory()) continue;  // each vserver's own
    TRY(put(*child, made, last_name(child->path())));
  }
  here_ = outside;
  const DirFd source = TRY(sys::open_dirs(shared_.view.skel().tree(node.entry->part), node.path()));
  return apply_metadata(made, metadata_of(TRY(sys::stat(source)), TRY(sys::xattrs(source))), Fresh::no);
}

Result<> Stager::put_file(const TreeNode& node, const DirFd& dir, Name name) {
  if (!is_linked(node)) return put_copy(node, dir, name);
  TRY(links_.link(node.path(), dir, name));
  return {};
}

Result<> Stager::put_copy(const TreeNode& node, const DirFd& dir, Name name) {
  const DirFd& source = *TRY(files_.directory_of(node));
  const Fd file = TRY(sys::open_trusted_file(source, last_name(node.path())));
  const sys::Stat stat = TRY(sys::stat(file));
  const std::pair key{node.entry->part, stat.inode};
  if (node.entry->nlink > 1 && slots_ != nullptr) {
    const auto [first, is_first] = first_names_.emplace(key, joined_path(here_, name.view()));
    if (!is_first)
      return sys::link(TRY(sys::open_dirs(*slots_, parent_path(first->second))), last_name(first->second), dir, name);
  }
  const bool clone_only = share_ == Share::reflink && node.entry->part == Part::global_part && stat.size > 0;
  const bool data_only = share_ == Share::copy && node.entry->part == Part::global_part;
  const CopyBy by = clone_only ? CopyBy::clone : data_only ? CopyBy::data : CopyBy::either;
  const Metadata metadata = metadata_of(stat, TRY(sys::xattrs(file)));
  return issue(CopyFile{name, &file, stat.size, stat.blocks, by, &metadata}, dir);
}

Result<> Stager::put_other(const TreeNode& node, const DirFd& dir, Name name) {
  const DirFd& source = *TRY(files_.directory_of(node));
  const Name source_name = last_name(node.path());
  const sys::Stat stat = TRY(sys::stat(source, source_name));
  const Metadata metadata = metadata_of(stat, TRY(sys::xattrs(source, source_name)));
  if (stat.type != sys::FileType::symlink) return issue(MakeNode{name, stat.type, stat.rdev, &metadata}, dir);
  const std::string target = TRY(sys::read_link(source, source_name));
  return issue(MakeSymlink{name, &target, &metadata}, dir);
}

Result<std::vector<StagedStep>> Stager::stage(const VserverPlan& plan, const DirFd& slots) {
  slots_ = &slots;
  std::vector<StagedStep> out;
  for (const Step& step : plan.steps) {
    StagedStep staged;
    staged.kind = step.kind;
    staged.path = step.path;
    staged.slot = slot_name(out.size());
    staged.mine = step.mine;
    staged.mine.sealed = step.mine.type == sys::FileType::regular && shared_.view.is_skel_inode(step.mine.inode);
    staged.proof = step.proof;
    staged.base_generation = step.base_generation;
    staged.in_use = step.in_use;
    staged.compared_under_lease = step.compared_under_lease;
    if (step.proof == Proof::base) {
      staged.part = step.base->entry->part;
      staged.kept_in = step.base->kept_in;
    }
    if (step.proof == Proof::digest) staged.sha256 = hex_of(*step.base->entry->sha256());
    if (step.kind == Step::Kind::share_extents) staged.source = step.theirs->path();
    const Name slot = *Name::check(staged.slot);
    // Of what is linked the seal is not asked of the flag, which another vserver's staging may have lifted just now.
    const bool puts = step.kind == Step::Kind::put_new || step.kind == Step::Kind::put_over;
    staged.slot_sealed = puts && is_linked(*step.theirs);
    if (staged.links_when_carried_out()) {
      staged.slot_inode = step.theirs->inode;
      staged.source = step.theirs->path();
    } else if (puts) {
      TRY(put(*step.theirs, slots, slot));
      staged.slot_inode = TRY(sys::stat(slots, slot))
      .inode;
    }
    if (step.kind == Step::Kind::set_metadata) {
      // An empty directory carries the metadata.
      const DirFd source = TRY(sys::open_dirs(shared_.view.skel().tree(step.theirs->entry->part), step.path));
      const DirFd carrier = TRY(sys::ensure_dir(slots, slot, 0700));
      TRY(apply_metadata(carrier, metadata_of(TRY(sys::stat(source)), TRY(sys::xattrs(source))), Fresh::no));
    }
    out.push_back(std::move(staged));
  }
  return out;
}

}  // namespace vskel
