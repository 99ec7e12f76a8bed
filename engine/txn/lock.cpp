#include "engine/txn/lock.h"

namespace vskel {

Result<Lock> Lock::take(const Store& store, const std::string& name, sys::Wait wait) {
  const auto component = Name::check(name);
  if (!component) return fail("lock", name, "not a lock's name");
  Fd file = TRY(sys::open_or_create(store.locks(), *component, 0600));
  if (!TRY(sys::lock_exclusive(file, wait))) {
    auto holder = sys::read_whole(file, 4096);
    std::string who = holder && !holder->empty() ? *holder : "another process";
    while (who.ends_with('\n')) who.pop_back();
    return fail("lock", name, "held by " + who);
  }
  TRY(sys::truncate(file, 0));
  const std::string who = "process " + std::to_string(sys::own_pid()) + "\n";
  TRY(sys::write_at(file, std::as_bytes(std::span(who)), 0));
  return Lock(std::move(file));
}

}  // namespace vskel
