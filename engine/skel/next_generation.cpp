#include "engine/skel/next_generation.h"

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "engine/seal/reseal.h"
#include "engine/skel/kept_files.h"
#include "engine/skel/merge.h"
#include "engine/skel/reseal.h"
#include "engine/sys/stopping.h"
#include "engine/tree/metadata.h"
#include "engine/tree/relative_path.h"
#include "engine/tree/remove.h"
#include "engine/tree/walk.h"
#include "engine/txn/lock.h"
#include "engine/txn/move_once.h"
#include "engine/txn/staging.h"

namespace vskel {

namespace {

constexpr std::uint32_t kPrivateMode = 0700;

/// New static files, one by one: the rest of static is not ours to touch.
Result<> move_into(const DirFd& from, const DirFd& to) {
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void>) -> Result<> {
    DirFd target = TRY(sys::open_dirs(to, directory->path));
    for (const WalkEntry& entry : directory->entries) {
      if (entry.type != sys::FileType::directory) {
        TRY(move_once(directory->top(), entry.name, target, entry.name));
        continue;
      }
      if (!TRY(sys::stat_if_there(target, entry.name))) {
        const DirFd source = TRY(sys::open_dir(directory->top(), entry.name));
        const DirFd made = TRY(sys::ensure_dir(target, entry.name, kPrivateMode));
        TRY(apply_metadata(made, metadata_of(TRY(sys::stat(source)), TRY(sys::xattrs(source))), Fresh::no));
      }
      walk.descend(directory, entry, nullptr);
    }
    return {};
  };
  (void)TRY(Walk::run({&from}, Mounts::stop, nullptr, visitor));
  return {};
}

/// Files of static that change take the places of the old ones.
Result<> move_over(const DirFd& from, const DirFd& to) {
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void>) -> Result<> {
    for (const WalkEntry& entry : directory->entries) {
      if (entry.type == sys::FileType::directory)
        walk.descend(directory, entry, nullptr);
      else
        TRY(sys::rename_over(directory->top(), entry.name, TRY(sys::open_dirs(to, directory->path)), entry.name));
    }
    return {};
  };
  (void)TRY(Walk::run({&from}, Mounts::stop, nullptr, visitor));
  return {};
}

/// Calls `visit` with every file of a part in staging/ID/files whose inode could only be moved there, not linked, and
/// with the directory of the skel's that it came from.
template <class Visit>
Result<> for_each_moved(const DirFd& files, Part part, const Skel& skel, Visit visit) {
  const DirFd from = TRY(open_dirs_if_there(files, part_name(part)));
  if (!from.open()) return {};
  const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                              std::shared_ptr<void>) -> Result<> {
    const DirFd old = TRY(sys::open_dirs(skel.tree(part), directory->path));
    for (const WalkEntry& entry : directory->entries) {
      if (entry.type == sys::FileType::directory)
        walk.descend(directory, entry, nullptr);
      else if (!TRY(sys::stat_if_there(old, entry.name)))
        TRY(visit(directory->top(), entry.name, TRY(sys::stat(directory->top(), entry.name)), old));
    }
    return {};
  };
  (void)TRY(Walk::run({&from}, Mounts::stop, nullptr, visitor));
  return {};
}

/// Whether moving them back takes a seal off that tenants rely on.
Result<bool> has_sealed_to_move_back(const DirFd& files, const Skel& skel) {
  std::atomic<bool> found{false};
  TRY(for_each_moved(files, Part::global_part, skel,
                     [&found](const DirFd&, Name, const sys::Stat& stat, const DirFd&) -> Result<> {
                       if (stat.immutable) found = true;
                       return {};
                     }));
  return found.load();
}

Result<> move_back(const DirFd& files, Part part, const Skel& skel, Quiescence& quiescence) {
  return for_each_moved(
      files, part, skel,
      [&quiescence](const DirFd& dir, Name name, const sys::Stat& stat, const DirFd& old) -> Result<> {
        const auto turn = TRY(quiescence.turn());
        if (stat.immutable) TRY(sys::change_flags(dir, name, 0, sys::kImmutableFlag));
        auto moved = sys::rename_new(dir, name, old, name);
        if (stat.immutable) TRY(sys::change_flags(moved ? old : dir, name, sys::kImmutableFlag, 0));
        return moved;
      });
}

