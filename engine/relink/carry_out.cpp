// A step names the inode that it was planned for. It is carried out only while that inode stands there unchanged, which
// for a tenant's own inode takes a read lease (nobody writes, nobody has it mapped) and the bytes compared under it.
// RENAME_EXCHANGE then works as compare-and-swap: what comes out lands in our slot, is looked at again, and goes back
// if it is not what it was. Leases are held until a grace after the exchange, so that who was on his way to the old
// inode is found waiting, and has it back.

#include "engine/relink/carry_out.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <ranges>
#include <utility>

#include "engine/content/compare.h"
#include "engine/content/hash.h"
#include "engine/relink/skel_view.h"
#include "engine/tree/directory_chain.h"
#include "engine/tree/metadata.h"
#include "engine/tree/walk.h"

namespace vskel {

namespace {

constexpr std::uint64_t kDedupePiece = 16 << 20;  // ioctl_fideduperange(2): file systems cap one request at that

/// What a tenant's doings look like, against errors that are the machine's: something is gone, or cannot be moved,
/// shared or given metadata where it stands. Linking into a slot of ours, seals, leases and reading are not his.
bool is_tenants_doing(const Error& error) {
  const int code = error.code;
  if (error.operation == "link") return false;
  if (code == ENOENT || code == ENOTDIR || code == ELOOP) return true;
  if (error.operation == "open") return code == EXDEV || code == EAGAIN;
  static constexpr std::array kWhereItStands{"rename",        "exchange",      "remove",
                                             "share extents", "set attribute", "remove attribute",
                                             "set mode",      "set owner",     "set times"};
  if (std::ranges::find(kWhereItStands, error.operation) == kWhereItStands.end()) return false;
  return code == EXDEV || code == EEXIST || code == EISDIR || code == ENOTEMPTY || code == EINVAL || code == EAGAIN ||
         code == EBUSY || code == EPERM || code == ETXTBSY;
}

}  // namespace

class CarryOut::Carrier {
 public:
  explicit Carrier(const CarryOutRequest& request)
      : request_(request),
        skel_(request.links.skel),
        slots_(request.slots),
        root_(request.root),
        seals_(request.links.seals),
        links_(request.links),
        further_(request.further) {}

  void run(const StepSource& steps) {
    auto all = steps([this](StagedStep step) -> Result<> {
      if (out_.error) {
        leave(step);
        return {};
      }
      if (step.kind == Step::Kind::remove_dir || step.kind == Step::Kind::set_metadata)
        directories_.push_back(std::move(step));
      else if (step.in_use || !attempt(step))
        again_.push_back(std::move(step));
      settle_if_many();
      return {};
    });
    if (!all && !out_.error) out_.error = std::move(all).error();
  }

  [[nodiscard]] bool holds_leases() const { return !watched_.empty(); }

  void settle() {
    settle_watched();
    for (StagedStep& step : std::exchange(again_, {})) {
      if (!attempt(step)) leave(step);
      settle_if_many();
    }
    for (StagedStep& step : std::exchange(directories_, {}))
      if (!attempt(step)) leave(step);
  }

  CarriedOut finish() {
    settle_watched();
    for (const StagedStep& step : again_) leave(step);
    return std::move(out_);
  }

 private:
  /// What tells, after the grace, that nobody changed a file.
  struct Guard {
    Fd lease;
    std::vector<sys::Xattr> xattrs;
  };
  struct Watched {
    StagedStep step;
    Guard guard;
  };

  void leave(const StagedStep& step) { out_.left.insert_or_assign(step.path, step.base_generation); }

  /// False if it was not carried out. If it was, the step may have been taken, to wait with its lease.
  bool attempt(StagedStep& step) {
    if (out_.error) return false;
    const bool names_move = step.mine.type == sys::FileType::directory || step.kind == Step::Kind::put_new;
    auto done = carry_out_one(step);
    if (names_move && chain_) chain_->forget();
    if (done) return *done;
    if (!is_tenants_doing(done.error())) out_.error = std::move(done).error();
    return false;
  }

