#include "engine/seal/seal.h"

#include <algorithm>
#include <cerrno>

#include "engine/seal/guard/guard.h"

namespace vskel {

namespace {

constexpr std::uint32_t kSpecialBits = 07000;

/// Both bits or neither: one alone is writable and undeletable (safety.md).
std::uint32_t flags_of(SealKind seal) {
  if (seal == SealKind::immutable) return sys::kImmutableFlag;
  if (seal == SealKind::iunlink) return sys::kImmutableFlag | sys::kIxunlinkFlag;
  return 0;
}

bool harmless(const sys::Xattr& xattr) { return xattr.name.starts_with("user.") || xattr.name == "security.selinux"; }

/// Does a file in `scratch` take this seal? The answer of the kernel is tried out, not guessed from versions; the file
/// has no name, so that a kill leaves nothing behind.
Result<> try_out(const DirFd& scratch, SealKind seal) {
  const Fd file = TRY(sys::create_unnamed_file(scratch, 0600));
  const std::uint32_t before = TRY(sys::flags(file));
  TRY(sys::set_flags(file, before | flags_of(seal)));
  return sys::set_flags(file, before);
}

constexpr const char* kNotLoaded = "the guard is not loaded; vskel guard start";

/// Does the guard hold a file in `scratch`? btrfs is refused by name: its inodes have another device number in the
/// kernel than outside, so that a key would be nobody's, or somebody else's.
Result<> try_out_guard(const DirFd& scratch) {
  const Guard* const guard = TRY(Guard::loaded());
  if (guard == nullptr) return fail("seal", "guard", std::string(kNotLoaded));
  const sys::FileSystem file_system = TRY(sys::file_system(scratch));
  if (file_system.type == "btrfs")
    return fail("seal", sys::path_of(scratch),
                std::string("the guard can't tell inodes of btrfs subvolumes apart; use --share reflink"));
  const Fd file = TRY(sys::create_unnamed_file(scratch, 0600));
  auto inode = sys::identity(file);
  if (!inode && inode.error().code != EOPNOTSUPP) return std::unexpected(std::move(inode).error());
  if (!inode)
    return fail("seal", sys::path_of(scratch),
                "the guard can't tell inodes of this file system (" + file_system.type + ") apart");
  TRY(guard->add(*inode));
  const auto changed = sys::set_mode(file, 0600);
  TRY(guard->remove(*inode));
  if (!changed && changed.error().code == EPERM) return {};
  return fail("seal", sys::path_of(scratch),
              "the guard does not hold files of this file system (" + file_system.type + ")");
}

/// Puts an inode under the guard, and takes off the immutable flag, with which nobody could link or remove it. Nothing
/// is done if the name is not that of `wanted` (0: whichever it is) any more: a tenant who runs may put what he likes
/// there, and what comes next, on the name, finds that out.
Result<> guard_file(const DirFd& dir, Name name, std::uint64_t wanted) {
  const Guard* const guard = TRY(Guard::loaded());
  if (guard == nullptr) return fail("seal", "guard", std::string(kNotLoaded));
  const auto inode = sys::identity(dir, name);
  const bool gone = !inode && (inode.error().code == ENOENT || inode.error().code == EOPNOTSUPP);
  if (wanted != 0 && (gone || (inode && inode->inode != wanted))) return {};
  if (!inode) return std::unexpected(inode.error());
  if (!inode->immutable) return guard->add(*inode);
  TRY(guard->add_with_flags_open(*inode));
  auto cleared = sys::change_flags(dir, name, 0, sys::kImmutableFlag);
  TRY(guard->add(*inode));
  return cleared;
}

/// Of a file system whose inodes can't be told apart the guard holds none.
Result<bool> holds(const Guard& guard, Result<sys::Identity> inode) {
  if (!inode && inode.error().code == EOPNOTSUPP) return false;
  return guard.holds(TRY(std::move(inode)));
}

Result<> unguard_file(const DirFd& dir, Name name) {
  const Guard* const guard = TRY(Guard::loaded());
  if (guard == nullptr || !TRY(holds(*guard, sys::identity(dir, name)))) return {};
  return guard->remove(TRY(sys::identity(dir, name)));
}

/// Flags on a file that the guard holds: it goes from one seal to the other without a moment between them.
Result<> set_flags_under_guard(const Guard& guard, const DirFd& dir, Name name, std::uint32_t flags) {
  const sys::Identity inode = TRY(sys::identity(dir, name));
  TRY(guard.add_with_flags_open(inode));
  auto set = sys::change_flags(dir, name, flags, 0);
  TRY(set ? guard.remove(inode) : guard.add(inode));
  return set;
}

/// As sys::set_flags() calls itself in its errors.
constexpr std::string_view kSetFlags = "set flags";

/// Whether an error says that there is no such seal here: a file system, a kernel or a container that has none.
/// Anything else (no descriptor, no memory, no space) says nothing of the seal, and must not leave files in the open;
/// nor does EPERM but of the call that sets the flag, which needs CAP_LINUX_IMMUTABLE.
bool says_no_seal(const Error& error) {
  return error.code == EOPNOTSUPP || error.code == ENOTTY || error.code == ENOSYS || error.code == EINVAL ||
         (error.code == EPERM && error.operation == kSetFlags);
}

}  // namespace

bool is_linkable(const sys::Stat& stat, const std::vector<sys::Xattr>& xattrs) {
  return stat.type == sys::FileType::regular && stat.size > 0 && (stat.mode & kSpecialBits) == 0 &&
         std::ranges::all_of(xattrs, harmless);
}

Result<std::optional<SealKind>> choose_seal(const DirFd& scratch, std::optional<SealKind> asked) {
  if (asked == SealKind::none) return SealKind::none;
  if (asked == SealKind::guard) {
    TRY(try_out_guard(scratch));
    return SealKind::guard;
  }
  if (asked) {
    auto tried = try_out(scratch, *asked);
    if (tried) return *asked;
    Error error = std::move(tried).error();
    error.operation = asked == SealKind::iunlink ? "set iunlink seal" : "set immutable seal";
    return std::unexpected(std::move(error));
  }
  for (const SealKind seal : {SealKind::iunlink, SealKind::guard, SealKind::immutable}) {
    auto tried = seal == SealKind::guard ? try_out_guard(scratch) : try_out(scratch, seal);
    if (tried) return seal;
    // Of a guard that is not there, or not for this file system, no errno is told.
    const bool no_guard = seal == SealKind::guard && tried.error().code == 0;
    if (!no_guard && !says_no_seal(tried.error())) return std::unexpected(std::move(tried).error());
  }
  return std::nullopt;
}

Result<bool> is_sealed(const DirFd& dir, Name name, const sys::Stat& stat) {
  if (stat.immutable) return true;
  const Guard* const guard = TRY(Guard::loaded());
  if (guard == nullptr || stat.type != sys::FileType::regular) return false;
  return holds(*guard, sys::identity(dir, name));
}

Result<bool> is_sealed(const Fd& file, const sys::Stat& stat) {
  if (stat.immutable) return true;
  const Guard* const guard = TRY(Guard::loaded());
  if (guard == nullptr || stat.type != sys::FileType::regular) return false;
  return holds(*guard, sys::identity(file));
}

Result<> set_seal(const DirFd& dir, Name name, SealKind seal) {
  if (seal == SealKind::guard) return guard_file(dir, name, 0);
  const std::uint32_t flags = flags_of(seal);
  if (flags == 0) return {};
  auto set = sys::change_flags(dir, name, flags, 0);
  if (set || set.error().code != EPERM) return set;
  const Guard* const guard = TRY(Guard::loaded());
  if (guard == nullptr || !TRY(holds(*guard, sys::identity(dir, name)))) return set;
  return set_flags_under_guard(*guard, dir, name, flags);
}

Result<> clear_seal(const DirFd& dir, Name name, SealKind seal) {
  if (seal == SealKind::guard) return unguard_file(dir, name);
  const std::uint32_t flags = flags_of(seal);
  return flags == 0 ? Result<>{} : sys::change_flags(dir, name, 0, flags);
}

Result<> clear_any_seal(const DirFd& dir, Name name, const sys::Stat& stat) {
  if (stat.immutable) TRY(clear_seal(dir, name, SealKind::immutable));
  return clear_seal(dir, name, SealKind::guard);
}

Result<> LiftedSeals::lift(const DirFd& dir, Name name, std::uint64_t inode) {
  if (seal_ == SealKind::guard) return guard_file(dir, name, inode);
  TRY(lift(dir, name, inode, Unsealed::as_sealed));
  return {};
}

Result<bool> LiftedSeals::lift_if_sealed(const DirFd& dir, Name name, std::uint64_t inode) {
  if (seal_ == SealKind::guard) {
    const Guard* const guard = TRY(Guard::loaded());
    if (guard == nullptr) return fail("seal", "guard", std::string(kNotLoaded));
    const sys::Identity found = TRY(sys::identity(dir, name));
    if (!found.immutable) return guard->holds(found);
    TRY(guard_file(dir, name, inode));
    return true;
  }
  return lift(dir, name, inode, Unsealed::nothing_to_do);
}

Result<bool> LiftedSeals::lift(const DirFd& dir, Name name, std::uint64_t inode, Unsealed unsealed) {
  if (!must_lift(seal_)) return false;
  Stripe& stripe = stripe_of(inode);
  const std::scoped_lock lock(stripe.mutex);
  if (const auto found = stripe.lifted.find(inode); found != stripe.lifted.end()) {
    ++found->second.users;
    return true;
  }
  auto attributes = TRY(sys::file_attributes(dir, name));
  auto opened = attributes && attributes->immutable() ? TRY(open_to_watch(dir, name)) : std::nullopt;
  const sys::Stat stat = TRY(opened ? sys::stat(*opened) : sys::stat(dir, name));
  const bool sealed = attributes ? attributes->immutable() : stat.immutable;
  if (!sealed && unsealed == Unsealed::nothing_to_do) return false;
  const bool keeps = sealed && stat.inode == inode;
  if (keeps && !attributes) opened = TRY(open_to_watch(dir, name));
  LedgerWatch watch;
  if (keeps && opened) watch = TRY(LedgerWatch::begin(std::move(*opened), LedgerWatch::Older::told));
  if (sealed && attributes) {
    sys::FileAttributes open = *attributes;
    open.xflags &= ~sys::FileAttributes::kXflagImmutable;
    if (!TRY(sys::set_file_attributes(dir, name, open))) attributes.reset();
  }
  if (sealed && !attributes) TRY(clear_seal(dir, name, seal_));
  Lifted lifted{.users = 1, .sealed = attributes.value_or(sys::FileAttributes()), .before = std::nullopt};
  if (attributes) lifted.sealed.xflags |= sys::FileAttributes::kXflagImmutable;
  if (keeps) lifted.before = Kept{LedgerEntry(stat), std::move(watch)};
  if (lifted.is_watched()) ++watched_;
  stripe.lifted.emplace(inode, std::move(lifted));
  return true;
}

Result<std::optional<Fd>> LiftedSeals::open_to_watch(const DirFd& dir, Name name) const {
  if (watched_ >= most_watched_) return std::nullopt;
  auto file = sys::open_trusted_file(dir, name);
  if (!file && (file.error().code == EMFILE || file.error().code == ENFILE)) return std::nullopt;
  return TRY(std::move(file));
}

Result<> LiftedSeals::restore(const DirFd& dir, Name name, std::uint64_t inode) {
  if (seal_ == SealKind::guard) return {};  // since before the work
  if (!must_lift(seal_)) return set_seal(dir, name, seal_);
  Stripe& stripe = stripe_of(inode);
  const std::scoped_lock lock(stripe.mutex);
  Lifted last;
  if (const auto found = stripe.lifted.find(inode); found != stripe.lifted.end()) {
    if (--found->second.users > 0) return {};
    last = std::move(found->second);
    stripe.lifted.erase(found);
    if (last.is_watched()) --watched_;
  }
  const bool set = last.sealed.immutable() && TRY(sys::set_file_attributes(dir, name, last.sealed));
  if (!set) TRY(set_seal(dir, name, seal_));
  return last.before ? check(dir, name, inode, *last.before) : Result<>();
}

Result<> LiftedSeals::check(const DirFd& dir, Name name, std::uint64_t inode, const Kept& before) {
  const bool watched = before.watch.file().open();
  auto same = before.watch.check(dir, name);
  const sys::Stat now = TRY(watched ? sys::stat(before.watch.file()) : sys::stat(dir, name));
  if (now.inode != inode) return same;
  if (!watched) same = prove_closed(dir, name, TRY(sys::open_trusted_file(dir, name)));
  if (same) same = before.entry.check(dir, name, now);
  if (same || TRY(sys::stat(dir, name)).inode != inode) return same;
  TRY(clear_seal(dir, name, seal_));
  auto put_back = before.entry.put_back(dir, name);
  if (put_back) put_back = before.watch.put_back();
  TRY(set_seal(dir, name, seal_));
  TRY(std::move(put_back));
  return same;
}

void LiftedSeals::leave(std::uint64_t inode) {
  Stripe& stripe = stripe_of(inode);
  const std::scoped_lock lock(stripe.mutex);
  const auto found = stripe.lifted.find(inode);
  if (found == stripe.lifted.end() || --found->second.users > 0) return;
  if (found->second.is_watched()) --watched_;
  stripe.lifted.erase(found);
}

}  // namespace vskel
