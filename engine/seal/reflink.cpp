#include "engine/seal/reflink.h"

#include <system_error>

namespace vskel {

Result<> require_reflinks(const DirFd& scratch) {
  const Fd source = TRY(sys::create_unnamed_file(scratch, 0600));
  TRY(sys::write_all(source, "probe"));
  const Fd target = TRY(sys::create_unnamed_file(scratch, 0600));
  const auto cloned = sys::clone(source, target);
  if (cloned) return {};
  const std::string type = TRY(sys::file_system(scratch)).type;
  return fail("share by reflink", sys::path_of(scratch),
              "this file system (" + type + ") can't clone files: " +
                  std::generic_category().message(cloned.error().code) + "; use --share hardlink or copy");
}

}  // namespace vskel