  /// Before a crash: then the directory that it was done in may be gone by now.
  static bool is_done(const StagedStep& step, const std::optional<sys::Stat>& in_slot) {
    switch (step.kind) {
      case Step::Kind::put_new:
        return !in_slot;
      case Step::Kind::put_over:  // what came out is dropped soon after; of a link, prove() sees that it has come
        if (!in_slot) return !step.links_when_carried_out();
        return in_slot->inode != step.slot_inode && in_slot->inode == step.mine.inode;
      case Step::Kind::remove:
        return in_slot.has_value();
      default:
        return false;
    }
  }

  void settle_if_many() {
    if (watched_.size() < request_.most_leases) return;
    request_.grace.wait();
    settle_watched();
  }

  Result<bool> carry_out_one(StagedStep& step) {
    const Name slot = *Name::check(step.slot);
    // A directory has no seal, and whoever runs is not in its way.
    const bool may_go_on = further_ == Further::carry_out || step.kind == Step::Kind::set_metadata;
    // Made now, where it is to be moved at once and then dropped: the file system has all three at hand.
    const bool linked = may_go_on && step.links_when_carried_out() && TRY(link_into_slot(step, slot));
    if (!linked) {
      const auto in_slot = TRY(sys::stat_if_there(slots_, slot));
      if (is_done(step, in_slot)) return !request_.after_crash || !in_slot || stayed_as_it_was(step, slot);
      if (!may_go_on) return false;
      // A directory stands for what a tenant took out of the way, see exchange_back().
      if (step.kind == Step::Kind::put_over && in_slot->inode != step.slot_inode) return false;
    }
    const DirFd* const dir = TRY(directory_of(step.path));
    const Name name = last_name(step.path);
    switch (step.kind) {
      case Step::Kind::put_new:
        return put_new(step, *dir, name, slot);
      case Step::Kind::put_over:
        return put_over(step, *dir, name, slot);
      case Step::Kind::remove:
        return remove(step, *dir, name, slot);
      case Step::Kind::remove_dir:
        return remove_dir(*dir, name);
      case Step::Kind::set_metadata:
        return set_metadata(step, *dir, name, slot);
      case Step::Kind::share_extents:
        return share_extents(step, *dir, name);
    }
    return false;
  }

  /// False if something is in the slot since before a crash, or another attempt.
  Result<bool> link_into_slot(StagedStep& step, Name slot) {
    auto linked = links_.link(step.source, slots_, slot);
    if (!linked && linked.error().code == EEXIST) return false;
    step.slot_inode = TRY(std::move(linked));
    return true;
  }

  Result<const DirFd*> directory_of(std::string_view path) {
    if (!chain_) chain_.emplace(TRY(sys::reopen(root_)));
    return chain_->open(parent_path(path));
  }

  // --- seals: of inodes of the skel's only

  Result<> lift(bool sealed, const DirFd& dir, Name name, std::uint64_t inode) {
    return sealed ? seals_.lift(dir, name, inode) : Result<>{};
  }
  Result<> restore(bool sealed, const DirFd& dir, Name name, std::uint64_t inode) {
    return sealed ? seals_.restore(dir, name, inode) : Result<>{};
  }

  // --- steps

  Result<bool> put_new(const StagedStep& step, const DirFd& dir, Name name, Name slot) {
    TRY(lift(step.slot_sealed, slots_, slot, step.slot_inode));
    auto renamed = sys::rename_new(slots_, slot, dir, name);
    TRY(restore(step.slot_sealed, renamed ? dir : slots_, renamed ? name : slot, step.slot_inode));
    TRY(renamed);
    return true;
  }

  Result<bool> put_over(StagedStep& step, const DirFd& dir, Name name, Name slot) {
    Guard guard;
    const Proven proven = TRY(prove(step, dir, name, slot, guard));
    if (proven != Proven::yes) return proven == Proven::has_come;
    TRY(exchange(step, dir, name, slot));
    if (!TRY(is_what_was_meant(step, slot))) {
      TRY(exchange_back(step, dir, name, slot));
      return false;
    }
    watch(step, std::move(guard));
    return true;
  }

