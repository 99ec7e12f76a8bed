#include "engine/relink/stage.h"

#include <cerrno>
#include <span>
#include <utility>

#include "engine/content/hash.h"
#include "engine/sys/stopping.h"
#include "engine/tree/metadata.h"
#include "engine/vserver/record_tokens.h"

namespace vskel {

namespace {

/// ext4 searches a block of a directory from its beginning: with short names some 340 fit into one, with these 90.
std::string slot_name(std::size_t number) {
  constexpr std::size_t kLength = 32;
  const std::string digits = std::to_string(number);
  return std::string(kLength - digits.size(), '0') + digits;
}

/// Does a vserver that shares in this way have the file by hard link?
bool links(const TreeNode& node, Share share, const NodeOwners& owners) {
  return share == Share::hardlink && node.linkable && !owners.changes(node);
}

/// All that a plan knows of its step `number`.
StagedStep staged(const VserverPlan& plan, std::size_t number, const SkelView& view, Share share,
                  const NodeOwners& owners) {
  const Step& step = plan.steps[number];
  StagedStep out;
  out.since = plan.since;
  out.kind = step.kind;
  out.path = step.path();
  out.slot = slot_name(number);
  // Of what is linked the seal is not asked of the flag, which another vserver's staging may have lifted just now.
  out.slot_sealed = step.brings_theirs() && links(*step.theirs, share, owners);
  const bool comes_as_copy = step.brings_theirs() && !out.slot_sealed && step.theirs->type() == sys::FileType::regular;
  if (comes_as_copy) out.slot_mtime = step.theirs->entry->mtime;
  if (step.made() != nullptr) out.slot_mtime = step.made()->metadata.mtime;
  out.mine = step.mine;
  out.mine.sealed = step.mine.type == sys::FileType::regular && view.is_skel_inode(step.mine.inode);
  out.proof = step.proof;
  out.base_generation = step.base_generation;
  out.in_use = step.in_use;
  out.compared_under_lease = step.compared_under_lease;
  if (step.proof == Proof::base) {
    out.part = step.base->entry->part;
    out.kept_in = step.base->kept_in;
  }
  if (step.made() != nullptr) out.sha256 = step.made()->replaces;
  if (step.made() == nullptr && step.proof == Proof::digest) out.sha256 = hex_of(*step.base->entry->sha256());
  const bool goes = step.kind == Step::Kind::put_over || step.kind == Step::Kind::remove;
  const NodeOwners owners_before(view, plan.ids_before);
  const auto may_have = [&](const std::optional<Hash128>& xattrs) {
    out.xattrs += (out.xattrs.empty() ? "" : "|") + xattrs_word(xattrs);
  };
  if (goes && step.mine.type == sys::FileType::regular)
    for (const auto& [node, by] : {std::pair(step.base, &owners_before), std::pair(step.theirs, &owners)})
      if (node != nullptr && node->type() == sys::FileType::regular) may_have(by->xattrs(*node));
  if (step.made() != nullptr) may_have(hash_xattrs(step.made()->metadata.xattrs));
  if (out.uses_global_file() && step.theirs->path() != out.path) out.source = step.theirs->path();
  if (step.kind == Step::Kind::move) out.source = step.elsewhere->moved_to;
  if (step.bundle != 0) out.bundle = plan.bundles[step.bundle - 1];
  out.after_moves = step.after_moves;
  if (step.kind != Step::Kind::set_times) return out;
  out.mine.mtime = step.theirs->entry->mtime;
  std::vector<std::string> names;
  for (const TreeNode* child : step.theirs->children()) names.emplace_back(child->name());
  out.sha256 = digest_of_names(std::move(names));
  return out;
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
    TRY(put(*child, made, last_name(child->path())));
  }
  here_ = outside;
  const DirFd source = TRY(sys::open_dirs(shared_.view.skel().tree(node.entry->part), node.path()));
  return apply_metadata(made, metadata_for(TRY(sys::stat(source)), TRY(sys::xattrs(source))), Fresh::no);
}

Result<> Stager::put_file(const TreeNode& node, const DirFd& dir, Name name) {
  if (!links(node, share_, owners_)) return put_copy(node, dir, name);
  TRY(links_.link(node.path(), dir, name));
  return {};
}

/// A static file says something else in every vserver.
Result<bool> Stager::put_filled(const TreeNode& node, const Fd& file, const sys::Stat& stat, const DirFd& dir,
                                Name name) {
  if (tokens_ == nullptr || node.entry->part != Part::static_part || stat.size > kMostStaticBytes) return false;
  const std::string text = TRY(sys::read_whole(file, kMostStaticBytes));
  if (!has_tokens(text)) return false;
  const Filled filled = fill_tokens(text, *tokens_);
  for (const std::string& token : filled.unknown)
    if (is_of_every_vserver(token))
      return fail("relink", "/" + node.path(),
                  "the record says nothing for its token %%" + token + "%%; put the file there by hand first");
  const Metadata metadata = metadata_for(stat, TRY(sys::xattrs(file)));
  TRY(issue(WriteFile{name, std::as_bytes(std::span(filled.text)), &metadata}, dir));
  return true;
}

Result<bool> Stager::link_to_first(const TreeNode& node, std::uint64_t inode, const DirFd& dir, Name name) {
  if (node.entry->nlink <= 1 || slots_ == nullptr) return false;
  const std::pair key{node.entry->part, inode};
  const auto [first, is_first] = first_names_.emplace(key, joined_path(here_, name.view()));
  if (is_first) return false;
  TRY(sys::link(TRY(sys::open_dirs(*slots_, parent_path(first->second))), last_name(first->second), dir, name));
  return true;
}

Result<> Stager::put_copy(const TreeNode& node, const DirFd& dir, Name name) {
  const DirFd& source = *TRY(files_.directory_of(node));
  const Fd file = TRY(sys::open_trusted_file(source, last_name(node.path())));
  const sys::Stat stat = TRY(sys::stat(file));
  if (TRY(put_filled(node, file, stat, dir, name))) return {};
  if (TRY(link_to_first(node, stat.inode, dir, name))) return {};
  const bool clone_only = share_ == Share::reflink && node.entry->part == Part::global_part && stat.size > 0;
  const bool data_only = share_ == Share::copy && node.entry->part == Part::global_part;
  const CopyBy by = clone_only ? CopyBy::clone : data_only ? CopyBy::data : CopyBy::either;
  const Metadata metadata = metadata_for(stat, TRY(sys::xattrs(file)));
  return issue(CopyFile{name, &file, stat.size, stat.blocks, by, &metadata}, dir);
}

Result<> Stager::put_other(const TreeNode& node, const DirFd& dir, Name name) {
  const DirFd& source = *TRY(files_.directory_of(node));
  const Name source_name = last_name(node.path());
  const sys::Stat stat = TRY(sys::stat(source, source_name));
  if (TRY(link_to_first(node, stat.inode, dir, name))) return {};
  const Metadata metadata = metadata_for(stat, TRY(sys::xattrs(source, source_name)));
  if (stat.type != sys::FileType::symlink) return issue(MakeNode{name, stat.type, stat.rdev, &metadata}, dir);
  const std::string target = TRY(sys::read_link(source, source_name));
  return issue(MakeSymlink{name, &target, &metadata}, dir);
}

/// Makes what comes into the slot of a step, and says in it which inode that is.
Result<> Stager::fill_slot(const Step& step, StagedStep& staged) {
  const Name slot = *Name::check(staged.slot);
  if (step.kind == Step::Kind::set_metadata) {
    // An empty directory carries the metadata.
    const DirFd source = TRY(sys::open_dirs(shared_.view.skel().tree(step.theirs->entry->part), step.path()));
    const DirFd carrier = TRY(sys::ensure_dir(*slots_, slot, 0700));
    return apply_metadata(carrier, metadata_for(TRY(sys::stat(source)), TRY(sys::xattrs(source))), Fresh::no);
  }
  if (step.made() != nullptr) {
    const MadeFile& made = *step.made();
    if (made.type == sys::FileType::symlink)
      TRY(issue(MakeSymlink{slot, &made.content, &made.metadata}, *slots_));
    else
      TRY(issue(WriteFile{slot, std::as_bytes(std::span(made.content)), &made.metadata}, *slots_));
    staged.slot_inode = TRY(sys::stat(*slots_, slot)).inode;
    return {};
  }
  if (!step.brings_theirs()) return {};
  if (staged.links_when_carried_out()) {
    staged.slot_inode = step.theirs->inode;
    return {};
  }
  TRY(put(*step.theirs, *slots_, slot));
  const sys::Stat stat = TRY(sys::stat(*slots_, slot));
  staged.slot_inode = stat.inode;
  return {};
}

Result<StepSource> Stager::stage(const VserverPlan& plan, const DirFd& slots, const StepSink& sink) {
  slots_ = &slots;
  // A million of them for a million files; all else is in the plan.
  const auto inodes = std::make_shared<std::deque<std::uint64_t>>();
  for (const Step& step : plan.steps) {
    TRY(sys::may_go_on());
    StagedStep made = staged(plan, inodes->size(), shared_.view, share_, owners_);
    TRY(fill_slot(step, made));
    inodes->push_back(made.slot_inode);
    TRY(sink(std::move(made)));
  }
  return StepSource(
      [&plan, inodes, &view = shared_.view, share = share_, owners = owners_](const StepSink& take) -> Result<> {
        for (std::size_t number = 0; number < plan.steps.size(); ++number) {
          StagedStep again = staged(plan, number, view, share, owners);
          again.slot_inode = (*inodes)[number];
          TRY(take(std::move(again)));
        }
        return {};
      });
}

}  // namespace vskel