/// One operation of split-skel or rollback, being brought to its end.
class Finish {
 public:
  Finish(const Store& store, Intent& intent, Trash trash, const HoldTenants& hold_tenants, Quiescence* held,
         const Skel& skel)
      : store_(store),
        intent_(intent),
        trash_(trash),
        hold_tenants_(hold_tenants),
        held_(held),
        skel_(skel),
        merged_(merged_name(skel.name())) {}

  Result<std::string> run() {
    const sys::Undoing to_the_end;
    const std::string phase = intent_.records().back().value("phase", "");
    const bool split = intent_.records().front().value("operation", "") == "split-skel";
    auto staging = sys::open_dir(store_.staging(), *Name::check(intent_.id()));
    if (!staging && staging.error().code != ENOENT) return std::unexpected(std::move(staging).error());
    const std::string what = split ? "splitting it" : "rolling it back";
    std::string outcome = "skel " + skel_.name().text() + ": " + what + " was finished";
    if (phase == "publish") {
      if (staging) TRY(publish(*staging));
      TRY(drop_old_trees());
    } else if (phase == "unchanged") {
      if (staging) TRY(publish_set_aside(*staging));
      TRY(take_merge_back());
    } else {
      if (staging) TRY(undo(*staging));
      outcome = "skel " + skel_.name().text() + ": " + what + " was undone";
    }
    TRY(sys::sync_file_system(store_.vservers()));
    Result<> gone;
    if (trash_ == Trash::empty) gone = remove_tree(store_.staging(), *Name::check(intent_.id()), in_turn());
    if (trash_ == Trash::leave || (!gone && is_of_tenants(gone.error()))) gone = staging_to_trash(store_, intent_);
    TRY(std::move(gone));
    TRY(empty_own_trash());
    TRY(intent_.close());
    return outcome;
  }

 private:
  Result<> publish(const DirFd& staging) {
    const unsigned last = intent_.records().front().value("generation", 0U);
    TRY(exchange_tree(staging, "global", "global.bak"));
    TRY(exchange_tree(staging, "local", "local.bak"));
    const std::string files = kept_files_name(last), manifest = generation_file_name(last + 1);
    TRY(move_once(staging, "files", skel_.generations(), *Name::check(files)));
    TRY(publish_set_aside(staging));
    if (TRY(sys::stat_if_there(staging, "layout"))) TRY(sys::rename_over(staging, "layout", skel_.dir(), "layout"));
    const DirFd added = TRY(open_dirs_if_there(staging, "static"));
    if (added.open()) TRY(move_into(added, skel_.tree(Part::static_part)));
    const DirFd changed = TRY(open_dirs_if_there(staging, "changed-static"));
    if (changed.open()) TRY(move_over(changed, skel_.tree(Part::static_part)));
    TRY(publish_accounts(staging, generation_accounts_name(last + 1)));
    TRY(follow_directories());
    return move_once(staging, "manifest", skel_.generations(), *Name::check(manifest));
  }

  Result<> publish_set_aside(const DirFd& staging) {
    const std::string name = intent_.records().back().value("set_aside", "");
    if (name.empty()) return {};
    return move_once(staging, "set-aside", skel_.generations(), *Name::check(name));
  }

  Result<> publish_accounts(const DirFd& staging, const std::string& of_generation) {
    const DirFd changed = TRY(open_dirs_if_there(staging, "accounts"));
    for (const AccountFile file : kAllAccountFiles) {
      const std::string name(account_file_name(file));
      if (!changed.open() || !TRY(sys::stat_if_there(changed, *Name::check(name)))) continue;
      const DirFd etc = TRY(sys::open_dir(skel_.tree(Part::static_part), "etc"));
      TRY(sys::rename_over(changed, *Name::check(name), etc, *Name::check(name)));
    }
    return move_once(staging, "generation.accounts", skel_.generations(), *Name::check(of_generation));
  }

  /// One path has one owner, mode and time in all parts: static's directories take those of the new trees.
  Result<> follow_directories() {
    const DirFd local = TRY(sys::open_dir(skel_.dir(), "local")), global = TRY(sys::open_dir(skel_.dir(), "global"));
    const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                                std::shared_ptr<void>) -> Result<> {
      for (const WalkEntry& entry : directory->entries)
        if (entry.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
      for (const DirFd* tree : {&local, &global}) {
        const DirFd source = TRY(open_dirs_if_there(*tree, directory->path));
        if (!source.open()) continue;
        const DirFd own = TRY(sys::reopen(directory->top()));
        return apply_metadata(own, metadata_of(TRY(sys::stat(source)), TRY(sys::xattrs(source))), Fresh::no);
      }
      return {};
    };
    (void)TRY(Walk::run({&skel_.tree(Part::static_part)}, Mounts::stop, nullptr, visitor));
    return {};
  }