  /// What came out is looked at again after the grace: a file by its lease, a directory by what is below it.
  void watch(StagedStep& step, Guard guard) {
    if (guard.lease.open() || step.mine.type == sys::FileType::directory)
      watched_.push_back({std::move(step), std::move(guard)});
  }

  Result<bool> remove(StagedStep& step, const DirFd& dir, Name name, Name slot) {
    Guard guard;
    if (TRY(prove(step, dir, name, slot, guard)) != Proven::yes) return false;
    TRY(lift(step.mine.sealed, dir, name, step.mine.inode));
    auto renamed = sys::rename_new(dir, name, slots_, slot);
    TRY(restore(step.mine.sealed, renamed ? slots_ : dir, renamed ? slot : name, step.mine.inode));
    TRY(renamed);
    if (!TRY(is_what_was_meant(step, slot))) {
      TRY(sys::rename_new(slots_, slot, dir, name));
      return false;
    }
    watch(step, std::move(guard));
    return true;
  }

  static Result<bool> remove_dir(const DirFd& dir, Name name) {
    auto removed = sys::remove_dir(dir, name);
    if (removed || removed.error().code == ENOENT) return true;
    return std::unexpected(std::move(removed).error());
  }

  Result<bool> set_metadata(const StagedStep& step, const DirFd& dir, Name name, Name slot) {
    const DirFd target = TRY(sys::open_dir(dir, name))
    , carrier = TRY(sys::open_dir(slots_, slot));
    if (!is_still(step.mine, TRY(sys::stat(target)))) return false;
    const auto wanted = TRY(sys::xattrs(carrier));
    for (const sys::Xattr& xattr : TRY(sys::xattrs(target)))
      if (std::ranges::find(wanted, xattr.name, &sys::Xattr::name) == wanted.end())
        TRY(sys::remove_xattr(target, xattr.name));
    TRY(apply_metadata(target, metadata_of(TRY(sys::stat(carrier)), wanted), Fresh::no));
    return true;
  }

  /// The kernel compares and shares in one step: nothing is to be proved before or looked at after.
  Result<bool> share_extents(const StagedStep& step, const DirFd& dir, Name name) {
    const Fd target = TRY(sys::open_file(dir, name));
    if (!is_still(step.mine, TRY(sys::stat(target)))) return false;
    const DirFd source_dir = TRY(SkelView::directory_of(skel_, 0, Part::global_part, step.source));
    const Fd source = TRY(sys::open_trusted_file(source_dir, last_name(step.source)));
    for (std::uint64_t at = 0; at < step.mine.size;) {
      const sys::Deduped deduped = TRY(sys::dedupe(source, target, at, std::min(kDedupePiece, step.mine.size - at)));
      if (!deduped.same || deduped.bytes == 0) return false;
      at += deduped.bytes;
    }
    return true;
  }

  // --- proofs

  enum class Proven {
    no,
    yes,
    has_come,  ///< what is to come stands there: the step was carried out before a crash
  };

  /// Is what stands there what the step was planned for, and does nobody write to it? Leaves the lease that says so.
  Result<Proven> prove(const StagedStep& step, const DirFd& dir, Name name, Name slot, Guard& guard) {
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
    if (!request_.after_crash && stat.nlink == 1 && stat.ctime != step.mine.ctime) return Proven::no;
    const bool known = !no_leases_here && step.compared_under_lease && stat.ctime == step.mine.ctime;
    if (!known && !TRY(has_the_bytes(step, file, slots_, slot))) return Proven::no;
    if (no_leases_here) return Proven::yes;
    guard.xattrs = std::move(xattrs);
    guard.lease = std::move(file);
    return Proven::yes;
  }

  /// Are these the attributes of one that the step may replace?
  static bool may_be(const StagedStep& step, const std::vector<sys::Xattr>& xattrs) {
    if (step.xattrs.empty()) return true;
    const std::string word = xattrs_word(hash_xattrs(xattrs));
    return std::ranges::any_of(std::views::split(step.xattrs, '|'),
                               [&](const auto part) { return std::string_view(part) == word; });
  }

