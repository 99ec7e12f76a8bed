// mkfs and mount(8) do the work: they know the loop device dance. Flags are chosen for speed of making (no discard, no
// lazy initialisation in the background) and for what the tests need: 256-byte inodes (nanoseconds on ext4), reflinks
// on XFS.
#include "tests/support/file_system.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <ostream>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace vskel::test {
namespace {

constexpr std::uintmax_t kImageSize = 512ULL << 20;  // mkfs.xfs refuses less than 300 MiB

void enter_private_mount_namespace() {
  static bool entered = false;
  if (entered) return;
  if (::unshare(CLONE_NEWNS) != 0) throw std::system_error(errno, std::generic_category(), "unshare a mount namespace");
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    throw std::system_error(errno, std::generic_category(), "make mounts private");
  }
  entered = true;
}

std::vector<std::string> mkfs_command(FileSystem kind, const std::string& image) {
  if (kind == FileSystem::ext4) {
    return {"mkfs.ext4", "-q", "-F", "-I", "256", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=1", image};
  }
  if (kind == FileSystem::xfs) return {"mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1,bigtime=1", image};
  return {"mkfs.btrfs", "-q", "-f", "-K", image};
}

ProcessOptions with_sbin() {
  ProcessOptions options;
  options.environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  return options;
}

}  // namespace

std::string file_system_name(FileSystem kind) {
  switch (kind) {
    case FileSystem::ext4:
      return "ext4";
    case FileSystem::xfs:
      return "xfs";
    case FileSystem::btrfs:
      return "btrfs";
    case FileSystem::tmpfs:
      return "tmpfs";
  }
  throw std::logic_error("no such file system");
}

std::ostream& operator<<(std::ostream& stream, FileSystem kind) { return stream << file_system_name(kind); }

bool has_reflinks(FileSystem kind) { return kind == FileSystem::xfs || kind == FileSystem::btrfs; }

std::optional<std::string> missing_root() {
  if (::geteuid() == 0) return std::nullopt;
  return "needs root";
}

std::optional<std::string> missing_for_mount(FileSystem kind) {
  if (auto reason = missing_root()) return reason;
  try {
    const TemporaryDirectory scratch;
    const ScopedLoopMount mount(kind, scratch.path());
    return std::nullopt;
  } catch (const std::exception& error) {
    return "cannot mount " + file_system_name(kind) + " here: " + error.what();
  }
}

ScopedLoopMount::ScopedLoopMount(FileSystem kind, const std::filesystem::path& directory)
    : mount_(directory / "mount") {
  enter_private_mount_namespace();
  std::filesystem::create_directory(mount_);
  if (kind == FileSystem::tmpfs) {
    run_or_throw({"mount", "-t", "tmpfs", "-o", "size=512m,mode=755", "tmpfs", mount_.string()}, with_sbin());
    return;
  }
  const std::filesystem::path image = directory / "image";
  std::ofstream(image).close();
  std::filesystem::resize_file(image, kImageSize);
  run_or_throw(mkfs_command(kind, image.string()), with_sbin());
  run_or_throw({"mount", "-t", file_system_name(kind), "-o", "loop", image.string(), mount_.string()}, with_sbin());
}

ScopedLoopMount::~ScopedLoopMount() {
  if (::umount2(mount_.c_str(), 0) != 0) ::umount2(mount_.c_str(), MNT_DETACH);
}

}  // namespace vskel::test
