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
#include <set>
#include <utility>

#include "engine/content/compare.h"
#include "engine/content/hash.h"
#include "engine/relink/skel_view.h"
#include "engine/tree/directory_chain.h"
#include "engine/tree/listing.h"
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
      if (!bundle_steps_.empty() && bundle_steps_.front().bundle != step.bundle) carry_out_bundle();
      if (out_.error) {
        leave(step);
        return {};
      }
      if (!step.bundle.empty())
        bundle_steps_.push_back(std::move(step));
      else if (step.is_of_directory())
        directories_.push_back(std::move(step));
      else if (step.in_use || !attempt(step))
        again_.push_back(std::move(step));
      settle_if_many();
      return {};
    });
    if (!bundle_steps_.empty()) carry_out_bundle();
    if (!all && !out_.error) out_.error = std::move(all).error();
  }

  [[nodiscard]] bool holds_leases() const { return !watched_.empty() || !bundles_.empty(); }

  void settle() {
    settle_watched();
    for (StagedStep& step : std::exchange(again_, {})) {
      if (!attempt(step)) leave(step);
      settle_if_many();
    }
    finish_directories();
  }

  CarriedOut finish() {
    settle_watched();
    finish_directories();
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

  /// All of a bundle that was exchanged, to go back together if somebody was at work there.
  struct Bundle {
    std::vector<StagedStep> steps;
    std::vector<Watched> watched;
    bool is_settled = false;  ///< before a crash
  };

  /// Their times when no name in them moves any more.
  void finish_directories() {
    std::vector<StagedStep> steps = std::exchange(directories_, {});
    const auto turn = [](const StagedStep& step) {
      return step.kind == Step::Kind::renew ? 2 : step.kind == Step::Kind::set_times ? 1 : 0;
    };
    std::ranges::stable_sort(steps, {}, turn);
    for (StagedStep& step : steps) {
      // Names have moved, whatever else could not be done.
      if (out_.error && turn(step) != 0)
        (void)carry_out_one(step);
      else if (!attempt(step))
        leave(step);
    }
  }

  void leave(const StagedStep& step) {
    const bool only_times = step.kind == Step::Kind::set_times || step.kind == Step::Kind::renew;
    if (!only_times) out_.left.insert_or_assign(step.path, step.base_generation);
  }

  /// False if it was not carried out. If it was, the step may have been taken, to wait with its lease.
  bool attempt(StagedStep& step) {
    if (out_.error) return false;
    if (step.after_moves && has_unmoved_below(step.path)) return false;
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

  [[nodiscard]] std::size_t leases() const {
    std::size_t held = watched_.size();
    for (const Bundle& bundle : bundles_) held += bundle.watched.size();
    return held;
  }

  void settle_if_many() {
    if (leases() < request_.most_leases) return;
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
      if (is_done(step, in_slot)) {
        const bool stayed = !request_.after_crash || !in_slot || stayed_as_it_was(step, slot);
        if (stayed && under_way_ != nullptr) watch(step, {});
        return stayed;
      }
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
      case Step::Kind::move:
        return move(step, *dir, name);
      case Step::Kind::set_times:
        return set_times(step, *dir, name);
      case Step::Kind::renew:
        return renew(*dir, name);
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

  Result<bool> put_new(StagedStep& step, const DirFd& dir, Name name, Name slot) {
    TRY(lift(step.slot_sealed, slots_, slot, step.slot_inode));
    auto renamed = sys::rename_new(slots_, slot, dir, name);
    TRY(restore(step.slot_sealed, renamed ? dir : slots_, renamed ? name : slot, step.slot_inode));
    TRY(renamed);
    if (under_way_ != nullptr) watch(step, {});
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
    if (under_way_ != nullptr) {
      // Who has no descriptor left for a lease is compared by bytes.
      if (leases() + under_way_->watched.size() >= request_.most_leases) guard = {};
      under_way_->watched.push_back({step, std::move(guard)});
      return;
    }
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

  /// What the tenant put there goes along to where the link leads that is about to take its directory's place.
  Result<bool> move(const StagedStep& step, const DirFd& dir, Name name) {
    unmoved_.insert(step.path);
    const auto stat = TRY(sys::stat_if_there(dir, name));
    if (stat && (stat->inode != step.mine.inode || stat->type != step.mine.type)) return false;
    if (stat) {
      const DirFd target = TRY(sys::open_dirs(root_, parent_path(step.source)));
      TRY(sys::rename_new(dir, name, target, last_name(step.source)));
    }
    unmoved_.erase(step.path);
    return true;
  }

  [[nodiscard]] bool has_unmoved_below(const std::string& path) const {
    const auto at = unmoved_.lower_bound(path + "/");
    return at != unmoved_.end() && at->starts_with(path + "/");
  }

  /// A directory that holds theirs' names and no other has theirs' time.
  Result<bool> set_times(const StagedStep& step, const DirFd& dir, Name name) {
    DirFd target = TRY(sys::open_dir(dir, name));
    const sys::Stat stat = TRY(sys::stat(target));
    std::vector<std::string> names;
    const Listing listing = TRY(Listing::read(target));
    for (const Listed& listed : listing.entries()) names.emplace_back(listed.name.view());
    if (digest_of_names(std::move(names)) == step.sha256) TRY(sys::set_times(target, stat.atime, step.mine.mtime));
    return true;
  }

  /// systemd-update-done(8) writes these two; units with ConditionNeedsUpdate= run while /usr is newer than they.
  Result<bool> renew(const DirFd& parent, Name name) const {
    const DirFd target = TRY(sys::open_dir(parent, name));
    const sys::Stat stat = TRY(sys::stat(target));
    sys::Time time = stat.mtime;
    for (const std::string_view directory : {"etc", "var"}) {
      const auto dir = sys::open_dirs(root_, directory);
      if (!dir) continue;
      const auto updated = TRY(sys::stat_if_there(*dir, ".updated"));
      if (!updated || time > updated->mtime) continue;
      time = std::max(sys::inode_clock(), sys::Time{updated->mtime.seconds + 1, 0});
    }
    if (time != stat.mtime) TRY(sys::set_times(target, stat.atime, time));
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
    if (same && step.proof != Proof::inode && step.mine.type == sys::FileType::regular)
      same = TRY(has_stayed(step, slot));
    if (same && step.mine.type == sys::FileType::directory) same = TRY(is_untouched_below(step, slot));
    if (!same) give_back(step);
    return same;
  }

  /// The bytes and attributes of what came out are still those that it was replaced for.
  Result<bool> has_stayed(const StagedStep& step, Name slot) {
    const DirFd& dir = *TRY(directory_of(step.path));
    const Fd file = TRY(sys::open_file(slots_, slot));
    return TRY(has_the_bytes(step, file, dir, last_name(step.path))) && may_be(step, TRY(sys::xattrs(file)));
  }

  /// Whether what stands there was not changed since, and is not open for writing.
  static Result<bool> is_untouched_since(sys::Time since, const sys::Stat& stat, const DirFd& dir, Name name) {
    const bool has_further_names = stat.type == sys::FileType::regular && stat.nlink > 1;
    if ((has_further_names ? stat.mtime : stat.ctime) >= since) return false;
    if (stat.type != sys::FileType::regular) return true;
    auto lease = sys::take_read_lease(TRY(sys::open_file(dir, name)));
    if (!lease && lease.error().code == EINVAL) return true;  // this file system has no leases
    return lease;
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
        // Nor does a directory's say anything from which something was moved first.
        const bool emptied = step.after_moves && stat.type == sys::FileType::directory;
        if (!emptied && !TRY(is_untouched_since(step.since, stat, directory->top(), entry.name))) untouched = false;
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
    else if (step.kind == Step::Kind::put_new)
      back = take_back(step, **dir, name, slot);
    else
      back = exchange_back(step, **dir, name, slot);
    if (back || step.kind == Step::Kind::put_new) {
      if (!back && !is_tenants_doing(back.error()) && !out_.error) out_.error = back.error();
      return;
    }
    const std::string kept = request_.name + "." + step.slot;
    const auto quarantined = sys::rename_new(slots_, slot, request_.quarantine, *Name::check(kept));
    out_.error = quarantined ? fail("relink", step.path,
                                    "written to while it was replaced; what was written is " +
                                        sys::path_of(request_.quarantine) + "/" + kept)
                                   .error()
                             : quarantined.error();
  }

  /// What was put where nothing was, unless the tenant has it no more.
  Result<> take_back(const StagedStep& step, const DirFd& dir, Name name, Name slot) {
    const auto stat = TRY(sys::stat_if_there(dir, name));
    if (!stat || stat->inode != step.slot_inode) return {};
    TRY(lift(step.slot_sealed, dir, name, step.slot_inode));
    auto renamed = sys::rename_new(dir, name, slots_, slot);
    TRY(restore(step.slot_sealed, renamed ? slots_ : dir, renamed ? slot : name, step.slot_inode));
    return renamed;
  }

  Result<bool> stayed_the_same(const Watched& watched, Name slot) {
    const StagedStep& step = watched.step;
    if (step.kind == Step::Kind::put_new) return true;
    if (!TRY(is_what_was_meant(step, slot))) return false;
    if (!watched.guard.lease.open() && step.mine.type != sys::FileType::directory)
      return step.proof == Proof::inode || step.mine.type != sys::FileType::regular || TRY(has_stayed(step, slot));
    if (step.mine.type == sys::FileType::directory) return is_untouched_below(step, slot);
    return TRY(sys::holds_read_lease(watched.guard.lease))
    &&TRY(sys::xattrs(watched.guard.lease))
    == watched.guard.xattrs;
  }

  /// Whoever wanted to write to an exchanged inode has been waiting since: he gets it back where it was, and the step
  /// is one to try again. The same if its metadata were changed, which no lease is asked about.
  void settle_watched() {
    for (Bundle& bundle : std::exchange(bundles_, {})) settle_bundle(bundle);
    for (Watched& watched : watched_) {
      const Name slot = *Name::check(watched.step.slot);
      const auto same = stayed_the_same(watched, slot);
      if (same && *same) {
        drop(watched);
        continue;
      }
      give_back(watched.step);
      if (!same && !is_tenants_doing(same.error()) && !out_.error) out_.error = same.error();
      again_.push_back(std::move(watched.step));
    }
    watched_.clear();
  }

  /// What came out goes at once, while it is in the caches: no file system's journal can lose the exchange and keep
  /// this. What refuses is left to the removal of the staging, which tells. What was removed stays: an empty slot would
  /// say, after a crash, that it is still to be.
  void drop(const Watched& watched) {
    const Name slot = *Name::check(watched.step.slot);
    // Of an inode with further names the next would be proved by a ctime that this had moved.
    const bool goes = watched.step.kind == Step::Kind::put_over && !watched.step.mine.further_names;
    if (goes && watched.guard.lease.open()) (void)sys::unlink(slots_, slot);
  }

  // --- bundles: all of one, or nothing of it

  void carry_out_bundle() {
    Bundle bundle;
    bundle.steps = std::exchange(bundle_steps_, {});
    auto settled = was_settled(bundle);
    bool whole = settled && !out_.error;
    if (!settled && !out_.error) out_.error = std::move(settled).error();
    bundle.is_settled = whole && *settled;
    under_way_ = &bundle;
    for (const StagedStep& step : bundle.steps) {
      if (step.is_of_directory()) continue;
      StagedStep trial = step;
      whole = whole && !step.in_use && (attempt(trial) || bundle.is_settled);
      if (!whole) watch_if_done(trial);
    }
    under_way_ = nullptr;
    if (whole && !bundle.is_settled) {
      const auto untouched = is_bundle_untouched(bundle);
      whole = untouched && *untouched;
      if (!untouched && !is_tenants_doing(untouched.error()) && !out_.error) out_.error = untouched.error();
    }
    const bool of_accounts = is_of_accounts(bundle);
    if (whole)
      bundles_.push_back(std::move(bundle));
    else
      give_back(bundle);
    // Nothing comes that may have to go back for them.
    if (of_accounts && whole) {
      request_.grace.wait();
      settle_watched();
    }
  }

  /// A step that ended with an error may have exchanged names before, and one that is not reached may have been done
  /// before a crash: then it goes back with the others.
  void watch_if_done(StagedStep& step) {
    const auto in_slot = sys::stat_if_there(slots_, *Name::check(step.slot));
    const bool moves =
        step.kind == Step::Kind::put_over || step.kind == Step::Kind::put_new || step.kind == Step::Kind::remove;
    const auto is_watched = [&](const Watched& watched) { return watched.step.slot == step.slot; };
    if (in_slot && moves && is_done(step, *in_slot) && std::ranges::none_of(under_way_->watched, is_watched))
      under_way_->watched.push_back({step, {}});
  }

  static bool is_of_accounts(const Bundle& bundle) { return bundle.steps.front().bundle == kAccounts; }

  /// After a crash: what was replaced is dropped only when all of its bundle has been found untouched.
  Result<bool> was_settled(const Bundle& bundle) {
    if (!request_.after_crash) return false;
    for (const StagedStep& step : bundle.steps) {
      if (step.kind != Step::Kind::put_over) continue;
      if (TRY(sys::stat_if_there(slots_, *Name::check(step.slot)))) continue;
      if (!step.links_when_carried_out()) return true;
      const DirFd& dir = *TRY(directory_of(step.path));
      const auto there = TRY(sys::stat_if_there(dir, last_name(step.path)));
      if (there && there->inode == step.slot_inode) return true;
    }
    return false;
  }

  /// Whether nothing in the bundle, but for what was put there, was changed or made since it was planned for. What was
  /// replaced or removed is looked at in its slot.
  Result<bool> is_bundle_untouched(const Bundle& bundle) {
    std::set<std::uint64_t> ours;
    std::set<std::string, std::less<>> changed;  // directories: their ctime is ours
    for (const StagedStep& step : bundle.steps) changed.emplace(parent_path(step.path));
    for (const Watched& watched : bundle.watched) ours.insert(watched.step.slot_inode);
    const StagedStep& first = bundle.steps.front();
    auto root = sys::open_dirs(root_, first.bundle);
    if (!root && (root.error().code == ENOENT || root.error().code == ENOTDIR)) return true;  // all of it has gone
    const DirFd top = TRY(std::move(root));
    std::atomic<bool> untouched{true};
    const Visitor visitor = [&](Walk& walk, const std::shared_ptr<const WalkDirectory>& directory,
                                std::shared_ptr<void>) -> Result<> {
      for (const WalkEntry& entry : directory->entries) {
        const sys::Stat stat = TRY(sys::stat(directory->top(), entry.name));
        if (ours.contains(stat.inode) || stat.immutable) continue;  // what came has nothing older below it
        const std::string path = joined_path(first.bundle, directory->path_to(entry.name));
        const bool is_ours = stat.type == sys::FileType::directory && changed.contains(path);
        if (!is_ours && !TRY(is_untouched_since(first.since, stat, directory->top(), entry.name))) untouched = false;
        if (stat.type == sys::FileType::directory) walk.descend(directory, entry, nullptr);
      }
      return {};
    };
    const auto mounts = TRY(Walk::run({&top}, Mounts::stop_in_tenants_tree, nullptr, visitor));
    return untouched && mounts.empty();
  }

  void settle_bundle(Bundle& bundle) {
    bool same = true;
    for (const Watched& watched : bundle.watched) {
      const auto stayed = stayed_the_same(watched, *Name::check(watched.step.slot));
      if (!stayed && !is_tenants_doing(stayed.error()) && !out_.error) out_.error = stayed.error();
      same = same && (bundle.is_settled || (stayed && *stayed));
    }
    if (!same) return give_back(bundle);
    for (const Watched& watched : bundle.watched) drop(watched);
    for (StagedStep& step : bundle.steps)
      if (step.is_of_directory()) directories_.push_back(std::move(step));
  }

  void give_back(const Bundle& bundle) {
    for (const Watched& watched : std::views::reverse(bundle.watched)) {
      give_back(watched.step);
      if (chain_) chain_->forget();
    }
    for (const StagedStep& step : bundle.steps) leave(step);
    if (!is_of_accounts(bundle)) return;
    out_.untouched = true;
    if (!out_.error)
      out_.error = fail("relink", "/" + bundle.steps.front().path,
                        "in use, or changed meanwhile; without its users and groups nothing of the update is carried "
                        "out: relink again")
                       .error();
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
  std::vector<StagedStep> bundle_steps_;           // of the bundle that is being read
  Bundle* under_way_ = nullptr;                    // the bundle at work; nullptr: none
  std::vector<Bundle> bundles_;                    // whole, until the grace is over
  std::set<std::string, std::less<>> unmoved_;     // entries whose move failed
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
