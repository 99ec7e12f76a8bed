// A step names the inode that it was planned for. It is carried out only while that inode stands there unchanged, which
// for a tenant's own inode takes a read lease (nobody writes, nobody has it mapped) and the bytes compared under it.
// RENAME_EXCHANGE then works as compare-and-swap: what comes out lands in our slot, is looked at again, and goes back
// if it is not what it was. Leases are held until a grace after the exchange, so that who was on his way to the old
// inode is found waiting, and has it back.

#include "engine/relink/carry_out.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ranges>
#include <set>
#include <utility>

#include "engine/relink/directory_steps.h"
#include "engine/relink/skel_view.h"
#include "engine/relink/slots.h"
#include "engine/relink/step_proof.h"
#include "engine/sys/stopping.h"
#include "engine/tree/directory_chain.h"

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
        root_(request.root),
        slots_(request.slots, request.links),
        proof_(request.links.skel, request.slots, request.after_crash),
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
  struct Watched {
    StagedStep step;
    FileGuard guard;
  };
  using WatchedSteps = std::deque<Watched>;  // to grow, a vector of thousands would for a moment be there twice

  /// All of a bundle that was exchanged, to go back together if somebody was at work there.
  struct Bundle {
    std::vector<StagedStep> steps;
    WatchedSteps watched;
    bool is_settled = false;  ///< before a crash
  };

  /// Those of a bundle were added when it was settled: what goes does so before the directory that it is in. Their times
  /// are set when no name in them moves any more.
  void finish_directories() {
    std::vector<StagedStep> steps = std::exchange(directories_, {});
    enum Turn { removal, metadata, times, renewal };
    const auto turn = [](const StagedStep& step) {
      return step.kind == Step::Kind::renew        ? renewal
             : step.kind == Step::Kind::set_times  ? times
             : step.kind == Step::Kind::remove_dir ? removal
                                                   : metadata;
    };
    std::ranges::stable_sort(steps, [&turn](const StagedStep& a, const StagedStep& b) {
      return turn(a) != turn(b) ? turn(a) < turn(b) : turn(a) == removal && a.path > b.path;
    });
    for (StagedStep& step : steps) {
      // Names have moved, whatever else could not be done.
      if (out_.error && turn(step) >= times)
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
    if (auto asked = sys::may_go_on(); !asked && !out_.error) out_.error = std::move(asked).error();
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
    // A directory has no seal, and whoever runs is not in its way.
    const bool may_go_on = further_ == Further::carry_out || step.kind == Step::Kind::set_metadata;
    // Made now, where it is to be moved at once and then dropped: the file system has all three at hand.
    const bool linked = may_go_on && step.links_when_carried_out() && TRY(link_into_slot(step));
    if (!linked) {
      const auto in_slot = TRY(in_slot_of(step));
      if (is_done(step, in_slot)) {
        const bool stayed = !request_.after_crash || !in_slot || TRY(stayed_as_it_was(step));
        if (stayed && under_way_ != nullptr) watch(step, {});
        return stayed;
      }
      if (!may_go_on) return false;
      // A directory stands for what a tenant took out of the way, see Slots::exchange_back().
      const bool comes = step.kind == Step::Kind::put_over || step.kind == Step::Kind::put_new;
      if (comes && in_slot->inode != step.slot_inode) return false;
    }
    const DirFd* const dir = TRY(directory_of(step.path));
    const Name name = last_name(step.path);
    switch (step.kind) {
      case Step::Kind::put_new:
        return put_new(step, *dir, name);
      case Step::Kind::put_over:
        return put_over(step, *dir, name);
      case Step::Kind::remove:
        return remove(step, *dir, name);
      case Step::Kind::remove_dir:
        TRY(carry_out_removal(*dir, name));
        return true;
      case Step::Kind::set_metadata:
        return carry_out_metadata(step, *dir, name, slots_.dir());
      case Step::Kind::share_extents:
        return share_extents(step, *dir, name);
      case Step::Kind::move:
        return move(step, *dir, name);
      case Step::Kind::set_times:
        TRY(carry_out_times(step, *dir, name));
        return true;
      case Step::Kind::renew:
        TRY(carry_out_renewal(root_, *dir, name));
        return true;
    }
    return false;
  }

  /// False if something is in the slot since before a crash, or another attempt.
  Result<bool> link_into_slot(StagedStep& step) {
    auto linked = links_.link(step.global_path(), slots_.dir(), Slots::of(step));
    if (!linked && linked.error().code == EEXIST) return false;
    step.slot_inode = TRY(std::move(linked));
    return true;
  }

  Result<std::optional<sys::Stat>> in_slot_of(const StagedStep& step) {
    return sys::stat_if_there(slots_.dir(), Slots::of(step));
  }

  Result<const DirFd*> directory_of(std::string_view path) {
    if (!chain_) chain_.emplace(TRY(sys::reopen(root_)));
    return chain_->open(parent_path(path));
  }

  // --- steps

  Result<bool> put_new(StagedStep& step, const DirFd& dir, Name name) {
    TRY(slots_.put(step, dir, name));
    if (under_way_ != nullptr) watch(step, {});
    return true;
  }

  Result<bool> put_over(StagedStep& step, const DirFd& dir, Name name) {
    FileGuard guard;
    const Proven proven = TRY(proof_.prove(step, dir, name, guard));
    if (proven != Proven::yes) return proven == Proven::has_come;
    TRY(slots_.exchange(step, dir, name));
    if (!is_what_was_meant(step)) {
      give_back(step);
      return false;
    }
    watch(step, std::move(guard));
    return true;
  }

  /// If it can't be looked at, it isn't.
  bool is_what_was_meant(const StagedStep& step) {
    const auto meant = proof_.is_what_was_meant(step);
    if (!meant && !is_tenants_doing(meant.error()) && !out_.error) out_.error = meant.error();
    return meant && *meant;
  }

  /// What came out is looked at again after the grace: a file by its lease, a directory by what is below it.
  void watch(StagedStep& step, FileGuard guard) {
    if (under_way_ != nullptr) {
      // Who has no descriptor left for a lease is compared by bytes.
      if (leases() + under_way_->watched.size() >= request_.most_leases) guard = {};
      under_way_->watched.push_back({step, std::move(guard)});
      return;
    }
    if (guard.lease.open() || step.mine.type == sys::FileType::directory)
      watched_.push_back({std::move(step), std::move(guard)});
  }

  Result<bool> remove(StagedStep& step, const DirFd& dir, Name name) {
    FileGuard guard;
    if (TRY(proof_.prove(step, dir, name, guard)) != Proven::yes) return false;
    TRY(slots_.take(step, dir, name));
    if (!is_what_was_meant(step)) {
      give_back(step);
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

  /// The kernel compares and shares in one step: nothing is to be proved before or looked at after.
  Result<bool> share_extents(const StagedStep& step, const DirFd& dir, Name name) {
    const Fd target = TRY(sys::open_file(dir, name));
    if (!is_still(step.mine, TRY(sys::stat(target)))) return false;
    const DirFd source_dir = TRY(SkelView::directory_of(skel_, 0, Part::global_part, step.global_path()));
    const Fd source = TRY(sys::open_trusted_file(source_dir, last_name(step.global_path())));
    for (std::uint64_t at = 0; at < step.mine.size;) {
      const sys::Deduped deduped = TRY(sys::dedupe(source, target, at, std::min(kDedupePiece, step.mine.size - at)));
      if (!deduped.same || deduped.bytes == 0) return false;
      at += deduped.bytes;
    }
    return true;
  }

  /// After a crash: our leases died with us, and who had been waiting wrote to what lies in the slot.
  Result<bool> stayed_as_it_was(const StagedStep& step) {
    bool same = TRY(proof_.is_what_was_meant(step));
    if (same && step.proof != Proof::inode && step.mine.type == sys::FileType::regular)
      same = TRY(proof_.has_stayed(step, *TRY(directory_of(step.path))));
    if (same && step.mine.type == sys::FileType::directory) same = TRY(proof_.is_untouched_below(step));
    if (!same) give_back(step);
    return same;
  }

  /// What came out of a vserver and was written to since goes to its path again, or, if something else is there by now,
  /// where the administrator finds it.
  void give_back(const StagedStep& step) {
    const auto back = undo(step);
    if (back) keep_what_was_written(step);
    if (back || step.kind == Step::Kind::put_new) {
      if (!back && !is_tenants_doing(back.error()) && !out_.error) out_.error = back.error();
      return;
    }
    const auto kept = keep_aside(step);
    const std::string why = "its tenant was at work on it while it was replaced; what he had there is ";
    out_.error = kept ? fail("relink", step.path, why + *kept).error() : kept.error();
  }

  /// What had come and goes again may have been written to by then.
  void keep_what_was_written(const StagedStep& step) {
    if (step.kind == Step::Kind::remove) return;
    const auto as_it_came = proof_.is_as_it_came(step, request_.staged);
    if (as_it_came && *as_it_came) return;
    const auto kept = as_it_came ? keep_copy_aside(step) : std::unexpected(as_it_came.error());
    const std::string why = "its tenant wrote to it before it went back to what it was; what he wrote is ";
    out_.error = kept ? fail("relink", step.path, why + *kept).error() : kept.error();
  }

  /// Where it is. The slot stays full: an empty one would say, after a crash, that the step has been carried out.
  Result<std::string> keep_copy_aside(const StagedStep& step) {
    const std::string text = request_.name + "." + step.slot;
    const auto linked = sys::link(slots_.dir(), Slots::of(step), request_.quarantine, *Name::check(text));
    if (linked || linked.error().code == EEXIST) return sys::path_of(request_.quarantine) + "/" + text;
    if (linked.error().code != EPERM) return std::unexpected(linked.error());  // a directory has one name
    auto kept = TRY(keep_aside(step));
    TRY(sys::make_dir(slots_.dir(), Slots::of(step), 0700));
    return kept;
  }

  /// Where it is. A directory stays in the vserver, see make_slots(); so that none is moved out which was put into the
  /// slot just now, what is moved takes the place of an empty file: rename(2) lets no directory do that.
  Result<std::string> keep_aside(const StagedStep& step) {
    const std::string text = request_.name + "." + step.slot, in_root = ".vskel-kept." + text;
    const Name slot = Slots::of(step), kept = *Name::check(text);
    (void)TRY(sys::create_file(request_.quarantine, kept, 0600));
    const auto moved = sys::rename_over(slots_.dir(), slot, request_.quarantine, kept);
    if (moved) return sys::path_of(request_.quarantine) + "/" + text;
    TRY(sys::unlink(request_.quarantine, kept));
    if (moved.error().code != ENOTDIR) return std::unexpected(moved.error());
    TRY(sys::rename_new(slots_.dir(), slot, root_, *Name::check(in_root)));
    return sys::path_of(root_) + "/" + in_root;
  }

  Result<> undo(const StagedStep& step) {
    const DirFd& dir = *TRY(directory_of(step.path));
    const Name name = last_name(step.path);
    if (step.kind == Step::Kind::remove) return slots_.put_back(step, dir, name);
    if (step.kind == Step::Kind::put_new) return slots_.take_back(step, dir, name);
    return slots_.exchange_back(step, dir, name);
  }

  Result<bool> stayed_the_same(const Watched& watched) {
    const StagedStep& step = watched.step;
    const FileGuard& guard = watched.guard;
    if (step.kind == Step::Kind::put_new) return true;
    if (!TRY(proof_.is_what_was_meant(step))) return false;
    if (step.mine.type == sys::FileType::directory) return proof_.is_untouched_below(step);
    if (guard.lease.open()) {
      const bool held = TRY(sys::holds_read_lease(guard.lease));
      const auto xattrs = TRY(sys::xattrs(guard.lease));
      return held && xattrs == guard.xattrs;
    }
    if (step.proof == Proof::inode || step.mine.type != sys::FileType::regular) return true;
    return proof_.has_stayed(step, *TRY(directory_of(step.path)));
  }

  /// Whoever wanted to write to an exchanged inode has been waiting since: he gets it back where it was, and the step
  /// is one to try again. The same if its metadata were changed, which no lease is asked about.
  void settle_watched() {
    for (Bundle& bundle : std::exchange(bundles_, {})) settle_bundle(bundle);
    for (Watched& watched : watched_) {
      const auto same = stayed_the_same(watched);
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
    // Of an inode with further names the next would be proved by a ctime that this had moved.
    const bool goes = watched.step.kind == Step::Kind::put_over && !watched.step.mine.further_names;
    if (goes && watched.guard.lease.open()) (void)sys::unlink(slots_.dir(), Slots::of(watched.step));
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
      std::vector<std::uint64_t> put_there;
      for (const Watched& watched : bundle.watched) put_there.push_back(watched.step.slot_inode);
      const auto untouched = is_bundle_untouched(root_, bundle.steps, put_there);
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
    const auto in_slot = in_slot_of(step);
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
      if (TRY(in_slot_of(step))) continue;
      if (!step.links_when_carried_out()) return true;
      const DirFd& dir = *TRY(directory_of(step.path));
      const auto there = TRY(sys::stat_if_there(dir, last_name(step.path)));
      if (there && there->inode == step.slot_inode) return true;
    }
    return false;
  }

  void settle_bundle(Bundle& bundle) {
    bool same = true;
    for (const Watched& watched : bundle.watched) {
      const auto stayed = stayed_the_same(watched);
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
  const DirFd& root_;
  Slots slots_;
  const StepProof proof_;
  SkelLinks links_;
  const Further further_;
  std::optional<DirectoryChain> chain_;
  WatchedSteps watched_;
  std::vector<StagedStep> bundle_steps_;        // of the bundle that is being read
  Bundle* under_way_ = nullptr;                 // the bundle at work; nullptr: none
  std::deque<Bundle> bundles_;                  // whole, until the grace is over
  std::set<std::string, std::less<>> unmoved_;  // entries whose move failed
  std::vector<StagedStep> again_;               // not carried out, or taken back: in use, or changed
  std::vector<StagedStep> directories_;         // when what was in them and goes back is back: a removal, and times
  CarriedOut out_;
};

CarryOut::CarryOut(const CarryOutRequest& request) : carrier_(std::make_unique<Carrier>(request)) {}
CarryOut::~CarryOut() = default;
void CarryOut::run(const StepSource& steps) { carrier_->run(steps); }
bool CarryOut::holds_leases() const { return carrier_->holds_leases(); }
void CarryOut::settle() { carrier_->settle(); }
CarriedOut CarryOut::finish() { return carrier_->finish(); }

}  // namespace vskel