  /// `theirs` in `theirs_dir` is what is to take the file's place, or has.
  Result<bool> has_the_bytes(const StagedStep& step, const Fd& file, const DirFd& theirs_dir, Name theirs) {
    if (step.mine.size == 0) return true;
    if (step.proof == Proof::digest) {
      const ContentHash hash = TRY(hash_file(file, WithSha256::yes));
      return hex_of(*hash.sha256) == step.sha256;
    }
    if (step.proof == Proof::theirs) return TRY(compare_content(TRY(sys::open_trusted_file(theirs_dir, theirs)), file))
    .same;
    const DirFd base_dir = TRY(SkelView::directory_of(skel_, step.kept_in, step.part, step.path));
    return TRY(compare_content(TRY(sys::open_trusted_file(base_dir, last_name(step.path))), file))
    .same;
  }

  /// What lies in the slot now is the pinned inode, as it was. Its lease is asked after at the end of the chunk.
  Result<bool> is_what_was_meant(const StagedStep& step, Name slot) {
    return is_still(step.mine, TRY(sys::stat(slots_, slot)));
  }

  Result<> exchange(const StagedStep& step, const DirFd& dir, Name name, Name slot) {
    TRY(lift(step.mine.sealed, dir, name, step.mine.inode));
    auto lifted = lift(step.slot_sealed, slots_, slot, step.slot_inode);
    auto exchanged = lifted ? sys::exchange(slots_, slot, dir, name) : lifted;
    // Each inode is sealed again under the name that it has now.
    const bool swapped = exchanged.has_value();
    if (lifted) TRY(restore(step.slot_sealed, swapped ? dir : slots_, swapped ? name : slot, step.slot_inode));
    TRY(restore(step.mine.sealed, swapped ? slots_ : dir, swapped ? slot : name, step.mine.inode));
    return exchanged;
  }

  Result<> exchange_back(const StagedStep& step, const DirFd& dir, Name name, Name slot) {
    TRY(lift(step.slot_sealed, dir, name, step.slot_inode));
    auto exchanged = sys::exchange(slots_, slot, dir, name);
    // The name may be gone meanwhile: then what came out goes back to where it was.
    if (!exchanged && exchanged.error().code == ENOENT) {
      exchanged = sys::rename_new(slots_, slot, dir, name);
      if (step.slot_sealed) seals_.leave(step.slot_inode);
      // An empty slot would say that the exchange has been and what came out is dropped.
      return exchanged ? sys::make_dir(slots_, slot, 0700) : exchanged;
    }
    if (step.slot_sealed) TRY(restore(true, slots_, slot, step.slot_inode));
    return exchanged;
  }

  /// After a crash: our leases died with us, and who had been waiting wrote to what lies in the slot.
  Result<bool> stayed_as_it_was(const StagedStep& step, Name slot) {
    bool same = TRY(is_what_was_meant(step, slot));
    if (same && step.proof != Proof::inode && step.mine.type == sys::FileType::regular) {
      const DirFd& dir = *TRY(directory_of(step.path));
      const Fd file = TRY(sys::open_file(slots_, slot));
      same = TRY(has_the_bytes(step, file, dir, last_name(step.path))) && may_be(step, TRY(sys::xattrs(file)));
    }
    if (same && step.mine.type == sys::FileType::directory) same = TRY(is_untouched_below(step, slot));
    if (!same) give_back(step);
    return same;
  }

