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
  for (const SealKind seal : {SealKind::iunlink, SealKind::immutable})
    if (try_out(scratch, seal)) return seal;
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
  if (!must_lift(seal_)) return {};
  Stripe& stripe = stripe_of(inode);
  const std::scoped_lock lock(stripe.mutex);
  unsigned& users = stripe.users[inode];
  if (users == 0)
    if (auto cleared = clear_seal(dir, name, seal_); !cleared) {
      stripe.users.erase(inode);
      return cleared;
    }
  ++users;
  return {};
}

Result<bool> LiftedSeals::lift_if_sealed(const DirFd& dir, Name name, std::uint64_t inode) {
  if (!must_lift(seal_)) return false;
  Stripe& stripe = stripe_of(inode);
  const std::scoped_lock lock(stripe.mutex);
  const auto users = stripe.users.find(inode);
  if (users != stripe.users.end()) {
    ++users->second;
    return true;
  }
  if (!TRY(sys::stat(dir, name)).immutable) return false;
  TRY(clear_seal(dir, name, seal_));
  stripe.users.emplace(inode, 1);
  return true;
}

Result<> LiftedSeals::restore(const DirFd& dir, Name name, std::uint64_t inode) {
  if (!must_lift(seal_)) return set_seal(dir, name, seal_);
  Stripe& stripe = stripe_of(inode);
  const std::scoped_lock lock(stripe.mutex);
  const auto users = stripe.users.find(inode);
  if (users != stripe.users.end() && --users->second > 0) return {};
  if (users != stripe.users.end()) stripe.users.erase(users);
  return set_seal(dir, name, seal_);
}

void LiftedSeals::leave(std::uint64_t inode) {
  Stripe& stripe = stripe_of(inode);
  const std::scoped_lock lock(stripe.mutex);
  const auto users = stripe.users.find(inode);
  if (users != stripe.users.end() && --users->second == 0) stripe.users.erase(users);
}

}  // namespace vskel
