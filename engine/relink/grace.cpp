#include "engine/relink/grace.h"

#include <chrono>
#include <thread>

namespace vskel {

void Grace::wait() const {
  if (state_ == Tenants::are_still || tenants_.empty()) return;
  const auto inhabitants = find_inhabitants(vservers_, tenants_);
  // Where it can't be known, somebody is taken to run.
  if (inhabitants && inhabitants->empty()) return;
  std::this_thread::sleep_for(std::chrono::seconds(1));
}

}  // namespace vskel
