// What a tenant who is root tries against the seal of a shared file and against the file system below it, from inside
// of his container. One line each: WAY ANSWER, the answer being "ok" or the name of an errno.
//
//   probe PATH
//
// PATH: a sealed file. Linked statically, because the roots that it runs in have no libraries; nothing of the engine is
// used: what judges it must not share its faults.
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

constexpr unsigned long kSetLabel = _IOW(0x94, 50, char[256]);  // linux/fs.h, FS_IOC_SETFSLABEL

void tell(const char* way, long result) { std::printf("%s %s\n", way, result >= 0 ? "ok" : ::strerrorname_np(errno)); }

/// As chattr -i does it; put back where it worked.
void lift(const char* way, const char* path) {
  const int file = ::open(path, O_RDONLY | O_NONBLOCK);
  int flags = 0;
  if (file < 0 || ::ioctl(file, FS_IOC_GETFLAGS, &flags) != 0 || (flags & FS_IMMUTABLE_FL) == 0) {
    std::printf("%s is not sealed\n", path);
    return;
  }
  int without = flags & ~FS_IMMUTABLE_FL;
  tell(way, ::ioctl(file, FS_IOC_SETFLAGS, &without));
  (void)::ioctl(file, FS_IOC_SETFLAGS, &flags);
  ::close(file);
}

/// The first step to the guard's map, and the one that the kernel asks a capability for: the next number of any map.
/// ENOENT (there is no map) is as good as getting one.
void ask_for_maps() {
  struct {
    std::uint32_t start = 0, next = 0, flags = 0, pad = 0;
  } attributes;
  constexpr int kMapGetNextId = 12;
  const long result = ::syscall(SYS_bpf, kMapGetNextId, &attributes, sizeof attributes);
  tell("bpf", result < 0 && errno == ENOENT ? 0 : result);
}

/// By its handle a file is opened past every directory above it: with a handle that is right, so that only who asks
/// decides. (Handles of files outside are as easily made up.)
void open_by_handle(int tree, const char* path) {
  constexpr unsigned int kRoom = MAX_HANDLE_SZ;
  alignas(file_handle) std::array<unsigned char, sizeof(file_handle) + kRoom> room{};
  auto* handle = reinterpret_cast<file_handle*>(room.data());
  handle->handle_bytes = kRoom;
  int mount = 0;
  if (::name_to_handle_at(AT_FDCWD, path, handle, &mount, 0) != 0) return tell("handle of a name", -1);
  tell("handle", ::open_by_handle_at(tree, handle, O_RDONLY));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const char* path = argv[1];
  if (std::strcmp(path, "wait") == 0) {
    (void)!::write(STDOUT_FILENO, "up\n", 3);
    for (;;) ::pause();
  }
  struct stat root {};
  struct stat sealed {};
  if (::stat("/", &root) != 0 || ::stat(path, &sealed) != 0) return 3;
  std::printf("uid %u\nowner %u\n", ::geteuid(), sealed.st_uid);

  lift("chattr", path);
  const int writable = ::open(path, O_WRONLY);
  tell("write", writable);
  tell("chown", ::chown(path, 1, 1));
  tell("chmod", ::chmod(path, 0777));
  ask_for_maps();
  const int tree = ::open("/", O_RDONLY | O_DIRECTORY);
  int nothing = 0;
  tell("freeze", ::ioctl(tree, FIFREEZE, &nothing));
  (void)::ioctl(tree, FITHAW, &nothing);
  fstrim_range all{0, UINT64_MAX, 0};
  tell("trim", ::ioctl(tree, FITRIM, &all));
  std::array<char, 256> label{"tenants"};
  tell("label", ::ioctl(tree, kSetLabel, label.data()));
  const int made = ::mknod("/disk", S_IFBLK | 0600, root.st_dev);
  tell("mknod", made);
  open_by_handle(tree, path);

  // Mounts of his own are his, the seal is the file's. (Only with what is mounted below: the rest is locked to it.)
  const int mounted = ::mount("/", "/mnt", nullptr, MS_BIND | MS_REC, nullptr);
  tell("mount", mounted);
  if (mounted == 0) {
    std::array<char, 512> below{};
    std::snprintf(below.data(), below.size(), "/mnt%s", path);
    lift("chattr by a mount", below.data());
    ::umount2("/mnt", MNT_DETACH);
  }

  // What is his own.
  const int own = ::open("/etc/own", O_CREAT | O_WRONLY, 0600);
  tell("own file", own);
  tell("own text", ::write(own, "mine\n", 5));
  tell("own owner", ::fchown(own, 33, 33));

  // Whoever makes the next user namespace is no more in it than he was.
  const int next = ::unshare(CLONE_NEWUSER | CLONE_NEWNS);
  tell("next namespace", next);
  if (next == 0) lift("chattr in the next namespace", path);
  return 0;
}
