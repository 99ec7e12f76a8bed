// What the bare loops go over: a tree read into memory beforehand, its directories open.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <string>
#include <vector>

namespace bare {

struct Entry {
  std::string name;
  unsigned char type;  ///< DT_* of dirent.h; no directory
};

struct Directory {
  int fd;            ///< open to the end
  std::string path;  ///< relative to the root, "" or with a slash at its end; parents come before their children
  std::vector<Entry> entries;
};

inline void load(int fd, const std::string& path, std::vector<Directory>& out) {
  const std::size_t own = out.size();
  out.push_back({fd, path, {}});
  DIR* const stream = ::fdopendir(::dup(fd));
  if (stream == nullptr) return;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (entry->d_type != DT_DIR) {
      out[own].entries.push_back({name, entry->d_type});
    } else {
      load(::openat(fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), path + name + "/", out);
    }
  }
  ::closedir(stream);
}

/// The tree at `root`; empty, with errno set, if that can't be opened.
inline std::vector<Directory> load(const char* root) {
  rlimit descriptors{};
  ::getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &descriptors);
  std::vector<Directory> out;
  const int fd = ::open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) load(fd, "", out);
  return out;
}

}  // namespace bare
