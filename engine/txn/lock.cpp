#include "engine/txn/lock.h"

#include <cerrno>

namespace vskel {

namespace {

/// Who holds a lock is read by people only, so a disk without room for it stops nobody: remove-vs must run there.
void write_holder(const Fd& file) {
  const std::string holder = std::to_string(sys::own_pid()) + " " + ::program_invocation_short_name + "\n";
  if (sys::write_at(file, std::as_bytes(std::span(holder)), 0)) (void)sys::truncate(file, holder.size());
}

/// May be empty or the one before, if the holder has just come.
std::string read_holder(const Fd& file) {
  const auto text = sys::read_whole(file, 4096);
  const std::string holder = text ? text->substr(0, text->find('\n')) : std::string();
  return holder.empty() ? "another process" : "process " + holder;
}

Result<Fd> open_lock(const Store& store, const std::string& name) {
  const auto component = Name::check(name);
  if (!component) return fail("lock", name, "not a lock's name");
  return sys::open_or_create(store.locks(), *component, 0600);
}

}  // namespace

Result<Lock> Lock::take(const Store& store, const std::string& name, sys::Wait wait) {
  Fd file = TRY(open_lock(store, name));
  if (!TRY(sys::lock_exclusive(file, wait))) return fail("lock", name, "held by " + read_holder(file));
  write_holder(file);
  return Lock(std::move(file));
}

Result<std::optional<Lock>> Lock::take_if_free(const Store& store, const std::string& name) {
  Fd file = TRY(open_lock(store, name));
  if (!TRY(sys::lock_exclusive(file, sys::Wait::no))) return std::nullopt;
  write_holder(file);
  return Lock(std::move(file));
}

}  // namespace vskel
