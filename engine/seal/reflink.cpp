#include "engine/seal/reflink.h"

namespace vskel {

Result<> require_reflinks(const DirFd& scratch) {
  const std::string prefix = ".reflink-probe." + std::to_string(sys::own_pid());
  const std::string source_name = prefix + ".source", target_name = prefix + ".target";
  const Name source = *Name::check(source_name), target = *Name::check(target_name);
  const auto try_out = [&]() -> Result<> {
    const Fd from = TRY(sys::create_file(scratch, source, 0600));
    TRY(sys::write_all(from, "probe"));
    const Fd to = TRY(sys::create_file(scratch, target, 0600));
    return sys::clone(from, to);
  };
  const auto cloned = try_out();
  TRY(sys::unlink_if_there(scratch, source));
  TRY(sys::unlink_if_there(scratch, target));
  if (cloned) return {};
  const std::string type = TRY(sys::file_system(scratch)).type;
  return fail("share by reflink", sys::path_of(scratch), "files of this file system (" + type + ") can't be cloned: " + cloned.error().line() + "; use --share hardlink or copy");
}

}  // namespace vskel
