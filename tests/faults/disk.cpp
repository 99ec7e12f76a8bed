// The loop device is set up once by hand: mount(8) would do it again for every cut.
#include "tests/faults/disk.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <linux/types.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/support/process.h"

namespace vskel::test {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

/// Of the least size that mkfs takes: less to write and to replay.
std::uintmax_t image_size(FileSystem kind) { return (kind == FileSystem::ext4 ? 64ULL : 320ULL) << 20; }

std::vector<std::string> mkfs(FileSystem kind, const std::string& image) {
  if (kind == FileSystem::ext4)
    return {"mkfs.ext4", "-q", "-F", "-I", "256", "-J", "size=4", "-E", "nodiscard,lazy_itable_init=0", image};
  if (kind == FileSystem::xfs) return {"mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1,bigtime=1", image};
  return {"mkfs.btrfs", "-q", "-f", "-K", image};
}

/// Another process may take the free device first.
std::pair<int, std::string> set_up_loop(const fs::path& image) {
  const int backing = ::open(image.c_str(), O_RDWR | O_CLOEXEC);
  const int control = ::open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (backing < 0 || control < 0) fail("open loop device");
  for (int tries = 0; tries < 100; ++tries) {
    const int number = ::ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) break;
    std::string device = "/dev/loop" + std::to_string(number);
    const int loop = ::open(device.c_str(), O_RDWR | O_CLOEXEC);
    loop_config config{};
    config.fd = static_cast<__u32>(backing);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (loop >= 0 && ::ioctl(loop, LOOP_CONFIGURE, &config) == 0) {
      ::close(control);
      ::close(backing);
      return {loop, std::move(device)};
    }
    if (loop >= 0) ::close(loop);
  }
  fail("set up loop device");
}

}  // namespace

Disk::Disk(FileSystem kind)
    : kind_(kind), memory_(std::make_unique<ScopedLoopMount>(FileSystem::tmpfs, scratch_.path())) {
  path_ = memory_->path() / "disk";
  fs::create_directory(path_);
  if (kind == FileSystem::tmpfs) return;
  const fs::path image = memory_->path() / "image";
  std::ofstream(image).close();
  fs::resize_file(image, image_size(kind));
  ProcessOptions options;
  options.environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  run_or_throw(mkfs(kind, image.string()), options);
  std::tie(loop_, device_) = set_up_loop(image);
  mount();
}

Disk::~Disk() {
  if (kind_ != FileSystem::tmpfs && ::umount2(path_.c_str(), 0) != 0) ::umount2(path_.c_str(), MNT_DETACH);
  if (loop_ >= 0) ::close(loop_);
}

void Disk::mount() const {
  if (::mount(device_.c_str(), path_.c_str(), file_system_name(kind_).c_str(), 0, nullptr) != 0)
    fail("mount " + device_.string());
}

void Disk::mount_again() {
  using namespace std::chrono_literals;
  const auto deadline = std::chrono::steady_clock::now() + 5s;
  while (::umount2(path_.c_str(), 0) != 0) {
    if (errno != EBUSY || std::chrono::steady_clock::now() > deadline) fail("unmount " + path_.string());
    std::this_thread::sleep_for(1ms);
  }
  mount();
}

void Disk::sync() const {
  const int directory = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = directory >= 0 && ::syncfs(directory) == 0;
  if (directory >= 0) ::close(directory);
  if (!synced) fail("sync " + path_.string());
}

int cut_off(int directory, Spared spared) {
  auto flags = static_cast<__u32>(spared);
  constexpr unsigned long kGoingDown = _IOR('X', 125, __u32);  // of both ext4 and XFS
  return ::ioctl(directory, kGoingDown, &flags) == 0 ? 0 : errno;
}

}  // namespace vskel::test