  /// Whether a tenant has changed, made or removed nothing in the tree in the slot since it was planned for, and has
  /// nothing of it open for writing. What is sealed he could not change.
  Result<bool> is_untouched_below(const StagedStep& step, Name slot) {
    // Its own times say nothing: XFS moves the mtime of a directory whose parent changes. What was put into it has a
    // later ctime than the plan.
    const DirFd tree = TRY(sys::open_dir(slots_, slot));
    std::atomic<bool> untouched{true};
    const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                                std::shared_ptr<void>) -> Result<> {
      for (const WalkEntry& entry : directory->entries) {
        const sys::Stat stat = TRY(sys::stat(directory->top(), entry.name));
        if (stat.immutable) continue;
        // Further names of an inode come and go with other steps, and with them its ctime; so does a lifted seal.
        const bool has_further_names = stat.type == sys::FileType::regular && stat.nlink > 1;
        bool same = (has_further_names ? stat.mtime : stat.ctime) < step.since;
        if (same && stat.type == sys::FileType::regular)
          same = TRY(sys::take_read_lease(TRY(sys::open_file(directory->top(), entry.name))));
        if (!same) untouched = false;
        if (stat.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
      }
      return {};
    };
    const auto mounts = TRY(Walk::run({&tree}, Mounts::stop, nullptr, visitor));
    return untouched && mounts.empty();
  }

  /// What came out of a vserver and was written to since goes to its path again, or, if something else is there by now,
  /// where the administrator finds it.
  void give_back(const StagedStep& step) {
    const Name slot = *Name::check(step.slot), name = last_name(step.path);
    auto dir = directory_of(step.path);
    Result<> back;
    if (!dir)
      back = std::unexpected(std::move(dir).error());
    else if (step.kind == Step::Kind::remove)
      back = sys::rename_new(slots_, slot, **dir, name);
    else
      back = exchange_back(step, **dir, name, slot);
    if (back) return;
    const std::string kept = request_.name + "." + step.slot;
    const auto quarantined = sys::rename_new(slots_, slot, request_.quarantine, *Name::check(kept));
    out_.error = quarantined ? fail("relink", step.path,
                                    "written to while it was replaced; what was written is " +
                                        sys::path_of(request_.quarantine) + "/" + kept)
                                   .error()
                             : quarantined.error();
  }

  Result<bool> stayed_the_same(const Watched& watched, Name slot) {
    const StagedStep& step = watched.step;
    if (!TRY(is_what_was_meant(step, slot))) return false;
    if (step.mine.type == sys::FileType::directory) return is_untouched_below(step, slot);
    return TRY(sys::holds_read_lease(watched.guard.lease))
    &&TRY(sys::xattrs(watched.guard.lease))
    == watched.guard.xattrs;
  }

  /// Whoever wanted to write to an exchanged inode has been waiting since: he gets it back where it was, and the step
  /// is one to try again. The same if its metadata were changed, which no lease is asked about.
  void settle_watched() {
    for (Watched& watched : watched_) {
      const Name slot = *Name::check(watched.step.slot);
      const auto same = stayed_the_same(watched, slot);
      if (same && *same) {
        // What came out goes at once, while it is in the caches: no file system's journal can lose the exchange and
        // keep this. What refuses is left to the removal of the staging, which tells. What was removed stays: an empty
        // slot would say, after a crash, that it is still to be.
        if (watched.step.kind == Step::Kind::put_over && watched.guard.lease.open()) (void)sys::unlink(slots_, slot);
        continue;
      }
      give_back(watched.step);
      if (!same && !is_tenants_doing(same.error()) && !out_.error) out_.error = same.error();
      again_.push_back(std::move(watched.step));
    }
    watched_.clear();
  }

  const CarryOutRequest request_;
  const Skel& skel_;
  const DirFd& slots_;
  const DirFd& root_;
  LiftedSeals& seals_;
  SkelLinks links_;
  const Further further_;
  std::optional<DirectoryChain> chain_;
  std::vector<Watched> watched_;
  std::vector<StagedStep> again_;        // not carried out, or taken back: in use, or changed
  std::vector<StagedStep> directories_;  // when what was in them and goes back is back: a removal, and times
  CarriedOut out_;
};

CarryOut::CarryOut(const CarryOutRequest& request) : carrier_(std::make_unique<Carrier>(request)) {}
CarryOut::~CarryOut() = default;
void CarryOut::run(const StepSource& steps) { carrier_->run(steps); }
bool CarryOut::holds_leases() const { return carrier_->holds_leases(); }
void CarryOut::settle() { carrier_->settle(); }
CarriedOut CarryOut::finish() { return carrier_->finish(); }

}  // namespace vskel
