#include "engine/txn/lock.h"

#include "engine/sys/processes.h"

namespace vskel {

namespace {

/// For people only: where it can't be found out they are told so.
std::string holder_of(const Fd& file) {
  const auto holder = sys::lock_holder(file);
  if (!holder || !*holder) return "another process";
  return "process " + std::to_string((*holder)->id.pid) + " " + printable((*holder)->name);
}

Result<Fd> open_lock(const Store& store, const std::string& name) {
  const auto component = Name::check(name);
  if (!component) return fail("lock", name, "not a lock's name");
  return sys::open_or_create(store.locks(), *component, 0600);
}

}  // namespace

Result<Lock> Lock::take(const Store& store, const std::string& name, sys::Wait wait) {
  Fd file = TRY(open_lock(store, name));
  if (!TRY(sys::lock_exclusive(file, wait))) return fail("lock", name, "held by " + holder_of(file));
  return Lock(std::move(file));
}

Result<std::optional<Lock>> Lock::take_if_free(const Store& store, const std::string& name) {
  Fd file = TRY(open_lock(store, name));
  if (!TRY(sys::lock_exclusive(file, sys::Wait::no))) return std::nullopt;
  return Lock(std::move(file));
}

}  // namespace vskel
