#include "tests/support/guard_map.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "tests/support/open_file.h"

namespace vskel::test {
namespace {

constexpr const char* kPin = "/sys/fs/bpf/vskel/sealed";
constexpr std::uint8_t kSealed = 1;

struct Key {
  std::uint64_t inode;
  std::uint32_t device;
  std::uint32_t generation;
};

std::system_error failed(const char* what) { return {errno, std::generic_category(), what}; }

int bpf(bpf_cmd command, bpf_attr& attributes) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

/// -1: no guard is loaded. Stays open; the kernel opens it with close-on-exec.
int map() {
  static const int opened = [] {
    bpf_attr attributes{};
    attributes.pathname = reinterpret_cast<std::uintptr_t>(kPin);
    const int fd = bpf(BPF_OBJ_GET, attributes);
    if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != EPERM && errno != EACCES && errno != ENOSYS)
      throw failed("open the guard's map");
    return fd;
  }();
  return opened;
}

/// fs/libfs.c, mm/shmem.c, fs/xfs/xfs_export.c: where a handle has the generation.
std::uint32_t generation_of(int file) {
  struct {
    file_handle head;
    unsigned char bytes[MAX_HANDLE_SZ];
  } handle{};
  handle.head.handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  if (::name_to_handle_at(file, "", &handle.head, &mount, AT_EMPTY_PATH) != 0) throw failed("ask for the handle");
  constexpr unsigned kInoAndGeneration = 8, kThreeWords = 12;
  constexpr int kXfsInode64 = 0x81;
  std::size_t at = 0;  // tmpfs: the generation, then the number in two words
  if (handle.head.handle_bytes == kInoAndGeneration)
    at = 4;
  else if (handle.head.handle_bytes == kThreeWords && handle.head.handle_type == kXfsInode64)
    at = 8;
  else if (handle.head.handle_bytes != kThreeWords)
    throw std::runtime_error("a handle of another form");
  std::uint32_t generation = 0;
  std::memcpy(&generation, handle.head.f_handle + at, sizeof generation);
  return generation;
}

Key key_of(int file) {
  struct stat status {};
  if (::fstat(file, &status) != 0) throw failed("stat");
  return {status.st_ino, (gnu_dev_major(status.st_dev) << 20) | gnu_dev_minor(status.st_dev), generation_of(file)};
}

}  // namespace

bool is_guard_loaded() { return map() >= 0; }

bool is_guarded(int file) {
  if (!is_guard_loaded()) return false;
  const Key key = key_of(file);
  std::uint8_t value = 0;
  bpf_attr attributes{};
  attributes.map_fd = static_cast<std::uint32_t>(map());
  attributes.key = reinterpret_cast<std::uintptr_t>(&key);
  attributes.value = reinterpret_cast<std::uintptr_t>(&value);
  if (bpf(BPF_MAP_LOOKUP_ELEM, attributes) == 0) return true;
  if (errno == ENOENT) return false;
  throw failed("ask the guard");
}

bool is_guarded(const std::filesystem::path& path) { return is_guard_loaded() && is_guarded(OpenFile(path).get()); }

void put_under_guard(const std::filesystem::path& path) {
  const Key key = key_of(OpenFile(path).get());
  bpf_attr attributes{};
  attributes.map_fd = static_cast<std::uint32_t>(map());
  attributes.key = reinterpret_cast<std::uintptr_t>(&key);
  attributes.value = reinterpret_cast<std::uintptr_t>(&kSealed);
  if (bpf(BPF_MAP_UPDATE_ELEM, attributes) != 0) throw failed("put a file under the guard");
}

}  // namespace vskel::test