  /// While the new tree waits in staging the old one has to be aside first (after a merge it is).
  Result<> exchange_tree(const DirFd& staging, Name name, Name aside) {
    if (!TRY(sys::stat_if_there(staging, name))) return {};
    TRY(move_once(skel_.dir(), name, skel_.dir(), aside));
    return move_once(staging, name, skel_.dir(), name);
  }

  Result<> to_trash(const DirFd& dir, Name name) {
    const std::string target = intent_.id() + "." + std::string(name.view());
    return move_once(dir, name, store_.trash(), *Name::check(target));
  }

  Result<> drop_old_trees() {
    TRY(to_trash(store_.vservers(), *Name::check(merged_)));
    TRY(to_trash(skel_.dir(), kMergedAccounts));
    TRY(to_trash(skel_.dir(), "global.bak"));
    return to_trash(skel_.dir(), "local.bak");
  }

  Result<> take_merge_back() {
    TRY(to_trash(store_.vservers(), *Name::check(merged_)));
    TRY(to_trash(skel_.dir(), kMergedAccounts));
    TRY(move_once(skel_.dir(), "global.bak", skel_.dir(), "global"));
    return move_once(skel_.dir(), "local.bak", skel_.dir(), "local");
  }

  Result<> undo(const DirFd& staging) {
    const DirFd files = TRY(open_dirs_if_there(staging, "files"));
    Quiescence quiescence;
    if (files.open()) {
      if (hold_tenants_ && TRY(has_sealed_to_move_back(files, skel_))) quiescence = TRY(hold_tenants_(skel_));
      Quiescence& turns = held_ != nullptr ? *held_ : quiescence;
      for (const Part part : {Part::global_part, Part::local_part}) TRY(move_back(files, part, skel_, turns));
    }
    const std::string seal = intent_.records().front().value("seal", "none");
    if (seal != "immutable" && seal != "guard") return {};
    if (seal == "immutable") TRY(seal_skel_again(skel_, SealKind::immutable));
    TRY(quiescence.release());
    // What was to be new is the merged tree's still, where no seal may be in a package manager's way.
    const DirFd merged = TRY(open_dirs_if_there(store_.vservers(), merged_));
    const DirFd staged = TRY(open_dirs_if_there(staging, "global"));
    return merged.open() && staged.open() ? unseal_staged(merged, staged) : Result<>{};
  }

  [[nodiscard]] InTurn in_turn() const { return held_ != nullptr ? held_->in_turn() : InTurn(); }

  /// Of somebody who could be a tenant, and of tenants that can't be held, no errno is told. A later command empties the
  /// trash then.
  static bool is_of_tenants(const Error& error) { return error.code == 0; }

  Result<> empty_own_trash() {
    if (trash_ == Trash::leave) return {};
    const Lock lock = TRY(Lock::take(store_, "trash", sys::Wait::yes));
    for (const std::string& name :
         {merged_, std::string(kMergedAccounts.view()), std::string("global.bak"), std::string("local.bak")}) {
      const std::string target = intent_.id() + "." + name;
      auto gone = remove_tree(store_.trash(), *Name::check(target), in_turn());
      if (!gone && !is_of_tenants(gone.error())) return gone;
    }
    return {};
  }

  const Store& store_;
  Intent& intent_;
  const Trash trash_;
  const HoldTenants& hold_tenants_;
  Quiescence* const held_;
  const Skel& skel_;
  const std::string merged_;
};

}  // namespace

Result<NextGeneration> NextGeneration::begin(const Skel& skel, const DirFd& staging, unsigned last, SealKind seal,
                                             Executor& executor, Quiescence& quiescence) {
  NextGeneration next(skel, staging, seal, executor, quiescence);
  next.trees_[0] = TRY(sys::ensure_dir(staging, "global", 0755));
  next.trees_[1] = TRY(sys::ensure_dir(staging, "local", 0755));
  next.trees_[2] = TRY(sys::ensure_dir(staging, "static", 0755));
  next.last_ = last;
  return next;
}

