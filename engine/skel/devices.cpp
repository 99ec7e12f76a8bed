#include "engine/skel/devices.h"

#include <sys/sysmacros.h>

#include <array>

#include "engine/tree/metadata.h"

namespace vskel {

namespace {

struct Device {
  Name name;
  std::uint32_t mode;
  unsigned major, minor;  ///< Documentation/admin-guide/devices.txt
};
constexpr std::array kDevices{Device{"null", 0666, 1, 3},   Device{"zero", 0666, 1, 5},    Device{"full", 0666, 1, 7},
                              Device{"random", 0666, 1, 8}, Device{"urandom", 0666, 1, 9}, Device{"tty", 0666, 5, 0},
                              Device{"ptmx", 0666, 5, 2}};

struct Link {
  Name name;
  const char* target;
};
constexpr std::array kLinks{Link{"fd", "/proc/self/fd"}, Link{"stdin", "fd/0"}, Link{"stdout", "fd/1"},
                            Link{"stderr", "fd/2"}};

struct Directory {
  Name name;
  std::uint32_t mode;
};
constexpr std::array kDirectories{Directory{"pts", 0755}, Directory{"shm", 01777}};

ManifestEntry entry(const std::string& path, sys::FileType type, std::uint32_t mode, sys::Time now) {
  ManifestEntry out;
  out.path = path;
  out.type = type;
  out.mode = mode;
  out.mtime = now;
  return out;
}

}  // namespace

Result<ManifestEntries> make_devices(const DirFd& local, sys::Time now) {
  ManifestEntries entries;
  const DirFd dev = TRY(sys::ensure_dir(local, "dev", 0755));
  entries.push_back(entry("dev", sys::FileType::directory, 0755, now));
  const auto path = [](Name name) { return "dev/" + std::string(name.view()); };
  for (const Device& device : kDevices) {
    const std::uint64_t rdev = makedev(device.major, device.minor);
    TRY(sys::make_node(dev, device.name, sys::FileType::character, device.mode, rdev));
    TRY(sys::set_times(dev, device.name, now, now));
    entries.push_back(entry(path(device.name), sys::FileType::character, device.mode, now));
    entries.back().set_rdev(rdev);
  }
  for (const Link& link : kLinks) {
    TRY(sys::make_symlink(dev, link.name, link.target));
    TRY(sys::set_times(dev, link.name, now, now));
    entries.push_back(entry(path(link.name), sys::FileType::symlink, 0777, now));
    entries.back().set_link_target(link.target);
  }
  for (const Directory& directory : kDirectories) {
    const DirFd made = TRY(sys::ensure_dir(dev, directory.name, 0755));
    TRY(apply_metadata(made, {directory.mode, 0, 0, now, now, {}}, Fresh::yes));
    entries.push_back(entry(path(directory.name), sys::FileType::directory, directory.mode, now));
  }
  TRY(apply_metadata(dev, {0755, 0, 0, now, now, {}}, Fresh::no));
  return entries;
}

}  // namespace vskel
