#include "engine/seal/seal.h"

#include <algorithm>
#include <cerrno>

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

/// Whether an error says that there is no such seal here: a file system, a kernel or a container that has none.
/// Anything else (no descriptor, no memory, no space) says nothing of the seal, and must not leave files in the open.
bool says_no_seal(const Error& error) {
  return error.code == EOPNOTSUPP || error.code == ENOTTY || error.code == ENOSYS || error.code == EINVAL ||
         error.code == EPERM;
}

}  // namespace

bool is_linkable(const sys::Stat& stat, const std::vector<sys::Xattr>& xattrs) {
  return stat.type == sys::FileType::regular && stat.size > 0 && (stat.mode & kSpecialBits) == 0 &&
         std::ranges::all_of(xattrs, harmless);
}

Result<std::optional<SealKind>> choose_seal(const DirFd& scratch, std::optional<SealKind> asked) {
  if (asked == SealKind::none) return SealKind::none;
  if (asked == SealKind::guard) return fail("seal", "guard", "the guard is not loaded");
  if (asked) {
    auto tried = try_out(scratch, *asked);
    if (tried) return *asked;
    Error error = std::move(tried).error();
    error.operation = asked == SealKind::iunlink ? "set iunlink seal" : "set immutable seal";
    return std::unexpected(std::move(error));
  }
  for (const SealKind seal : {SealKind::iunlink, SealKind::immutable}) {
    auto tried = try_out(scratch, seal);
    if (tried) return seal;
    if (!says_no_seal(tried.error())) return std::unexpected(std::move(tried).error());
  }
  return std::nullopt;
}

Result<> set_seal(const DirFd& dir, Name name, SealKind seal) {
  const std::uint32_t flags = flags_of(seal);
  return flags == 0 ? Result<>{} : sys::change_flags(dir, name, flags, 0);
}

Result<> clear_seal(const DirFd& dir, Name name, SealKind seal) {
  const std::uint32_t flags = flags_of(seal);
  return flags == 0 ? Result<>{} : sys::change_flags(dir, name, 0, flags);
}

Result<> LiftedSeals::lift(const DirFd& dir, Name name, std::uint64_t inode) {
  TRY(lift(dir, name, inode, Unsealed::as_sealed));
  return {};
}

Result<bool> LiftedSeals::lift_if_sealed(const DirFd& dir, Name name, std::uint64_t inode) {
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
  const bool sealed = attributes ? attributes->immutable() : TRY(sys::stat(dir, name))
  .immutable;
  if (!sealed && unsealed == Unsealed::nothing_to_do) return false;
  if (sealed && attributes) {
    sys::FileAttributes open = *attributes;
    open.xflags &= ~sys::FileAttributes::kXflagImmutable;
    if (!TRY(sys::set_file_attributes(dir, name, open))) attributes.reset();
  }
  if (sealed && !attributes) TRY(clear_seal(dir, name, seal_));
  if (attributes) attributes->xflags |= sys::FileAttributes::kXflagImmutable;
  stripe.lifted.emplace(inode, Lifted{1, attributes});
  return true;
}

Result<> LiftedSeals::restore(const DirFd& dir, Name name, std::uint64_t inode) {
  if (!must_lift(seal_)) return set_seal(dir, name, seal_);
  Stripe& stripe = stripe_of(inode);
  const std::scoped_lock lock(stripe.mutex);
  const auto found = stripe.lifted.find(inode);
  std::optional<sys::FileAttributes> sealed;
  if (found != stripe.lifted.end()) {
    if (--found->second.users > 0) return {};
    sealed = found->second.sealed;
    stripe.lifted.erase(found);
  }
  if (sealed && TRY(sys::set_file_attributes(dir, name, *sealed))) return {};
  return set_seal(dir, name, seal_);
}

void LiftedSeals::leave(std::uint64_t inode) {
  Stripe& stripe = stripe_of(inode);
  const std::scoped_lock lock(stripe.mutex);
  const auto found = stripe.lifted.find(inode);
  if (found != stripe.lifted.end() && --found->second.users == 0) stripe.lifted.erase(found);
}

}  // namespace vskel
