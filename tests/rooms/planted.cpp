// What rooms_test.cpp must find: one function for each forbidden way to a file. Never run, and no other program holds
// it.

#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace vskel::test::planted {

namespace {
int nothing(const char*, const struct stat*, int, struct FTW*) { return 0; }
}  // namespace

int open(const char* path) { return ::open(path, O_RDONLY); }
int create(const char* path) { return ::creat(path, 0600); }
int stat(const char* path, struct stat& out) { return ::stat(path, &out) + ::lstat(path, &out); }
int mode(const char* path) { return ::chmod(path, 0600); }
int owner(const char* path) { return ::chown(path, 0, 0) + ::lchown(path, 0, 0); }
int times(const char* path) { return ::utime(path, nullptr) + ::utimes(path, nullptr); }
int attribute(const char* path) { return ::setxattr(path, "user.a", "", 0, 0) + ::lremovexattr(path, "user.a"); }
int link(const char* path) { return ::link(path, path) + ::symlink(path, path); }
int move(const char* path) { return ::rename(path, path); }
int unlink(const char* path) { return ::unlink(path) + ::rmdir(path) + std::remove(path); }
int make(const char* path) { return ::mkdir(path, 0700) + ::mknod(path, S_IFIFO | 0600, 0) + ::mkfifo(path, 0600); }
int size(const char* path) { return ::truncate(path, 0); }
bool resolve(const char* path, char* out) { return ::realpath(path, out) != nullptr; }
bool target(const char* path, char* out) { return ::readlink(path, out, 1) == 1; }
int change_directory(const char* path) { return ::chdir(path); }
int walk(const char* path) { return ::nftw(path, nothing, 1, 0); }
bool walk_as_bsd(char* const* paths) { return ::fts_open(paths, FTS_PHYSICAL, nullptr) != nullptr; }
bool list(const char* path) { return ::opendir(path) != nullptr; }
bool stream(const char* path) { return std::fopen(path, "r") != nullptr; }
bool shell(const char* command) { return std::system(command) == 0 && ::popen(command, "r") != nullptr; }
int at(int dir, const char* name) { return ::openat(dir, name, O_RDONLY); }
bool standard_stream(const char* path) { return std::ifstream(path).good(); }
bool standard_file_system(const char* path) { return std::filesystem::exists(path); }

}  // namespace vskel::test::planted
