#include "engine/relink/skel_links.h"

#include <cerrno>
#include <mutex>
#include <shared_mutex>

#include "engine/skel/kept_files.h"
#include "engine/sys/stopping.h"
#include "engine/tree/metadata.h"
#include "engine/tree/relative_path.h"

namespace vskel {

Result<Quiescence::Turn> LinkShared::turn() const {
  const sys::Undoing to_the_end;
  Quiescence of_nobody;
  return (quiescence != nullptr ? *quiescence : of_nobody).turn();
}

Result<> LinkShared::restore(const DirFd& dir, Name name, std::uint64_t inode) {
  auto restored = seals.restore(dir, name, inode);
  if (!restored && quiescence != nullptr) return std::unexpected(quiescence->keep_still(std::move(restored).error()));
  return restored;
}

Result<std::uint64_t> SkelLinks::link(const std::string& path, const DirFd& dir, Name name) {
  if (!chain_) chain_.emplace(TRY(sys::reopen(shared_.skel.tree(Part::global_part))));
  const DirFd& source = *TRY(chain_->open(parent_path(path)));
  const Name source_name = last_name(path);
  const auto turn = TRY(shared_.turn());
  // Between the look at an inode, the lifting of its seal and the link its name must lead to it.
  const auto link_as_it_is = [&] {
    const std::shared_lock lock(shared_.leaders);
    return link_once(source, source_name, dir, name);
  };
  auto linked = link_as_it_is();
  if (linked || linked.error().code != EMLINK) return linked;
  const std::unique_lock lock(shared_.leaders);
  linked = link_once(source, source_name, dir, name);  // another task may have made the new leader meanwhile
  if (linked || linked.error().code != EMLINK) return linked;
  TRY(make_new_leader(source, source_name, dir));
  return link_once(source, source_name, dir, name);
}

Result<std::uint64_t> SkelLinks::link_once(const DirFd& source, Name source_name, const DirFd& dir, Name name) {
  const sys::Stat stat = TRY(sys::stat(source, source_name));
  if (shared_.seal == SealKind::none) TRY(clear_any_seal(source, source_name, stat));
  TRY(shared_.seals.lift(source, source_name, stat.inode));
  auto linked = sys::link(source, source_name, dir, name);
  auto restored = shared_.restore(source, source_name, stat.inode);
  if (!linked) return std::unexpected(std::move(linked).error());
  TRY(std::move(restored));
  return stat.inode;
}

/// A copy takes the inode's place in the skel and leads further names. The old one stays with the vservers that have
/// it, and is kept like one that was replaced.
Result<> SkelLinks::make_new_leader(const DirFd& source, Name name, const DirFd& scratch) {
  const Name leader("leader");
  const Fd file = TRY(sys::open_trusted_file(source, name));
  const sys::Stat stat = TRY(sys::stat(file));
  const Metadata metadata = metadata_of(stat, TRY(sys::xattrs(file)));
  const Operation copy = CopyFile{leader, &file, stat.size, stat.blocks, CopyBy::either, &metadata};
  Results results = shared_.executor.issue({&scratch, std::span(&copy, 1)}, OnFailure::stop);
  if (!results.failures.empty()) return std::unexpected(std::move(results.failures.front().error));
  const std::uint64_t inode = TRY(sys::stat(scratch, leader)).inode;
  const sys::Stat directory = TRY(sys::stat(source));
  TRY(shared_.seals.lift(source, name, stat.inode));
  auto exchanged = sys::exchange(scratch, leader, source, name);
  if (!exchanged) {
    (void)shared_.restore(source, name, stat.inode);
    return exchanged;
  }
  if (!must_lift(shared_.seal)) TRY(set_seal(source, name, shared_.seal));
  TRY(shared_.restore(source, name, inode));
  TRY(sys::set_times(source, directory.atime, directory.mtime));
  // Beside what is kept for older generations: vservers have it, and its inode says that it is the skel's.
  const std::string old_name = std::to_string(stat.inode);
  const DirFd leaders = TRY(make_dirs(shared_.skel.generations(), former_leaders_name(shared_.generation)));
  auto moved = sys::rename_new(scratch, leader, leaders, *Name::check(old_name));
  TRY(shared_.restore(moved ? leaders : scratch, moved ? *Name::check(old_name) : leader, stat.inode));
  return moved;
}

}  // namespace vskel