Result<> NextGeneration::seal(const DirFd& dir, Name name, std::uint64_t inode) {
  auto sealed = seals_->restore(dir, name, inode);
  if (!sealed) return std::unexpected(quiescence_->keep_still(std::move(sealed).error()));
  return sealed;
}

Result<bool> NextGeneration::link(const DirFd& source, Name source_name, const DirFd& target, Name name) {
  const sys::Stat stat = TRY(sys::stat(source, source_name));
  const auto turn = TRY(quiescence_->turn());
  const bool lifted = TRY(seals_->lift_if_sealed(source, source_name, stat.inode));
  auto linked = sys::link(source, source_name, target, name);
  if (lifted) TRY(seal(source, source_name, stat.inode));
  if (linked) return true;
  if (linked.error().code == EMLINK) return false;
  return std::unexpected(std::move(linked).error());
}

Result<> NextGeneration::unlink(const DirFd& source, Name source_name, const DirFd& target, Name name) {
  const sys::Stat stat = TRY(sys::stat(source, source_name));
  const auto turn = TRY(quiescence_->turn());
  const bool lifted = TRY(seals_->lift_if_sealed(source, source_name, stat.inode));
  auto gone = sys::unlink(target, name);
  if (lifted) TRY(seal(source, source_name, stat.inode));
  return gone;
}

Result<> NextGeneration::copy(const DirFd& source, Name name, const DirFd& root, const std::string& path) {
  const Fd file = TRY(sys::open_trusted_file(source, name));
  const sys::Stat stat = TRY(sys::stat(file));
  const DirFd target = TRY(make_dirs(root, parent_path(path)));
  const auto [first, is_first] = copies_.emplace(std::pair(&root, stat.inode), path);
  if (!is_first) {
    const DirFd dir = TRY(sys::open_dirs(root, parent_path(first->second)));
    return sys::link(dir, last_name(first->second), target, last_name(path));
  }
  const Metadata metadata = metadata_of(stat, TRY(sys::xattrs(file)));
  const Operation copy = CopyFile{last_name(path), &file, stat.size, stat.blocks, CopyBy::either, &metadata};
  Results results = executor_->issue({&target, std::span(&copy, 1)}, OnFailure::stop);
  if (!results.failures.empty()) return std::unexpected(std::move(results.failures.front().error));
  return {};
}

Result<> NextGeneration::move_old(const DirFd& source, Name name, const sys::Stat& stat, const DirFd& target) {
  const auto turn = TRY(quiescence_->turn());
  const bool lifted = TRY(seals_->lift_if_sealed(source, name, stat.inode));
  auto moved = sys::rename_new(source, name, target, name);
  if (lifted) TRY(seal(moved ? target : source, name, stat.inode));
  return moved;
}

Result<> NextGeneration::keep_old(const ManifestEntry& entry) {
  const DirFd source = TRY(sys::open_dirs(skel_->tree(entry.part), parent_path(entry.path)));
  const Name name = last_name(entry.path);
  if (!files_.open()) files_ = TRY(sys::ensure_dir(*staging_, "files", kPrivateMode));
  const std::string path = joined_path(part_name(entry.part), entry.path);
  const sys::Stat stat = TRY(sys::stat(source, name));
  // A further name would change the number of links of what stays in the local part.
  if (entry.part != Part::global_part && stat.type == sys::FileType::regular && stat.nlink > 1)
    return copy(source, name, files_, path);
  const DirFd target = TRY(make_dirs(files_, parent_path(path)));
  if (TRY(link(source, name, target, name))) return {};
  return move_old(source, name, stat, target);
}

Result<> NextGeneration::keep_accounts(const AccountTexts& texts) {
  return write_private_accounts(*staging_, "generation.accounts", texts);
}

Result<> NextGeneration::write(const std::function<Result<>(ManifestWriter& writer)>& give) {
  const Fd file = TRY(sys::create_file(*staging_, "manifest", 0644));
  ManifestWriter writer(last_ + 1, [&file](std::string_view piece) { return sys::write_all(file, piece); });
  TRY(give(writer));
  return writer.finish();
}

Result<std::string> finish_generation(const Store& store, Intent& intent, Trash trash, const HoldTenants& hold_tenants,
                                      Quiescence* held) {
  const Skel skel = TRY(Skel::open(store, TRY(SkelName::parse(intent.records().front().value("skel", "")))));
  return Finish(store, intent, trash, hold_tenants, held, skel).run();
}

}  // namespace vskel
