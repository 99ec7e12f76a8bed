#include "engine/sys/call.h"

#include "engine/sys/kernel.h"

namespace vskel::sys {

namespace detail {

std::atomic<Seam*> seam{nullptr};

std::unexpected<Error> failed(const char* operation, const Fd& dir, const char* name, int code) {
  std::string path = path_of(dir);
  if (*name != '\0') path.append(path.ends_with('/') || path.empty() ? "" : "/").append(name);
  return fail(operation, std::move(path), code);
}

}  // namespace detail

Result<> pass_seam(const char* operation, const char* path, const char* call, bool changes) {
  const int wanted = intercepted(call, changes, -1, "");
  if (wanted > Seam::kRun) return fail(operation, path, wanted);
  return {};
}

void install_seam(Seam* installed) { detail::seam.store(installed, std::memory_order_release); }

}  // namespace vskel::sys
