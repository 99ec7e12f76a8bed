#include "engine/txn/staging.h"

#include "engine/txn/move_once.h"

namespace vskel {

Result<> staging_to_trash(const Store& store, const Intent& intent) {
  const std::string trash = intent.id() + ".staging";
  return move_once(store.staging(), *Name::check(intent.id()), store.trash(), *Name::check(trash));
}

}  // namespace vskel
