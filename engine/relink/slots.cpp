#include "engine/relink/slots.h"

#include <cerrno>

#include "engine/tree/remove.h"

namespace vskel {

namespace {

std::string slots_name(const std::string& operation) { return ".vskel-" + operation; }

Result<> keep_times(const DirFd& dir, const sys::Stat& before) {
  return sys::set_times(dir, before.atime, before.mtime);
}

}  // namespace

Result<DirFd> make_slots(const DirFd& root, const std::string& operation) {
  const std::string text = slots_name(operation);
  const Name name = *Name::check(text);
  const sys::Stat before = TRY(sys::stat(root));
  TRY(sys::make_dir(root, name, 0700));
  TRY(keep_times(root, before));
  return sys::open_dir(root, name);
}

Result<DirFd> open_slots(const DirFd& root, const std::string& operation) {
  const std::string text = slots_name(operation);
  auto opened = sys::open_dir(root, *Name::check(text));
  if (!opened && opened.error().code == ENOENT) return DirFd();
  return opened;
}

Result<> remove_slots(const DirFd& root, const std::string& operation, const InTurn& in_turn) {
  const std::string text = slots_name(operation);
  const Name name = *Name::check(text);
  if (!TRY(sys::stat_if_there(root, name))) return {};
  const sys::Stat before = TRY(sys::stat(root));
  TRY(remove_tree(root, name, in_turn));
  return keep_times(root, before);
}

Result<> Slots::put(const StagedStep& step, const DirFd& dir, Name name) {
  const auto turn = TRY(shared_.turn());
  const Name slot = of(step);
  TRY(lift(step.slot_sealed, dir_, slot, step.slot_inode));
  auto renamed = sys::rename_new(dir_, slot, dir, name);
  TRY(restore(step.slot_sealed, renamed ? dir : dir_, renamed ? name : slot, step.slot_inode));
  return renamed;
}

Result<> Slots::take(const StagedStep& step, const DirFd& dir, Name name) {
  const auto turn = TRY(shared_.turn());
  const Name slot = of(step);
  TRY(lift(step.mine.sealed, dir, name, step.mine.inode));
  auto renamed = sys::rename_new(dir, name, dir_, slot);
  TRY(restore(step.mine.sealed, renamed ? dir_ : dir, renamed ? slot : name, step.mine.inode));
  return renamed;
}

Result<> Slots::exchange(const StagedStep& step, const DirFd& dir, Name name) {
  const auto turn = TRY(shared_.turn());
  const Name slot = of(step);
  TRY(lift(step.mine.sealed, dir, name, step.mine.inode));
  auto lifted = lift(step.slot_sealed, dir_, slot, step.slot_inode);
  auto exchanged = lifted ? sys::exchange(dir_, slot, dir, name) : lifted;
  // Each inode is sealed again under the name that it has now.
  const bool swapped = exchanged.has_value();
  if (lifted) TRY(restore(step.slot_sealed, swapped ? dir : dir_, swapped ? name : slot, step.slot_inode));
  TRY(restore(step.mine.sealed, swapped ? dir_ : dir, swapped ? slot : name, step.mine.inode));
  return exchanged;
}

Result<> Slots::exchange_back(const StagedStep& step, const DirFd& dir, Name name) {
  const auto turn = shared_.turn();
  const Name slot = of(step);
  TRY(lift(step.slot_sealed, dir, name, step.slot_inode));
  auto exchanged = sys::exchange(dir_, slot, dir, name);
  if (!exchanged && exchanged.error().code == ENOENT) {
    exchanged = sys::rename_new(dir_, slot, dir, name);
    if (step.slot_sealed) shared_.seals.leave(step.slot_inode);
    return exchanged ? sys::make_dir(dir_, slot, 0700) : exchanged;
  }
  if (exchanged && TRY(sys::stat(dir_, slot)).inode != step.slot_inode) {
    TRY(sys::exchange(dir_, slot, dir, name));
    return fail("exchange", sys::path_of(dir) + "/" + std::string(name.view()), EEXIST);
  }
  if (step.slot_sealed) TRY(restore(true, dir_, slot, step.slot_inode));
  return exchanged;
}

Result<> Slots::take_back(const StagedStep& step, const DirFd& dir, Name name) {
  const auto turn = shared_.turn();
  const Name slot = of(step);
  const auto stat = TRY(sys::stat_if_there(dir, name));
  if (!stat || stat->inode != step.slot_inode) return {};
  TRY(lift(step.slot_sealed, dir, name, step.slot_inode));
  auto renamed = sys::rename_new(dir, name, dir_, slot);
  TRY(restore(step.slot_sealed, renamed ? dir_ : dir, renamed ? slot : name, step.slot_inode));
  return renamed;
}

Result<> Slots::put_back(const StagedStep& step, const DirFd& dir, Name name) {
  const auto turn = shared_.turn();
  return sys::rename_new(dir_, of(step), dir, name);
}

}  // namespace vskel
